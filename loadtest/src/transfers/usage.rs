//! What a process used, from `/proc`.

use serde::Serialize;

/// Clock ticks a second in `/proc/PID/stat`: 100 on every Linux, whatever the kernel's own.
const TICKS_PER_SECOND: u64 = 100;

/// What a server and this generator used up to now.
pub(crate) struct Usage {
    server: Option<Process>,
    generator: Option<Process>,
}

#[derive(Clone, Copy)]
struct Process {
    cpu_ms: u64,
    rss_kib: u64,
    rss_peak_kib: u64,
}

/// What was used while it was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Used {
    /// CPU time of the server, in milliseconds, if its process was named.
    pub(crate) server_cpu_ms: Option<u64>,
    /// Memory of the server at the end.
    pub(crate) server_rss_kib: Option<u64>,
    /// The most memory of the server since it was started.
    pub(crate) server_rss_peak_kib: Option<u64>,
    /// CPU time of this generator: near a whole core, its figures are its own and not the server's.
    pub(crate) generator_cpu_ms: Option<u64>,
}

impl Usage {
    /// What the server, if it is named, and this process used until now.
    pub(crate) fn now(server: Option<u32>) -> Self {
        Self { server: server.and_then(|pid| Process::read(&pid.to_string())), generator: Process::read("self") }
    }

    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Used {
        let cpu = |now: Option<Process>, before: Option<Process>| Some(now?.cpu_ms.saturating_sub(before?.cpu_ms));
        Used {
            server_cpu_ms: cpu(self.server, before.server),
            server_rss_kib: self.server.map(|server| server.rss_kib),
            server_rss_peak_kib: self.server.map(|server| server.rss_peak_kib),
            generator_cpu_ms: cpu(self.generator, before.generator),
        }
    }
}

impl Process {
    fn read(pid: &str) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Self::parse(&stat, &status)
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything; user and system time are fields 14 and 15.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let kib = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_ascii_whitespace().next()?.parse().ok()
        };
        Some(Self {
            cpu_ms: (user + system) * 1000 / TICKS_PER_SECOND,
            rss_kib: kib("VmRSS")?,
            rss_peak_kib: kib("VmHWM")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 8 0 1 2 3";
        let status = "Name:\tb\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        let process = Process::parse(stat, status).unwrap();
        assert_eq!((process.cpu_ms, process.rss_kib, process.rss_peak_kib), (3000, 1024, 2048));
        assert!(Process::parse("garbage", status).is_none());
    }
}
