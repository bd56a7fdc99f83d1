//! `loadtest transfers`: send transfers at a rate and measure how long each takes.
//!
//! Open loop, without coordinated omission: each transfer has a time at which it is meant to be
//! sent, and its latency counts from there, however late a connection was free for it. `--closed`
//! sends as fast as the connections allow instead, for the most that can be had.

mod follow;
mod pace;
mod people;
mod result;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use http::StatusCode;
use indicatif::{ProgressBar, ProgressStyle};
use protocol::amount::Amount;
use protocol::http::account::{TransactionResponse, TransferRequest};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::follow::Followers;
use self::pace::{Pace, Ticket};
use self::people::{Payer, people};
use self::result::{Outcome, Results, Tally};
use self::usage::Usage;
use crate::http::{Client, Target};

/// How long an answer may take before the transfer counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long messages may trail behind the last answer.
const TRAIL: Duration = Duration::from_secs(2);

/// What to send, and how fast.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the node is.
    #[arg(long, default_value = "http://127.0.0.1:5001")]
    url: String,
    /// Transfers a second.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// As fast as the connections allow, instead of at a rate.
    #[arg(long, conflicts_with = "rate")]
    closed: bool,
    /// How long to measure: `500ms`, `60s`, `5m`.
    #[arg(long = "for", default_value = "60s", value_parser = duration)]
    length: Duration,
    /// How long to send before measuring.
    #[arg(long, default_value = "2s", value_parser = duration)]
    warm_up: Duration,
    /// How many connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    /// People who have money: a user's id, a tab and an access token a line. Signs people up if absent.
    #[arg(long)]
    tokens: Option<PathBuf>,
    /// How many people to sign up and fund, without --tokens.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=10_000))]
    users: u16,
    /// How many payees follow their accounts live; all transfers then go to them.
    #[arg(long, default_value_t = 0)]
    followers: u16,
    /// The server's process, to report what it used.
    #[arg(long)]
    pid: Option<u32>,
    /// Write the result here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Sends transfers and tells how they fared. Fails if some were not answered, or none was.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let target = Target::of(&options.url)?;
    let run = format!("{:08x}", rand::random::<u32>());
    let people: Arc<[Payer]> =
        people(&target, &run, options.tokens.as_deref(), usize::from(options.users)).await?.into();
    let followers = Followers::start(&target, &people, usize::from(options.followers)).await?;
    let payees = if followers.count() == 0 { people.len() } else { followers.count() };

    let pace = Arc::new(Pace::start((!options.closed).then_some(options.rate), options.warm_up, options.length));
    let flood = Arc::new(Flood {
        target,
        run,
        people,
        payees,
        pace: Arc::clone(&pace),
        done: AtomicU64::new(0),
        match_messages: followers.count() > 0,
    });
    let mut connections = JoinSet::new();
    for _ in 0..options.connections {
        connections.spawn(Arc::clone(&flood).send_on_one_connection());
    }
    let measuring = measure(&flood, &options);
    let mut tally = Tally::new()?;
    let before = measuring.await;
    while let Some(one) = connections.join_next().await {
        tally.add(one??)?;
    }
    let seconds = pace.measured().as_secs_f64();
    let used = Usage::now(options.pid).since(&before);
    if followers.count() > 0 {
        sleep(TRAIL).await;
    }
    let heard = followers.finish(&tally)?;
    let results = Results::of(&options, seconds, &tally, pace.unsent(), heard.as_ref(), used);
    results.print();
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&results)?).with_context(|| path.display().to_string())?;
    }
    Ok(if results.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows progress until the time is over. Answers what was used when the warm-up ended.
async fn measure(flood: &Flood, options: &Options) -> Usage {
    let whole = options.warm_up + options.length;
    let bar = ProgressBar::new(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {msg}") {
        bar.set_style(style);
    }
    let start = Instant::now();
    let mut before = None;
    let (mut last, mut last_at) = (0, start);
    while start.elapsed() < whole {
        sleep(Duration::from_millis(50)).await;
        if before.is_none() && start.elapsed() >= options.warm_up {
            before = Some(Usage::now(options.pid));
        }
        if last_at.elapsed() >= Duration::from_millis(500) {
            let done = flood.done.load(Ordering::Relaxed);
            let rate = Duration::from_secs(1).div_duration_f64(last_at.elapsed()) * result::float(done - last);
            (last, last_at) = (done, Instant::now());
            bar.set_message(format!("{done} done, {rate:.0}/s"));
        }
        bar.set_position(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
    }
    bar.finish_and_clear();
    before.unwrap_or_else(|| Usage::now(options.pid))
}

/// What all connections share.
struct Flood {
    target: Target,
    run: String,
    people: Arc<[Payer]>,
    payees: usize,
    pace: Arc<Pace>,
    done: AtomicU64,
    match_messages: bool,
}

impl Flood {
    /// Sends one transfer after the other, each when it is due.
    async fn send_on_one_connection(self: Arc<Self>) -> anyhow::Result<Tally> {
        let mut client = Client::new(self.target.clone(), PATIENCE);
        let mut tally = Tally::new()?;
        while let Some(Ticket { number, due }) = self.pace.next().await {
            let sent = Instant::now();
            let outcome = self.send(&mut client, number).await;
            self.done.fetch_add(1, Ordering::Relaxed);
            if self.pace.counts(due) {
                tally.record(outcome, due, sent, self.match_messages);
            }
        }
        Ok(tally)
    }

    async fn send(&self, client: &mut Client, ticket: u64) -> Outcome {
        // Two numbers that differ, spread over the people by the golden ratio.
        let spread = ticket.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let people = self.people.len() as u64;
        let payee = (spread >> 33) % self.payees as u64;
        let payer = (payee + 1 + ((spread >> 3) & 0x3fff_ffff) % (people - 1)) % people;
        let (Ok(payee), Ok(payer)) = (usize::try_from(payee), usize::try_from(payer)) else {
            return Outcome::Unanswered;
        };
        let (Some(payee), Some(payer)) = (self.people.get(payee), self.people.get(payer)) else {
            return Outcome::Unanswered;
        };
        let body = TransferRequest {
            to: Some(payee.id.to_string()),
            recipient: None,
            amount: Amount::from_text("0.01"),
            description: None,
            category: None,
        };
        let key = format!("{}-{ticket}", self.run);
        match client.post("/api/v1/account/transfer", Some(&payer.token), Some(&key), &body).await {
            Err(_) => Outcome::Unanswered,
            Ok(answer) if answer.status == StatusCode::CREATED || answer.status == StatusCode::ACCEPTED => {
                let pending = answer.status == StatusCode::ACCEPTED;
                // Parsing costs the generator; without followers the status says enough.
                let id = self.match_messages.then(|| answer.read::<TransactionResponse>());
                match id {
                    None => Outcome::Done { pending, id: None },
                    Some(Ok(body)) => Outcome::Done { pending, id: Some(body.transaction.id.0) },
                    Some(Err(_)) => Outcome::Unanswered,
                }
            }
            Ok(answer) => Outcome::Refused(
                answer.problem().map_or_else(|| answer.status.to_string(), |problem| problem.code.to_string()),
            ),
        }
    }
}

/// A length of time as people write it.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| format!("{text}: like 500ms, 60s or 5m"))?;
    match text.get(digits.len()..) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s" | "") => Ok(Duration::from_secs(number)),
        Some("m") => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(format!("{text}: like 500ms, 60s or 5m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        for (text, millis) in [("500ms", Some(500)), ("60s", Some(60_000)), ("5m", Some(300_000)), ("7", Some(7000))] {
            assert_eq!(duration(text).ok().map(|length| length.as_millis()), millis, "{text}");
        }
        for text in ["", "s", "5h", "-1s", "1.5s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
