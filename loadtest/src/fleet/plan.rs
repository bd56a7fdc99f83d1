//! How many workers and addresses, and who gets which share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::Job;
use crate::http::Target;
use crate::usage::listener;
use crate::who::{self, Bearers};

/// Sessions of one address by default: a little below what a server allows one address by default (1,024).
const SESSIONS_PER_ADDRESS: usize = 1_000;
/// The most addresses: one net of loopback.
const ADDRESSES_MAX: u32 = 250;
/// Descriptors of a worker that are not sessions.
const DESCRIPTORS_RESERVED: usize = 64;
/// The most sessions of a run: a bound on what the coordinator holds.
pub(crate) const SESSIONS_MAX: u32 = 1_000_000;

/// Who connects from where to whom.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// Where the node is.
    #[arg(long, default_value = "http://127.0.0.1:5001")]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) who: who::Options,
    /// How many worker processes; by default as many as there are cores, and as descriptors need.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: Option<u16>,
    /// From how many loopback addresses, 127.0.0.2 on, to connect to a server on loopback; by default
    /// one for 1,000 sessions.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(ADDRESSES_MAX)))]
    addresses: Option<u32>,
    /// How many handshakes may be under way at once.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,
    /// The server's process, to sample what it uses; found by its port if it is on this machine.
    #[arg(long)]
    server_pid: Option<u32>,
    /// Write the result here, as JSON: for `report` and `compare`.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// What follows of the options for one server.
pub(crate) struct Plan {
    /// Each worker's share.
    pub(crate) jobs: Vec<Job>,
    /// The server's process, if it is known.
    pub(crate) server_pid: Option<u32>,
}

impl Options {
    /// Shares `sessions` out.
    pub(crate) fn plan(
        &self,
        server: SocketAddr,
        run: &str,
        sessions: usize,
        bearers: &Bearers,
        streams: &[String],
        devices: bool,
    ) -> anyhow::Result<Plan> {
        let room = descriptors().saturating_sub(DESCRIPTORS_RESERVED).max(1);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.map_or_else(|| cores.max(sessions.div_ceil(room)), usize::from).min(sessions.max(1));
        let share = sessions.div_ceil(workers);
        ensure!(share <= room, "a worker may hold {room} sessions here, {workers} workers are too few for {sessions}");
        let addresses = self.addresses(server, sessions);
        let jobs = (0..workers).map(|worker| {
            let first = worker * share;
            let numbers = first..sessions.min(first + share);
            let bearers = numbers.clone().map(|number| bearers.of(number).cloned()).collect::<Option<_>>();
            Ok(Job {
                server,
                run: run.to_owned(),
                first,
                bearers: bearers.context("nobody takes part")?,
                addresses: addresses.clone(),
                streams: match streams {
                    [one] => vec![one.clone()],
                    each => each.get(numbers).context("a stream for each session")?.to_vec(),
                },
                devices,
                in_flight: (self.in_flight as usize).div_ceil(workers),
            })
        });
        let jobs = jobs.filter(|job| job.as_ref().map_or(true, |job: &Job| !job.bearers.is_empty()));
        Ok(Plan {
            jobs: jobs.collect::<anyhow::Result<_>>()?,
            server_pid: self.server_pid.or_else(|| listener(server)),
        })
    }

    /// The addresses to connect from: none for a server elsewhere.
    fn addresses(&self, server: SocketAddr, sessions: usize) -> Vec<IpAddr> {
        if !matches!(server.ip(), IpAddr::V4(address) if address.is_loopback()) {
            return Vec::new();
        }
        let count = self.addresses.map_or_else(|| sessions.div_ceil(SESSIONS_PER_ADDRESS), |count| count as usize);
        let most = usize::try_from(ADDRESSES_MAX).unwrap_or(usize::MAX);
        let count = u8::try_from(count.clamp(1, most)).unwrap_or(u8::MAX);
        (2..count.saturating_add(2)).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect()
    }
}

/// The first address of a server.
pub(crate) async fn resolve(target: &Target) -> anyhow::Result<SocketAddr> {
    let authority = target.authority();
    let mut found = tokio::net::lookup_host(&authority).await.with_context(|| authority.clone())?;
    found.next().with_context(|| format!("{authority} has no address"))
}

/// How many descriptors a process may hold here.
fn descriptors() -> usize {
    /// What every system allows, if this one does not say.
    const USUAL: usize = 1_024;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    soft_limit(&limits).unwrap_or(USUAL)
}

fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_ascii_whitespace().next()?;
    if soft == "unlimited" { Some(usize::MAX) } else { soft.parse().ok() }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use uuid::Uuid;

    use super::*;
    use crate::who::Bearer;

    #[derive(Parser)]
    struct Given {
        #[command(flatten)]
        options: Options,
    }

    fn plan(arguments: &[&str], sessions: usize) -> anyhow::Result<Plan> {
        let given = Given::parse_from(std::iter::once(&"loadtest").chain(arguments));
        let all = (0..10).map(|number| Bearer { id: Uuid::from_u128(number), token: number.to_string() }).collect();
        let bearers = Bearers { all, way: String::new() };
        let server = "127.0.0.1:5001".parse().unwrap();
        given.options.plan(server, "run", sessions, &bearers, &["account".to_owned()], false)
    }

    #[test]
    fn sessions_are_shared_out_once_each() {
        let jobs = plan(&["--workers", "3", "--server-pid", "1"], 25).unwrap().jobs;
        let shares: Vec<_> = jobs.iter().map(|job| (job.first, job.bearers.len())).collect();
        assert_eq!(shares, [(0, 9), (9, 9), (18, 7)]);
        assert_eq!(jobs[1].bearers[0].token, "9", "people go round");
        assert_eq!(jobs[0].addresses.len(), 1);
        assert_eq!(plan(&["--server-pid", "1"], 2_500).unwrap().jobs[0].addresses.len(), 3);
        let jobs = plan(&["--workers", "8", "--server-pid", "1"], 3).unwrap().jobs;
        assert_eq!(jobs.len(), 3, "no worker without work");
    }

    #[test]
    fn a_worker_gets_no_more_than_it_may_hold() {
        let error = plan(&["--workers", "1", "--server-pid", "1"], 10_000_000).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("too few"), "{error}");
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax open files            20000    20000   files\n";
        assert_eq!(soft_limit(limits), Some(20_000));
    }
}
