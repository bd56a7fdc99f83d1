//! `loadtest fanout`: one room with many listeners, in which a few publish.

use std::process::ExitCode;
use std::time::Duration;

use crate::fleet;
use crate::http::Target;
use crate::length::duration;
use crate::rooms::make::{MEMBERS_MAX, Maker};
use crate::rooms::round::Round;

/// What to publish, and to how many.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    fleet: fleet::Options,
    /// How many sessions follow the room.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(fleet::SESSIONS_MAX)))]
    members: u32,
    /// Publications a second.
    #[arg(long, default_value_t = 20.0)]
    publishes: f64,
    /// How many of the sessions publish, in turns.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    publishers: u32,
    /// How long.
    #[arg(long = "for", default_value = "10s", value_parser = duration)]
    length: Duration,
    /// Bytes of a message's text.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(0..=16_000))]
    bytes: u16,
    /// How many of the sessions read nothing any more, while they stay connected, in a second round of the same length:
    /// what the others feel of it.
    #[arg(long, default_value_t = 0)]
    stalled: u32,
    /// A room that is there, instead of a new one: its id. A new one has at most 1,000 people, with up to 32 sessions
    /// each.
    #[arg(long)]
    room: Option<String>,
}

/// Publishes in one room. Fails if anybody does not hear everything.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let target = Target::of(&options.fleet.url)?;
    let run = format!("{:08x}", rand::random::<u32>());
    let sessions = options.members as usize;
    let reading = options.members.saturating_sub(options.stalled);
    anyhow::ensure!(options.stalled == 0 || reading >= options.publishers, "those who publish go on reading");
    let mut bearers = options.fleet.who.bearers(&target, &run, sessions).await?;
    if options.room.is_none() {
        bearers.all.truncate(MEMBERS_MAX);
    }
    let stream = match &options.room {
        Some(room) => format!("room:{room}"),
        None => Maker::of(&target, &run).make(bearers.all.iter().take(sessions)).await?,
    };
    let round = Round {
        command: "fanout",
        run,
        streams: vec![stream],
        sessions,
        publishers: options.publishers as usize,
        rate: options.publishes,
        length: options.length,
        bytes: usize::from(options.bytes),
        stalled: options.stalled as usize,
    };
    let mut result = round.play(&options.fleet, &target, &bearers).await?;
    result.setting("publishers", options.publishers);
    result.finish(options.fleet.json.as_deref())
}
