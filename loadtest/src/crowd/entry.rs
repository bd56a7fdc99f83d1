//! Coming in: connect, say hello, be welcomed and subscribed; then hear what comes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use protocol::frame::client::Hello;
use protocol::frame::{ClientFrame, ServerFrame, StreamName, Subscription};
use rand::RngExt;
use tokio::time::{sleep, timeout};

use super::Crowd;
use super::member::{Member, Step};
use crate::clock;
use crate::line::{Came, Ended, Glance, Line, Way, number_after, open};

/// Messages of talk that are acknowledged at a time, when they come that fast.
const TALK_ACKED_PER: u64 = 32;

/// The smallest wait before a session that was refused tries again.
const BACKOFF: Duration = Duration::from_millis(10);
/// The largest.
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// How long one attempt may take: as long as a server waits for a hello.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(10);
/// Where a stamped body says when it was due, in microseconds.
pub(super) const STAMP: &str = r#""at":"#;
/// Before the number in the id of a publication.
pub(super) const PUBLICATION: &str = "p";

/// A visit of a session.
#[derive(Clone, Copy)]
pub(super) struct Visit {
    /// Whether it is the first: then one attempt is all it has.
    pub(super) first: bool,
    /// From when it counts.
    pub(super) due: Instant,
    /// How long it may take until it is in.
    pub(super) patience: Duration,
}

/// Why an attempt failed; what is counted.
type Why = String;

impl Crowd {
    /// Comes in and stays until the connection ends.
    pub(super) async fn visit(&self, member: &Member, visit: Visit) {
        let entered = timeout(visit.patience.saturating_sub(visit.due.elapsed()), self.enter(member, visit)).await;
        let caught_up = Cell::new(None);
        let entered = match entered {
            Ok(Ok(line)) => {
                if visit.first {
                    self.meter.count("in");
                    self.last_in.set(Instant::now());
                    self.is_through();
                } else {
                    self.meter.count("resumed");
                    caught_up.set(Some(visit.due));
                }
                Ok(line)
            }
            Ok(Err(why)) => Err(why),
            Err(_) => Err("not in time".to_owned()),
        };
        let ended = match entered {
            Ok(line) => self.listen(member, &line, &caught_up).await,
            Err(why) => {
                self.meter.fault("refused", || format!("session {}: {why}", member.number));
                self.is_through();
                return;
            }
        };
        member.gone();
        if caught_up.get().is_some() {
            self.is_through();
        }
        if self.bracing.get() {
            self.meter.count("cut");
        } else {
            self.meter.fault("dropped", || format!("session {}: {ended}", member.number));
        }
    }

