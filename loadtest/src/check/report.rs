//! What a check found, for people and for machines.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use super::history::{Act, History, Kind, Outcome, Step, Talked};
use super::judge::{Promise, Verdict};
use super::world::World;
use crate::proxy::Made;

/// How a check was run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    /// The seed of everybody's plans.
    pub(crate) seed: u64,
    /// How many people took part.
    pub(crate) users: u16,
    /// How long they worked.
    pub(crate) seconds: f64,
    /// How often the server was killed.
    pub(crate) kills: usize,
    /// How long it took to be ready again, each time.
    #[serde(skip)]
    pub(crate) restarts: Vec<Duration>,
    /// Whether sessions took part, or HTTP only.
    pub(crate) websocket: bool,
    /// Whether an administrator took part.
    pub(crate) freezes: bool,
    /// What the proxy did to how many of the devices' connections, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proxied: Option<Made>,
    /// Whether the server stopped as it should, if it was ours to stop.
    #[serde(skip)]
    pub(crate) stopped: Option<Result<Duration, String>>,
}

/// How often something was asked, and what came of it.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    acknowledged: u64,
    refused: u64,
    unknown: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refusals: BTreeMap<String, u64>,
}

/// What a check found.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    run: Run,
    operations: BTreeMap<&'static str, Count>,
    retries: u64,
    replays: u64,
    reads: usize,
    entries: usize,
    connections: usize,
    messages: usize,
    repeated_messages: usize,
    gaps: usize,
    acknowledgements: usize,
    refusals: usize,
    closed_as_silent: u64,
    rooms: usize,
    events_of_rooms: usize,
    looks: usize,
    visits: usize,
    dead_letters: Option<usize>,
    ready_after_ms_max: u128,
    stop_error: Option<String>,
    counts: BTreeMap<Promise, usize>,
    faults: Vec<super::judge::Fault>,
}

impl Report {
    /// The report of a run.
    pub(crate) fn of(run: Run, world: &World, history: &History, verdict: Verdict) -> Self {
        let mut operations: BTreeMap<_, Count> = BTreeMap::new();
        let mut replays = 0;
        for operation in &history.operations {
            let count = operations.entry(name(operation.kind)).or_default();
            match &operation.outcome {
                Outcome::Acknowledged(answers) => {
                    count.acknowledged += 1;
                    replays += answers.len().saturating_sub(1) as u64;
                }
                Outcome::Refused(code) => count.refuse(code),
                Outcome::Unknown => count.unknown += 1,
            }
        }
        let connections: Vec<_> = history.devices.iter().flat_map(|device| &device.connections).collect();
        let steps = || connections.iter().flat_map(|connection| &connection.steps);
        let count = |of: fn(&Step) -> bool| steps().filter(|step| of(step)).count();
        for talk in &history.talks {
            let count = operations.entry(act(talk.act)).or_default();
            match &talk.outcome {
                Talked::Done(offsets) => {
                    count.acknowledged += 1;
                    replays += offsets.len().saturating_sub(1) as u64;
                }
                Talked::Refused(code) => count.refuse(code),
                Talked::Unknown => count.unknown += 1,
            }
        }
        Self {
            operations,
            retries: world.retries.load(Ordering::Relaxed),
            replays,
            reads: history.people.iter().map(|person| person.reads.len() + person.glances.len()).sum(),
            entries: history.people.iter().map(|person| person.statement.len()).sum(),
            connections: connections.len(),
            messages: count(|step| matches!(step, Step::Message(_))),
            repeated_messages: count(|step| matches!(step, Step::Message(message) if message.attempt > 1)),
            gaps: count(|step| matches!(step, Step::Gap { .. })),
            acknowledgements: count(|step| matches!(step, Step::Acked { .. })),
            refusals: count(|step| matches!(step, Step::Refused { .. })),
            closed_as_silent: world.silenced.load(Ordering::Relaxed),
            rooms: history.rooms.len(),
            events_of_rooms: history.rooms.iter().map(|room| room.events.len()).sum(),
            looks: history.looks.len(),
            visits: history.visits.len(),
            dead_letters: history.letters.as_ref().map(Vec::len),
            ready_after_ms_max: run.restarts.iter().map(Duration::as_millis).max().unwrap_or(0),
            stop_error: run.stopped.as_ref().and_then(|stopped| stopped.as_ref().err().cloned()),
            counts: verdict.counts,
            faults: verdict.faults,
            run,
        }
    }

