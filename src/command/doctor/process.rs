//! What the system lets this process do, and what time it says it is.

use std::time::Duration;

use domain::time::Timestamp;

use super::Finding;
use crate::config::Config;
use crate::edge::limits;
use crate::node::store::{Founding, Layout};
use crate::node::stores::now;

/// With fewer descriptors there are fewer connections than a small crowd needs.
const DESCRIPTORS_FEW: u64 = 4_096;

/// No clock that is right is before this: the beginning of 2026, in microseconds since 1970.
const EARLIEST: Timestamp = Timestamp(1_767_225_600_000_000);

/// Looks at the limits and the clock.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![descriptors(config)];
    let made = Founding::read(&Layout::of(&config.data)).ok().flatten().map(|founding| founding.created_at);
    findings.push(clock(now(), made, Duration::from_millis(config.ledger.clock_ahead_max_ms)));
    findings
}

fn descriptors(config: &Config) -> Finding {
    let limit = match limits::raise_descriptor_limit() {
        Ok(limit) => limit,
        Err(error) => {
            return Finding::wrong(
                "process.descriptors",
                format!("the limit of open files cannot be read: {error}"),
                "let the process read and raise RLIMIT_NOFILE",
            );
        }
    };
    let wanted = config.edge.listener.connections_max;
    let most = limits::connections_max(limit, wanted);
    let found = format!("{limit} files may be open, which is room for {most} connections");
    match wanted.filter(|wanted| *wanted > most) {
        Some(wanted) => Finding::warning(
            "process.descriptors",
            format!("{found}, and {wanted} are configured"),
            "raise the hard limit (LimitNOFILE, ulimit -Hn), or lower `edge.listener.connections_max`",
        ),
        None if limit < DESCRIPTORS_FEW => {
            Finding::warning("process.descriptors", found, "raise the hard limit (LimitNOFILE, ulimit -Hn)")
        }
        None => Finding::fine("process.descriptors", found),
    }
}

/// A clock cannot be checked against itself, only against what was written by it.
fn clock(now: Timestamp, made: Option<Timestamp>, ahead_max: Duration) -> Finding {
    let mend = "set the clock, and keep it set (NTP)";
    if now < EARLIEST {
        return Finding::wrong("process.clock", "the clock is years behind", mend);
    }
    match made.filter(|made| made.since(now) > ahead_max) {
        Some(made) => {
            let seconds = made.since(now).as_secs();
            let found = format!("the store was made {seconds} s from now: the clock is behind, or was ahead then");
            Finding::wrong("process.clock", found, mend)
        }
        None => Finding::fine("process.clock", "the clock is not behind the store"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::Level;

    #[test]
    fn a_clock_that_is_behind_is_found() {
        let now = Timestamp(EARLIEST.0 + 1_000_000_000);
        let ahead = Duration::from_secs(5);
        let judge = |now, made| clock(now, made, ahead).level;
        assert_eq!(judge(now, None), Level::Fine);
        assert_eq!(judge(now, Some(now.after(ahead))), Level::Fine);
        assert_eq!(judge(now, Some(now.after(ahead).next())), Level::Wrong);
        assert_eq!(judge(Timestamp(1), None), Level::Wrong);
    }
}
