//! The program: what the `quickpe` binary does.
//!
//! It stands here and not in the binary because the code of an async function is made where it is first polled. Polled
//! from the binary, all that a node does would be compiled there, and what it shares with the library once more.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::command::cli::{Cli, Command, absolute};
use crate::command::failure::Failure;
use crate::command::{self, Operation};
use crate::config::{Layers, Loaded, TelemetryConfig};
use crate::node::serve::serve;
use crate::telemetry;

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to be done if stderr is closed too.
            writeln!(std::io::stderr().lock(), "quickpe: {failure}").ok();
            failure.exit.code()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let layers = cli.common.layers();
    let loaded = layers.load()?;
    match cli.command {
        None | Some(Command::Serve) => start(loaded, layers),
        Some(Command::Config) => show(&loaded),
        Some(Command::Verify) => operate(loaded, Operation::Verify),
        Some(Command::RebuildViews) => operate(loaded, Operation::RebuildViews),
        Some(Command::Backup { folder, check_all }) => {
            operate(loaded, Operation::Backup { folder: absolute(folder), check_all })
        }
        Some(Command::Export { folder }) => operate(loaded, Operation::Export { folder: absolute(folder) }),
        Some(Command::Import { folder, shards }) => {
            operate(loaded, Operation::Import { folder: absolute(folder), shards })
        }
        Some(Command::Restore { folder }) => operate(loaded, Operation::Restore { folder: absolute(folder) }),
        Some(Command::Doctor { json }) => examine(&loaded, json),
        Some(Command::Migrate) => migrate(&loaded),
        Some(Command::Admin(admin)) => operate(loaded, admin.operation()),
    }
}

fn start(loaded: Loaded, layers: Layers) -> Result<(), Failure> {
    telemetry::log(&loaded.config.telemetry)?;
    let metrics = telemetry::metrics().map_err(|error| Failure::failed(error.to_string()))?;
    let config = Arc::new(loaded.config);
    let runtime = runtime()?;
    let served = runtime.block_on(serve(config, layers, metrics, |address| {
        // Who started the node may not listen; the node serves all the same.
        writeln!(std::io::stdout().lock(), "QuickPe is listening on http://{address}").ok();
    }));
    // Connections that were cut off end here; what they held of the stores goes with them.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    served
}

fn operate(loaded: Loaded, operation: Operation) -> Result<(), Failure> {
    // A command says what it has to say itself; the log is for what goes wrong, unless it was asked for.
    let quiet = TelemetryConfig { filter: "warn".to_owned(), ..loaded.config.telemetry.clone() };
    let chosen = loaded.config.telemetry != TelemetryConfig::default();
    telemetry::log(if chosen { &loaded.config.telemetry } else { &quiet })?;
    let metrics = telemetry::metrics().map_err(|error| Failure::failed(error.to_string()))?;
    runtime()?.block_on(command::run(Arc::new(loaded.config), metrics, operation))
}

fn migrate(loaded: &Loaded) -> Result<(), Failure> {
    telemetry::log(&loaded.config.telemetry)?;
    let lines = runtime()?.block_on(command::migrate::run(&loaded.config))?;
    print(&lines)
}

fn examine(loaded: &Loaded, json: bool) -> Result<(), Failure> {
    // What goes wrong is a finding; lines of the log beside it would say it twice.
    let quiet = TelemetryConfig { filter: "error".to_owned(), ..loaded.config.telemetry.clone() };
    telemetry::log(&quiet)?;
    runtime()?.block_on(command::doctor::run(&loaded.config, json))
}

fn show(loaded: &Loaded) -> Result<(), Failure> {
    print(&loaded.show())
}

fn print(lines: &[String]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).map_err(|error| Failure::failed(error.to_string()))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("quickpe")
        .build()
        .map_err(|error| Failure::failed(format!("the runtime does not start: {error}")))
}
