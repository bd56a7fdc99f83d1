//! A person who talks in rooms: says things, says them again, has them read otherwise, takes them back, and looks.

mod line;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use protocol::http::room::{HistoryResponse, MessageRequest, RoomOffset};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use self::line::{Line, Sent};
use super::history::{Act, Look, Talk, Talked};
use super::rooms::event_of;
use super::words;
use super::worker::PATIENCE;
use super::world::World;
use crate::http::{Ask, Client};
use crate::person::Person;

/// The longest wait before asking again.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// The most messages that are said without waiting for an answer.
const BURST_MAX: u32 = 8;

/// A person at work in rooms.
pub(crate) struct Talker {
    world: Arc<World>,
    number: usize,
    person: Person,
    client: Client,
    line: Line,
    rng: StdRng,
    /// The numbers and ids of the rooms that the person is in.
    rooms: Vec<(usize, String)>,
    made: u64,
    talks: Vec<Talk>,
    looks: Vec<Look>,
}

/// What came of one attempt.
enum Tried {
    Done(u64),
    Refused(String),
    SignIn,
    Again(Option<u64>),
}

impl Talker {
    /// Person `number`, with a plan that follows from `seed`.
    pub(crate) fn new(world: Arc<World>, number: usize, person: Person, seed: u64, websocket: bool) -> Self {
        let rng = StdRng::seed_from_u64(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(number as u64));
        let client = Client::new(world.target.clone(), PATIENCE);
        let line = Line::new(Arc::clone(&world), websocket);
        let rooms = world.rooms_of(number).collect();
        Self { world, number, person, client, line, rng, rooms, made: 0, talks: Vec::new(), looks: Vec::new() }
    }

    /// Talks until the run stops.
    pub(crate) async fn work(mut self) -> (Vec<Talk>, Vec<Look>) {
        while !self.rooms.is_empty() && self.world.may_operate() {
            sleep(Duration::from_millis(self.rng.random_range(1..60))).await;
            let turn = self.rng.random_range(0..self.rooms.len());
            let Some((room, id)) = self.rooms.get(turn).cloned() else { break };
            match self.rng.random_range(0..100) {
                0..35 => self.burst(room, &id).await,
                35..70 => self.publish(room, &id).await,
                70..76 => self.misuse(room, &id).await,
                76..88 => self.edit(room, &id).await,
                88..94 => self.delete(room, &id).await,
                94..97 => self.notice().await,
                _ => self.look_back(room, &id).await,
            }
        }
        (self.talks, self.looks)
    }

    fn tag(&mut self) -> String {
        self.made += 1;
        format!("{}-{}-said-{}", self.world.run, self.number, self.made)
    }

    /// Says one thing over HTTP; now and then again, under the same key.
    async fn publish(&mut self, room: usize, id: &str) {
        let tag = self.tag();
        let started = self.world.now();
        let times = if self.rng.random_bool(0.1) { 2 } else { 1 };
        let outcome = self.said(id, &tag, 0, times).await;
        self.talked(Talk { line: None, ..self.talk(room, Act::Publish, tag, started, outcome) });
    }

    /// Says some things one after the other on one connection, and only then waits for the answers.
    async fn burst(&mut self, room: usize, id: &str) {
        let count = self.rng.random_range(1..=BURST_MAX);
        let tags: Vec<String> = (0..count).map(|_| self.tag()).collect();
        let started = self.world.now();
        let through_proxy = self.rng.random_bool(0.5);
        let sent = self.line.say(&mut self.person, &mut self.client, id, &tags, through_proxy).await;
        for (tag, Sent { outcome, turn, answered }) in tags.into_iter().zip(sent) {
            let known = outcome.is_some();
            let outcome = match outcome {
                Some(outcome) => outcome,
                // Whether it happened is told by the key.
                None => self.said(id, &tag, 0, 1).await,
            };
            let talk = self.talk(room, Act::Publish, tag, started, outcome);
            let ended = answered.unwrap_or(talk.ended);
            self.talked(Talk { line: turn.filter(|_| known), ended, ..talk });
        }
    }

    /// Says something else under a key that was used.
    async fn misuse(&mut self, room: usize, id: &str) {
        let Some(tag) = self.own(room).map(|talk| talk.tag.clone()) else { return };
        let started = self.world.now();
        let outcome = self.said(id, &tag, 99, 1).await;
        self.talked(self.talk(room, Act::Misuse, tag, started, outcome));
    }

    async fn edit(&mut self, room: usize, id: &str) {
        let Some((tag, of)) = self.own(room).and_then(|talk| Some((talk.tag.clone(), offset(talk)?))) else { return };
        let edits = self.talks.iter().filter(|talk| talk.tag == tag && matches!(talk.act, Act::Edit { .. })).count();
        let version = u32::try_from(edits).unwrap_or(0) + 1;
        let Ok(body) = words::write(&tag, version) else { return };
        let request = MessageRequest { body, ttl_ms: None };
        let body = serde_json::to_vec(&request).unwrap_or_default();
        let started = self.world.now();
        let path = format!("/api/v1/rooms/{id}/messages/{of}");
        let outcome = self.insist(Method::PATCH, &path, None, Some(body.into())).await;
        let act = Act::Edit { of, version };
        let done = matches!(outcome, Talked::Done(_));
        self.talked(self.talk(room, act, tag, started, outcome));
        if done && self.rng.random_bool(0.5) {
            self.look(room, id, of, act).await;
        }
    }

