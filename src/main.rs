//! The `quickpe` binary.

mod allocator;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use quickpe::command::cli::{Cli, Command};
use quickpe::command::failure::Failure;
use quickpe::command::{self, Operation};
use quickpe::config::{Layers, Loaded, TelemetryConfig};
use quickpe::node::serve::serve;
use quickpe::telemetry;

fn main() -> ExitCode {
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

fn show(loaded: &Loaded) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for line in loaded.show() {
        writeln!(out, "{line}").map_err(|error| Failure::failed(error.to_string()))?;
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("quickpe")
        .build()
        .map_err(|error| Failure::failed(format!("the runtime does not start: {error}")))
}
