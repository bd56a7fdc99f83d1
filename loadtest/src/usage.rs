//! What a server and this tool use, from `/proc`: sampled over time.

mod listener;

use std::time::Duration;

pub(crate) use self::listener::listener;
use crate::length::{float, millis};
use crate::result::Series;

/// Clock ticks a second in `/proc/PID/stat`: 100 on every Linux, whatever the kernel's own.
const TICKS_PER_SECOND: u64 = 100;
/// The most samples that are kept; beyond them a run is no longer sampled.
const SAMPLES_MAX: usize = 100_000;

/// How far looks must be apart to tell a share of a core.
const APART: Duration = Duration::from_millis(400);

/// What one process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// CPU time since it was started, user and system.
    pub(crate) cpu_ms: u64,
    /// Memory it holds.
    pub(crate) rss_kib: u64,
    /// The most memory it held.
    pub(crate) rss_peak_kib: u64,
}

impl Process {
    /// What a process has used until now, if there is one.
    pub(crate) fn read(pid: u32) -> Option<Self> {
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

/// One look at both sides.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    at: Duration,
    server: Option<Process>,
    tool_cpu_ms: u64,
}

impl Sample {
    /// The server, if its process is known.
    pub(crate) fn server(&self) -> Option<Process> {
        self.server
    }

    /// The time between two looks.
    pub(crate) fn seconds_since(&self, before: &Self) -> f64 {
        self.at.saturating_sub(before.at).as_secs_f64()
    }

    /// CPU time between two looks as a share of one core: the server's, and this tool's.
    pub(crate) fn cores_since(&self, before: &Self) -> (Option<f64>, f64) {
        let wall = float(millis(self.at.saturating_sub(before.at)).max(1));
        let server = match (self.server, before.server) {
            (Some(now), Some(before)) => Some(float(now.cpu_ms.saturating_sub(before.cpu_ms)) / wall),
            _ => None,
        };
        (server, float(self.tool_cpu_ms.saturating_sub(before.tool_cpu_ms)) / wall)
    }
}

/// Looks at both sides now and then.
pub(crate) struct Sampler {
    server: Option<u32>,
    tool: Vec<u32>,
    samples: Vec<Sample>,
}

impl Sampler {
    /// Watches a server, if its process is known, and this tool: itself and its workers.
    pub(crate) fn of(server: Option<u32>, workers: Vec<u32>) -> Self {
        let mut tool = workers;
        tool.push(std::process::id());
        Self { server, tool, samples: Vec::new() }
    }

    /// The server is another process now.
    pub(crate) fn moved(&mut self, server: Option<u32>) {
        self.server = server;
    }

    /// Looks, and keeps what it sees.
    pub(crate) fn sample(&mut self, at: Duration) -> Sample {
        let tool_cpu_ms = self.tool.iter().filter_map(|pid| Process::read(*pid)).map(|process| process.cpu_ms).sum();
        let sample = Sample { at, server: self.server.and_then(Process::read), tool_cpu_ms };
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(sample);
        }
        sample
    }

    /// The most memory of the server at any look, in KiB.
    pub(crate) fn rss_most_kib(&self) -> Option<u64> {
        self.samples.iter().filter_map(|sample| sample.server).map(|server| server.rss_kib).max()
    }

    /// Looks that are not too close: CPU time is counted in hundredths of a second.
    fn apart(&self) -> Vec<Sample> {
        let mut apart: Vec<Sample> = Vec::with_capacity(self.samples.len());
        for sample in &self.samples {
            if apart.last().is_none_or(|last| sample.at.saturating_sub(last.at) >= APART) {
                apart.push(*sample);
            }
        }
        apart
    }

    /// What was used over time.
    pub(crate) fn series(&self) -> Vec<Series> {
        let apart = self.apart();
        let pairs = || apart.iter().zip(apart.iter().skip(1));
        let percent = |(before, now): (&Sample, &Sample)| (now.at.as_secs_f64(), now.cores_since(before));
        let server: Vec<_> = pairs().map(percent).filter_map(|(at, (cpu, _))| Some([at, cpu? * 100.0])).collect();
        let tool: Vec<_> = pairs().map(percent).map(|(at, (_, cpu))| [at, cpu * 100.0]).collect();
        let rss = self.samples.iter().filter_map(|it| Some([it.at.as_secs_f64(), float(it.server?.rss_kib) / 1024.0]));
        let all = [
            Series::of("server.cpu", "server CPU", "% of a core", server),
            Series::of("tool.cpu", "load tool CPU", "% of a core", tool),
            Series::of("server.rss", "server memory", "MiB", rss.collect()),
        ];
        all.into_iter().filter(|series| !series.points.is_empty()).collect()
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
        assert!(Process::read(std::process::id()).is_some());
    }

    #[test]
    fn shares_of_a_core_are_between_looks() {
        let process = |cpu_ms| Some(Process { cpu_ms, rss_kib: 2048, rss_peak_kib: 2048 });
        let sample = |at, cpu_ms| Sample { at: Duration::from_secs(at), server: process(cpu_ms), tool_cpu_ms: cpu_ms };
        let sampler =
            Sampler { server: None, tool: Vec::new(), samples: vec![sample(0, 0), sample(1, 500), sample(3, 2500)] };
        let series = sampler.series();
        let told: Vec<_> = series.iter().map(|series| format!("{} {:?}", series.name, series.points)).collect();
        assert_eq!(told[0], "server.cpu [[1.0, 50.0], [3.0, 100.0]]");
        assert_eq!(told[2], "server.rss [[0.0, 2.0], [1.0, 2.0], [3.0, 2.0]]");
        assert_eq!(sampler.rss_most_kib(), Some(2048));
    }
}
