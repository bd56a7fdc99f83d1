//! `loadtest rooms`: many rooms, each with a few members, all of whom publish.

pub(crate) mod make;
pub(crate) mod round;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use self::make::Maker;
use self::round::Round;
use crate::fleet;
use crate::http::Target;
use crate::length::duration;

/// What to publish where.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    fleet: fleet::Options,
    /// How many rooms.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    rooms: u32,
    /// How many sessions follow each.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    members: u32,
    /// Publications a second, all rooms together.
    #[arg(long, default_value_t = 20_000.0)]
    publishes: f64,
    /// How long.
    #[arg(long = "for", default_value = "10s", value_parser = duration)]
    length: Duration,
    /// Bytes of a message's text.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(0..=16_000))]
    bytes: u16,
}

/// Publishes in all rooms. Fails if anybody does not hear everything.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let target = Target::of(&options.fleet.url)?;
    let run = format!("{:08x}", rand::random::<u32>());
    let (rooms, each) = (options.rooms as usize, options.members as usize);
    let sessions = rooms * each;
    anyhow::ensure!(sessions <= fleet::SESSIONS_MAX as usize, "at most {} sessions", fleet::SESSIONS_MAX);
    let bearers = options.fleet.who.bearers(&target, &run, sessions).await?;
    let mut maker = Maker::of(&target, &run);
    let mut streams = Vec::with_capacity(sessions);
    for room in 0..rooms {
        let members = (0..each).filter_map(|member| bearers.of(room * each + member));
        let stream = maker.make(members).await.with_context(|| format!("room {room}"))?;
        streams.extend(std::iter::repeat_n(stream, each));
    }
    let round = Round {
        command: "rooms",
        run,
        streams,
        sessions,
        publishers: sessions,
        rate: options.publishes,
        length: options.length,
        bytes: usize::from(options.bytes),
        stalled: 0,
    };
    let mut result = round.play(&options.fleet, &target, &bearers).await?;
    result.setting("rooms", options.rooms);
    result.setting("members", options.members);
    result.finish(options.fleet.json.as_deref())
}
