//! `quickpe doctor`: looks at a configuration and at what it leads to, and says what to mend.
//!
//! It makes no store and changes none: a probe file in the data folder is all that it writes. Each group of checks is a
//! file of its own and answers findings; a new store gets another, and a line in [`examine`].

mod cql;
mod disk;
mod finding;
mod listen;
mod process;
mod redis;
mod settings;
mod store;

use std::io::Write;

use crate::command::failure::Failure;
use crate::config::{Config, StoreKind};
pub use finding::{Finding, Level};

/// Examines, and prints what was found: a line a finding, or with `json` one JSON array.
///
/// # Errors
/// Something must be mended.
pub async fn run(config: &Config, json: bool) -> Result<(), Failure> {
    let findings = examine(config).await;
    let wrong = findings.iter().filter(|finding| finding.level == Level::Wrong).count();
    let lines = if json {
        serde_json::to_string_pretty(&findings)
            .map(|text| vec![text])
            .map_err(|error| Failure::failed(error.to_string()))?
    } else {
        findings.iter().flat_map(Finding::lines).collect()
    };
    let mut out = std::io::stdout().lock();
    // A reader that has gone away hears no more; the exit code says it all the same.
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).ok();
    if wrong == 0 { Ok(()) } else { Err(Failure::failed(format!("{wrong} things must be mended"))) }
}

/// All findings, in the order in which they are best mended.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = disk::check(config);
    findings.extend(process::check(config));
    findings.extend(store::check(config).await);
    if config.storage.kind == StoreKind::Cql {
        findings.extend(cql::check(config).await);
    }
    if config.redis.is_used() {
        findings.extend(redis::check(config).await);
    }
    findings.extend(listen::check(config).await);
    findings.extend(settings::check(config));
    findings
}
