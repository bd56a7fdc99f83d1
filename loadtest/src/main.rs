//! Floods, scenarios and the history checker: a stranger to the server.
//!
//! Knows the wire types and nothing else, as a client of another house would.

mod check;
mod clock;
mod compare;
mod course;
mod crowd;
mod fanout;
mod fleet;
mod flood;
mod http;
mod length;
mod line;
mod meter;
mod mixed;
mod pace;
mod person;
mod process;
mod proxy;
mod report;
mod result;
mod rooms;
mod socket;
mod storm;
mod timing;
mod transfers;
mod usage;
mod who;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Loads a QuickPe node, and checks that it keeps its promises.
#[derive(Parser)]
#[command(name = "loadtest", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Move money at random, kill the node, and judge the history of what was seen.
    Check(check::Options),
    /// Compare two results, and fail if the second is worse.
    Compare(compare::Options),
    /// Publish in one room that many follow.
    Fanout(fanout::Options),
    /// Connect many sessions at a rate, and hold them.
    Flood(flood::Options),
    /// Play scenarios in phases, as a file describes them, with limits that decide.
    Mixed(mixed::Options),
    /// Make a page with plots of a result.
    Report(report::Options),
    /// Publish in many rooms.
    Rooms(rooms::Options),
    /// Cut all sessions off at once, and see that all come back and nothing is lost.
    Storm(storm::Options),
    /// Send transfers at a rate and measure how long each takes.
    Transfers(transfers::Options),
    /// Hold a share of a run's sessions; started by the others.
    #[command(hide = true)]
    Worker,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        // A worker's sessions share one thread.
        Command::Worker => fleet::work(),
        command => tokio::runtime::Runtime::new()?.block_on(run(command)),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check(options) => check::run(options).await,
        Command::Compare(options) => compare::run(&options),
        Command::Fanout(options) => fanout::run(options).await,
        Command::Flood(options) => flood::run(options).await,
        Command::Mixed(options) => mixed::run(options).await,
        Command::Report(options) => report::run(&options),
        Command::Rooms(options) => rooms::run(options).await,
        Command::Storm(options) => storm::run(options).await,
        Command::Transfers(options) => transfers::run(options).await,
        Command::Worker => fleet::work(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