    /// Connects and is subscribed, with more than one attempt if it is not the first visit.
    async fn enter(&self, member: &Member, visit: Visit) -> Result<Rc<Line>, Why> {
        let mut wait = BACKOFF;
        loop {
            let place = self.gate.acquire().await;
            let attempt = timeout(ATTEMPT_PATIENCE, self.attempt(member, visit)).await;
            drop(place);
            let why = match attempt {
                Ok(Ok(line)) => return Ok(line),
                Ok(Err(why)) => why,
                Err(_) => "no answer in time".to_owned(),
            };
            member.gone();
            if visit.first {
                return Err(why);
            }
            self.meter.count("again");
            sleep(wait.mul_f64(rand::rng().random_range(0.5..1.0))).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }

    async fn attempt(&self, member: &Member, visit: Visit) -> Result<Rc<Line>, Why> {
        let addresses = &self.job.addresses;
        let from = member.number.checked_rem(addresses.len()).and_then(|index| addresses.get(index)).copied();
        let mask = u32::try_from(member.number).unwrap_or(u32::MAX);
        let line = open(Way { server: self.server.get(), from }, mask).await.map_err(|refused| refused.to_string())?;
        let line = Rc::new(line);
        let hello = self.hello(member).ok_or("no hello")?;
        member.connected(&line);
        line.send(&hello).map_err(|ended| ended.to_string())?;
        let welcomed = Cell::new(false);
        while !member.is_subscribed() {
            let mut refused = None;
            let received = line.receive(|came| {
                if let Came::Text(text) = came {
                    self.text(member, text, &mut |frame| match frame {
                        ServerFrame::Welcome(_) => welcomed.set(true),
                        ServerFrame::Error(error) => refused = Some(error.code.to_string()),
                        _ => {}
                    });
                }
            });
            received.await.map_err(|ended| ended.to_string())?;
            if let Some(code) = refused {
                return Err(code);
            }
            if welcomed.take() && visit.first {
                self.meter.time("welcome", visit.due.elapsed());
            }
        }
        self.meter.time(if visit.first { "subscribed" } else { "resumed" }, visit.due.elapsed());
        Ok(line)
    }

    fn hello(&self, member: &Member) -> Option<String> {
        let subscription = Subscription { stream: StreamName::of(self.stream(member)), after: None, last: None };
        let hello = Hello {
            token: self.job.bearers.get(member.index)?.token.as_str().into(),
            device: self.job.devices.then(|| format!("{}-{}", self.job.run, member.number).into()),
            subscribe: vec![subscription],
        };
        serde_json::to_string(&ClientFrame::Hello(hello)).ok()
    }

    /// The stream that a session follows.
    pub(super) fn stream(&self, member: &Member) -> &str {
        let streams = &self.job.streams;
        streams.get(member.index).or_else(|| streams.last()).map_or("account", String::as_str)
    }

    /// Hears until the connection ends.
    async fn listen(&self, member: &Member, line: &Line, caught_up: &Cell<Option<Instant>>) -> Ended {
        loop {
            if member.is_caught_up()
                && let Some(since) = caught_up.take()
            {
                self.meter.time("caught up", since.elapsed());
                self.meter.count("caught up");
                self.is_through();
            }
            // Of talk the protocol asks for no more; what is left is acknowledged each second, for all.
            let at_least = if self.stream(member).starts_with("room:") { TALK_ACKED_PER } else { 1 };
            if let Err(ended) = self.acknowledge(member, line, at_least) {
                return ended;
            }
            let received = line.receive(|came| match came {
                Came::Text(text) => self.text(member, text, &mut |_| {}),
                Came::Ping => self.meter.count("pings"),
            });
            if let Err(ended) = received.await {
                return ended;
            }
        }
    }

    /// Acknowledges what came, if at least so much is not acknowledged.
    pub(super) fn acknowledge(&self, member: &Member, line: &Line, at_least: u64) -> Result<(), Ended> {
        let Some(upto) = member.to_acknowledge(at_least) else { return Ok(()) };
        line.send(&format!(r#"{{"type":"ack","stream":"{}","upto":{upto}}}"#, self.stream(member)))
    }

    /// Takes in a text; frames that are not of the stream are shown to `other`, too.
    fn text(&self, member: &Member, text: &str, other: &mut impl FnMut(&ServerFrame)) {
        match Glance::of(text) {
            Glance::Message { stream, offset } => self.message(member, stream, offset, text),
            Glance::Frames(frames) => {
                for frame in &frames {
                    self.frame(member, frame, text);
                    other(frame);
                }
            }
            Glance::Foreign(what) => self.meter.fault("foreign", || what),
        }
    }

    fn message(&self, member: &Member, stream: &str, offset: u64, text: &str) {
        if stream != self.stream(member) {
            return self.meter.fault("foreign", || format!("a message of {stream}, which was not subscribed"));
        }
        self.heard.messages.set(self.heard.messages.get() + 1);
        match member.came(offset) {
            Step::New => {
                if let Some(at) = number_after::<u64>(text, STAMP)
                    && let Some(delivery) = self.heard.delivery.borrow_mut().as_mut()
                {
                    delivery.record(clock::now().saturating_sub(Duration::from_micros(at)));
                }
            }
            Step::Again | Step::Twice => self.heard.repeated.set(self.heard.repeated.get() + 1),
            Step::Skipped(count) => {
                let number = member.number;
                self.meter.fault("lost", || format!("session {number}: {count} messages missing before {offset}"));
            }
        }
        member.changed.notify_one();
    }

    fn frame(&self, member: &Member, frame: &ServerFrame, text: &str) {
        match frame {
            ServerFrame::Message(message) => {
                self.message(member, &message.stream.to_string(), message.offset, text);
            }
            ServerFrame::Subscribed(subscribed) => {
                let left_out = member.subscribed(subscribed.from, subscribed.head);
                if left_out > 0 {
                    let (number, from) = (member.number, subscribed.from);
                    self.meter.fault("lost", || {
                        format!("session {number}: resumed after {from}, {left_out} messages left out")
                    });
                }
            }
            ServerFrame::Gap(gap) => {
                member.passed(gap.to);
                self.meter.fault("gaps", || {
                    format!("session {}: a gap from {} to {}: {:?}", member.number, gap.from, gap.to, gap.reason)
                });
            }
            ServerFrame::Reply(reply) => {
                if let Some(due) = reply.id.strip_prefix(PUBLICATION) {
                    self.published(member, due, reply.result.get());
                } else {
                    member.balance.set(number_after(reply.result.get(), r#""offset":"#));
                    member.changed.notify_one();
                }
            }
            ServerFrame::Error(error) => {
                self.meter.count(format!("error {}", error.code));
                member.changed.notify_one();
            }
            _ => {}
        }
    }
}
