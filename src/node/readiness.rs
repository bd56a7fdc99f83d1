//! Whether the node is well, part by part, and how far it is in its life.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use actors::node::Node;
use actors::rooms::hall::Hall;
use protocol::http::health::{HealthResponse, HealthStatus, PartHealth};
use storage_cql::{Pulse, Standing};
use storage_redis::{Redis, State};

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Its stores or shards are not all open.
    Starting = 0,
    /// It serves.
    Ready = 1,
    /// It was told to stop.
    Draining = 2,
}

/// Says whether the node serves. One a node.
pub struct Readiness {
    phase: AtomicU8,
    node: Arc<Node>,
    hall: Arc<Hall>,
    /// The store, if it is one that may be away.
    store: Option<Arc<Pulse>>,
    /// What nodes share, if they do.
    redis: Option<Arc<Redis>>,
    /// Dead letters a minute above which the node is degraded.
    dead_letters_per_minute_max: u32,
}

impl Readiness {
    /// Of a node that starts.
    pub fn new(
        node: Arc<Node>,
        hall: Arc<Hall>,
        store: Option<Arc<Pulse>>,
        redis: Option<Arc<Redis>>,
        dead_letters_per_minute_max: u32,
    ) -> Self {
        Self { phase: AtomicU8::new(Phase::Starting as u8), node, hall, store, redis, dead_letters_per_minute_max }
    }

    /// Where the node is in its life.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// The node goes on to this; it never goes back.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// Whether new work should be sent here.
    pub fn is_ready(&self) -> bool {
        self.report().status != HealthStatus::Unavailable
    }

    /// All parts. The whole is unavailable if any part is: it answers `/health` and `/health/ready`.
    pub fn report(&self) -> HealthResponse {
        let mut parts = BTreeMap::new();
        let mut part = |name: &str, status, message: Option<String>| {
            parts.insert(name.to_owned(), PartHealth { status, message });
        };
        match self.phase() {
            Phase::Starting => part("node", HealthStatus::Unavailable, Some("it is starting".to_owned())),
            Phase::Ready => part("node", HealthStatus::Ok, None),
            Phase::Draining => part("node", HealthStatus::Unavailable, Some("it is stopping".to_owned())),
        }
        let all = usize::from(self.node.shards.get());
        for (name, opening) in [("shards", &self.node.opening), ("rooms", &self.hall.opening)] {
            match opening.borrow().open {
                0 => part(name, HealthStatus::Unavailable, Some("none is open".to_owned())),
                open if open < all => part(name, HealthStatus::Degraded, Some(format!("{open} of {all} are open"))),
                _ => part(name, HealthStatus::Ok, None),
            }
        }
        if self.node.stores.journal.has_room() && self.hall.stores.journal.has_room() {
            part("journal", HealthStatus::Ok, None);
        } else {
            let why = "the disk is nearly full: no new commands are taken".to_owned();
            part("journal", HealthStatus::Unavailable, Some(why));
        }
        if let Some(pulse) = &self.store {
            let (status, why) = standing(pulse.standing());
            part("store", status, why);
        }
        match self.redis.as_ref().map(|redis| redis.state()) {
            None => {}
            Some(State::Closed) => part("redis", HealthStatus::Ok, None),
            Some(State::Open | State::HalfOpen) => {
                let why = "it does not answer: limits are stricter, presence and caches are of this node alone";
                part("redis", HealthStatus::Degraded, Some(why.to_owned()));
            }
        }
        let dead = self.node.dead_letters.per_minute(self.node.clock.now());
        if dead > u64::from(self.dead_letters_per_minute_max) {
            let why = format!("{dead} dead letters in the last minute");
            parts.insert("delivery".to_owned(), PartHealth { status: HealthStatus::Degraded, message: Some(why) });
        } else {
            parts.insert("delivery".to_owned(), PartHealth { status: HealthStatus::Ok, message: None });
        }
        let status = parts.values().map(|part| part.status).max().unwrap_or(HealthStatus::Ok);
        HealthResponse { status, parts }
    }

    /// Whether the process answers at all: it answers `/health/live`.
    pub fn live(&self) -> HealthResponse {
        HealthResponse { status: HealthStatus::Ok, parts: BTreeMap::new() }
    }
}

/// What the standing of a store means for those whom the node serves.
fn standing(standing: Standing) -> (HealthStatus, Option<String>) {
    let (status, why) = match standing {
        Standing::Whole => return (HealthStatus::Ok, None),
        Standing::Short { down, of } => (HealthStatus::Degraded, format!("{down} of its {of} nodes do not answer")),
        Standing::Late => (HealthStatus::Degraded, "it did not answer when it was asked".to_owned()),
        Standing::Silent => {
            (HealthStatus::Unavailable, "it does not answer: commands wait for it or are refused".to_owned())
        }
    };
    (status, Some(why))
}