    async fn delete(&mut self, room: usize, id: &str) {
        let Some((tag, of)) = self.own(room).and_then(|talk| Some((talk.tag.clone(), offset(talk)?))) else { return };
        let started = self.world.now();
        let path = format!("/api/v1/rooms/{id}/messages/{of}");
        let outcome = self.insist(Method::DELETE, &path, None, None).await;
        let act = Act::Delete { of };
        let done = matches!(outcome, Talked::Done(_));
        self.talked(self.talk(room, act, tag, started, outcome));
        if done && self.rng.random_bool(0.5) {
            self.look(room, id, of, act).await;
        }
    }

    /// Makes a notice to oneself.
    async fn notice(&mut self) {
        if self.client.post("/api/v1/notifications/test", Some(&self.person.token), None, &()).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn look_back(&mut self, room: usize, id: &str) {
        if let Some(of) = self.own(room).and_then(offset) {
            self.look(room, id, of, Act::Publish).await;
        }
    }

    /// Reads one message, of which something is known.
    async fn look(&mut self, room: usize, id: &str, of: u64, known: Act) {
        let path = format!("/api/v1/rooms/{id}/messages?limit=1&after={}", of.saturating_sub(1));
        let Ok(answer) = self.client.get(&path, &self.person.token).await else { return };
        if answer.status != StatusCode::OK {
            return;
        }
        match answer.read::<HistoryResponse>() {
            Ok(page) => {
                let event = page.events.first().filter(|event| event.offset == of);
                let shows = event.and_then(|event| event_of(&self.world, event).shows);
                self.looks.push(Look { room, of, known, shows });
            }
            Err(error) => self.world.foreign(format!("{path}: {error:#}")),
        }
    }

    /// A message of one's own in the room that was acknowledged.
    fn own(&mut self, room: usize) -> Option<&Talk> {
        let start = self.talks.len().saturating_sub(200);
        let recent = self.talks.get(start..)?;
        let own: Vec<&Talk> = recent.iter().filter(|talk| talk.room == room && offset(talk).is_some()).collect();
        own.get(self.rng.random_range(0..own.len().max(1))).copied()
    }

    fn talk(&self, room: usize, act: Act, tag: String, started: u64, outcome: Talked) -> Talk {
        Talk { person: self.number, room, act, tag, started, ended: self.world.now(), line: None, outcome }
    }

    fn talked(&mut self, talk: Talk) {
        self.talks.push(talk);
        self.world.done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    async fn said(&mut self, id: &str, tag: &str, version: u32, times: usize) -> Talked {
        let Ok(body) = words::write(tag, version) else { return Talked::Unknown };
        let body: Bytes = serde_json::to_vec(&MessageRequest { body, ttl_ms: None }).unwrap_or_default().into();
        let path = format!("/api/v1/rooms/{id}/messages");
        let mut offsets = Vec::new();
        for _ in 0..times {
            match self.insist(Method::POST, &path, Some(tag), Some(body.clone())).await {
                Talked::Done(more) => offsets.extend(more),
                other if offsets.is_empty() => return other,
                other => self.world.foreign(format!("{tag} was said, and then {other:?}")),
            }
        }
        Talked::Done(offsets)
    }

    /// Asks until the outcome is known.
    async fn insist(&mut self, method: Method, path: &str, key: Option<&str>, body: Option<Bytes>) -> Talked {
        let mut wait = Duration::from_millis(20);
        loop {
            match self.tried(method.clone(), path, key, body.clone()).await {
                Tried::Done(offset) => return Talked::Done(vec![offset]),
                Tried::Refused(code) => return Talked::Refused(code),
                Tried::SignIn => _ = self.person.sign_in(&mut self.client).await,
                Tried::Again(after) => wait = after.map_or(wait, Duration::from_millis).min(BACKOFF_MAX),
            }
            if self.world.given_up() {
                return Talked::Unknown;
            }
            self.world.retries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            sleep(wait).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }

    async fn tried(&mut self, method: Method, path: &str, key: Option<&str>, body: Option<Bytes>) -> Tried {
        let ask = Ask { method, path, token: Some(&self.person.token), key, body };
        let Ok(answer) = self.client.ask(ask).await else { return Tried::Again(None) };
        if answer.status.is_success() {
            return match answer.read::<RoomOffset>() {
                Ok(done) => Tried::Done(done.offset),
                Err(error) => {
                    self.world.foreign(format!("{path}: {error:#}"));
                    Tried::Refused("foreign".into())
                }
            };
        }
        let Some(problem) = answer.problem() else {
            self.world.foreign(format!("{path} answered {} without a problem", answer.status));
            return Tried::Refused("foreign".into());
        };
        match problem.code.status() {
            401 => Tried::SignIn,
            429 | 500.. => Tried::Again(problem.retry_after_ms),
            _ => Tried::Refused(problem.code.as_str().into()),
        }
    }
}

/// Where a message is, if it was acknowledged.
fn offset(talk: &Talk) -> Option<u64> {
    match (&talk.act, &talk.outcome) {
        (Act::Publish, Talked::Done(offsets)) => offsets.first().copied(),
        _ => None,
    }
}
