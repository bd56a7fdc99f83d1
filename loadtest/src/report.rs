//! `loadtest report`: a result as one HTML file, with plots, that needs nothing else.

mod axis;
mod page;
mod plot;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::result::RunResult;

/// What to report.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A result that `--json` wrote.
    result: PathBuf,
    /// Where to write the page.
    #[arg(short, long, default_value = "report.html")]
    output: PathBuf,
}

/// Writes the page.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let page = page::page(&RunResult::read(&options.result)?);
    std::fs::write(&options.output, page).with_context(|| options.output.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}
