//! Publishing to rooms at a rate, whatever becomes of it.

use std::fmt::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep_until;

use super::Crowd;
use super::entry::PUBLICATION;
use super::member::Member;
use crate::clock;
use crate::length::float;
use crate::line::number_after;

/// How long answers may trail behind the last publication.
const TRAIL: Duration = Duration::from_secs(2);

/// `publish`: a message for a room, answered with its offset once it is durable.
#[derive(Serialize)]
struct Publish<'a> {
    r#type: &'static str,
    /// Comes back in the answer; here it also says when the publication was due.
    id: &'a str,
    /// The room's id.
    room: &'a str,
    /// The idempotency key.
    key: &'a str,
    /// Any JSON.
    body: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    /// When it was due, in microseconds since 1970.
    at: u64,
    text: &'a str,
}

impl Crowd {
    /// Publishes evenly, round the first so many sessions of the run.
    pub(super) async fn publish(self: &Rc<Self>, rate: f64, length: Duration, bytes: usize, publishers: usize) {
        // This worker's share: sessions are numbered over all workers.
        let own = publishers.saturating_sub(self.job.first).min(self.members.len());
        let rate = rate * float(own as u64) / float(publishers.max(1) as u64);
        if own == 0 || rate <= 0.0 {
            tokio::time::sleep(length + TRAIL).await;
            return;
        }
        let padding = "x".repeat(bytes);
        let (start, wall) = (Instant::now(), clock::now());
        let (mut number, mut id, mut key) = (0_u64, String::new(), String::new());
        loop {
            let after = Duration::from_secs(1).mul_f64(float(number) / rate);
            if after >= length {
                break;
            }
            if start + after > Instant::now() {
                sleep_until((start + after).into()).await;
            }
            let at = u64::try_from((wall + after).as_micros()).unwrap_or(u64::MAX);
            let turn = usize::try_from(number).unwrap_or(0) % own;
            number += 1;
            self.published.set(self.published.get() + 1);
            id.clear();
            key.clear();
            // Writing to a string does not fail.
            _ = write!(id, "{PUBLICATION}{at}");
            _ = write!(key, "{}-{}-{}", self.job.run, self.job.first, self.published.get());
            if let Some(member) = self.members.get(turn) {
                self.publish_one(member, &id, &key, at, &padding);
            }
            if number.is_multiple_of(64) {
                // What is due at once must not keep what comes from being heard.
                tokio::task::yield_now().await;
            }
        }
        tokio::time::sleep(TRAIL).await;
    }

    fn publish_one(&self, member: &Member, id: &str, key: &str, at: u64, text: &str) {
        let Some(line) = member.line() else { return self.meter.count("unpublished") };
        let Some(room) = self.stream(member).strip_prefix("room:") else { return self.meter.count("unpublished") };
        let frame = Publish { r#type: "publish", id, room, key, body: Body { at, text } };
        match serde_json::to_string(&frame).ok().map(|text| line.send(&text)) {
            Some(Ok(())) => self.meter.count("published"),
            _ => self.meter.count("unpublished"),
        }
    }

    /// A publication is durable.
    pub(super) fn published(&self, member: &Member, due: &str, result: &str) {
        if let Ok(due) = due.parse() {
            self.meter.time("publish", clock::now().saturating_sub(Duration::from_micros(due)));
        }
        self.meter.count("durable");
        if let Some(offset) = number_after::<u64>(result, r#""offset":"#) {
            let mut heads = self.heads.borrow_mut();
            match heads.get_mut(self.stream(member)) {
                Some(known) => *known = offset.max(*known),
                None => _ = heads.insert(self.stream(member).to_owned(), offset),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_written_as_the_protocol_has_it() {
        let body = Body { at: 5, text: "xx" };
        let frame = Publish { r#type: "publish", id: "p5", room: "r", key: "k", body };
        let text = serde_json::to_string(&frame).unwrap();
        assert_eq!(text, r#"{"type":"publish","id":"p5","room":"r","key":"k","body":{"at":5,"text":"xx"}}"#);
    }
}