    /// Whether every promise was kept, and something was done at all.
    pub(crate) fn passed(&self) -> bool {
        self.faults.is_empty() && self.stop_error.is_none() && self.entries > 0
    }

    /// Tells it to a person.
    #[allow(clippy::print_stdout, reason = "this is what the command is for")]
    pub(crate) fn print(&self) {
        let Run { seed, users, seconds, kills, websocket, freezes, proxied, stopped, .. } = &self.run;
        println!(
            "seed {seed}: {users} people, {seconds:.1} s, {kills} kills (ready in at most {} ms)",
            self.ready_after_ms_max
        );
        if !websocket {
            println!("not checked: WebSockets (--no-websocket)");
        }
        if !freezes {
            println!("not checked: freezes, refusals and dead letters (no --grant)");
        }
        if let Some(made) = proxied {
            let made: Vec<String> = made.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
            println!("connections through the proxy: {}", made.join(", "));
        }
        println!("{:>13} {:>12} {:>9} {:>8}  refused as", "operation", "acknowledged", "refused", "unknown");
        for (name, count) in &self.operations {
            let refusals: Vec<String> = count.refusals.iter().map(|(code, count)| format!("{code} {count}")).collect();
            let Count { acknowledged, refused, unknown, .. } = count;
            println!("{name:>13} {acknowledged:>12} {refused:>9} {unknown:>8}  {}", refusals.join(", "));
        }
        println!("{} sent again for want of an answer, {} replays compared", self.retries, self.replays);
        println!("{} entries, {} reads, {} connections of devices", self.entries, self.reads, self.connections);
        println!(
            "{} events in {} rooms, {} looks, {} visits",
            self.events_of_rooms, self.rooms, self.looks, self.visits
        );
        println!("{} messages, {} of them repeated, {} gaps", self.messages, self.repeated_messages, self.gaps);
        let letters = self.dead_letters.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
        println!(
            "{} acknowledgements, {} refusals, {} closed as silent, dead letters: {letters}",
            self.acknowledgements, self.refusals, self.closed_as_silent
        );
        if let Some(Ok(took)) = stopped {
            println!("stopped in {} ms", took.as_millis());
        }
        if let Some(error) = &self.stop_error {
            println!("BROKEN: {error}");
        }
        for fault in &self.faults {
            println!("BROKEN: {fault}");
        }
        for (promise, count) in &self.counts {
            println!("{count} faults: {promise:?}");
        }
        println!("{}", if self.passed() { "every promise was kept" } else { "FAILED" });
    }
}

impl Count {
    fn refuse(&mut self, code: &str) {
        self.refused += 1;
        *self.refusals.entry(code.to_owned()).or_default() += 1;
    }
}

fn act(act: Act) -> &'static str {
    match act {
        Act::Publish => "say",
        Act::Misuse => "say otherwise",
        Act::Edit { .. } => "edit",
        Act::Delete { .. } => "delete",
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Deposit => "deposit",
        Kind::Withdraw => "withdraw",
        Kind::Transfer(_) => "transfer",
        Kind::Hold(_) => "hold",
        Kind::Capture(_) => "capture",
        Kind::Release(_) => "release",
        Kind::Refund(_) => "refund",
        Kind::Freeze(_) => "freeze",
        Kind::Unfreeze(_) => "unfreeze",
    }
}
