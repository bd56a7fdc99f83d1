//! Floods, scenarios and the history checker: a stranger to the server.
//!
//! Knows the wire types and nothing else, as a client of another house would.

mod check;
mod http;
mod person;
mod process;
mod socket;
mod transfers;

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
    /// Send transfers at a rate and measure how long each takes.
    Transfers(transfers::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Check(options) => check::run(options).await,
        Command::Transfers(options) => transfers::run(options).await,
    }
}
