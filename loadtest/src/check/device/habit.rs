//! How a device answers on one connection.

use protocol::frame::Stage;
use protocol::frame::client::ClientFrame;
use rand::RngExt;
use rand::rngs::StdRng;

use super::following::Following;

/// A way to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// All, soon.
    Prompt,
    /// All, while it reads in fits and starts.
    Slow,
    /// Some, out of order, late, not yet, or never.
    Choosy,
    /// Nothing.
    Silent,
}

impl Habit {
    pub(super) fn draw(rng: &mut StdRng, may_refuse: bool) -> Self {
        match rng.random_range(0..100) {
            45..60 => Self::Slow,
            60..88 if may_refuse => Self::Choosy,
            88.. => Self::Silent,
            _ => Self::Prompt,
        }
    }

    /// What to say of a stream now, if anything.
    pub(super) fn answer(self, following: &mut Following, rng: &mut StdRng) -> Option<ClientFrame> {
        match self {
            Self::Silent => None,
            Self::Prompt | Self::Slow => rng.random_bool(0.4).then(|| following.ack_all()).flatten(),
            Self::Choosy => choose(following, rng),
        }
    }
}

fn choose(following: &mut Following, rng: &mut StdRng) -> Option<ClientFrame> {
    let open = following.open().len();
    if open == 0 || !following.is_live() {
        return None;
    }
    let turn = rng.random_range(0..open);
    let one = following.open().nth(turn)?;
    if !following.is_tracked() {
        let stage = if rng.random_bool(0.5) { Stage::Received } else { Stage::Applied };
        return rng.random_bool(0.2).then(|| following.ack(one, Vec::new(), stage)).flatten();
    }
    match rng.random_range(0..100) {
        // Some by themselves.
        0..15 => {
            let also = following.open().skip(turn).step_by(2).take(3).collect();
            following.ack(0, also, Stage::Applied)
        }
        15..22 => following.ack(0, vec![one], Stage::Received),
        22..30 => following.ack(one, Vec::new(), Stage::Received),
        // All up to one.
        30..42 => following.ack(one, Vec::new(), Stage::Applied),
        42..47 => {
            let after_ms = rng.random_bool(0.5).then(|| rng.random_range(0..500));
            following.nack(one, after_ms, false)
        }
        47..50 => following.nack(one, None, true),
        _ => None,
    }
}
