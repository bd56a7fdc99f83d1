//! Promises of a stream: every offset once or said to be missing, in order, the same at every delivery.

use std::collections::HashMap;

use protocol::event::EventName;

use super::{Promise, Verdict};
use crate::check::history::{Connection, Device, Heard, History, MessageSeen};

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    let mut streams: HashMap<usize, Stream<'_>> = HashMap::new();
    for device in &history.devices {
        let mut place = None;
        for (number, connection) in device.connections.iter().enumerate() {
            let at = format!("person {}, device {}, connection {number}", device.person, device.name);
            place = Some(heard(&at, connection, place, verdict));
            let stream = streams.entry(device.person).or_default();
            for message in connection.heard.iter().filter_map(message) {
                stream.same(&at, message, verdict);
            }
        }
        finished(device, place, history, verdict);
    }
    for (person, stream) in &streams {
        stream.is_true(*person, history, verdict);
    }
}

fn message(heard: &Heard) -> Option<&MessageSeen> {
    match heard {
        Heard::Message(message) => Some(message),
        Heard::Gap { .. } => None,
    }
}

/// Goes through one connection. Answers the offset up to which the device knows everything.
fn heard(at: &str, connection: &Connection, known: Option<u64>, verdict: &mut Verdict) -> u64 {
    let Connection { after, acknowledged, from, heard } = connection;
    let gaps = |offset: u64| {
        heard.iter().any(|it| matches!(it, Heard::Gap { from, to, .. } if (*from..=*to).contains(&offset)))
    };
    // Where it had to begin: at what was asked, or not past what the device had acknowledged.
    let is_gap = |it: &Heard| matches!(it, Heard::Gap { .. });
    if let Some(after) = after.filter(|after| from < after && !heard.iter().any(is_gap)) {
        verdict.fault(Promise::NothingSkipped, format!("{at}: asked after {after}, begins after {from}"));
    }
    let place = after.or(known.is_some().then_some(*acknowledged)).unwrap_or(*from);
    if let Some(skipped) = (place + 1..=*from).find(|offset| !gaps(*offset)) {
        verdict.fault(Promise::NothingSkipped, format!("{at}: begins after {from}, offset {skipped} never came"));
    }
    let mut expected = from + 1;
    let mut tries: HashMap<u64, u32> = HashMap::new();
    for it in heard {
        match it {
            Heard::Gap { from, to, .. } => {
                if to < from {
                    verdict.fault(Promise::NothingSkipped, format!("{at}: a gap from {from} to {to}"));
                }
                if *from <= expected {
                    expected = expected.max(to + 1);
                }
            }
            Heard::Message(message) => {
                let MessageSeen { offset, attempt, .. } = message;
                match tries.insert(*offset, *attempt) {
                    None if *offset < expected => {
                        let what = format!("{at}: offset {offset} where {expected} is due");
                        verdict.fault(Promise::NothingSkipped, what);
                    }
                    None => {}
                    Some(before) if *attempt > before => {}
                    Some(before) => {
                        let what = format!("{at}: offset {offset} again, attempt {attempt} after {before}");
                        verdict.fault(Promise::NothingSkipped, what);
                    }
                }
                if *offset > expected {
                    let what = format!("{at}: offset {offset} where {expected} is due");
                    verdict.fault(Promise::NothingSkipped, what);
                }
                expected = expected.max(offset + 1);
            }
        }
    }
    expected - 1
}

/// A device that stayed to the end knows everything.
fn finished(device: &Device, place: Option<u64>, history: &History, verdict: &mut Verdict) {
    let head = history.people.get(device.person).map_or(0, |person| person.balance.offset);
    let place = place.unwrap_or(0);
    if device.finished && place < head {
        let (person, name) = (device.person, &device.name);
        let what = format!("person {person}, device {name}: heard up to {place} of {head}");
        verdict.fault(Promise::NothingSkipped, what);
    }
}

/// All messages of one person's account, by offset, whoever heard them.
#[derive(Default)]
struct Stream<'a> {
    by_offset: HashMap<u64, &'a MessageSeen>,
    by_id: HashMap<&'a str, u64>,
}

impl<'a> Stream<'a> {
    /// The same offset is the same message; another offset is another.
    fn same(&mut self, at: &str, message: &'a MessageSeen, verdict: &mut Verdict) {
        let first = *self.by_offset.entry(message.offset).or_insert(message);
        if (first.id.as_ref(), first.event, first.data) != (message.id.as_ref(), message.event, message.data) {
            verdict.fault(Promise::SameMessage, format!("{at}: first {first:?}, then {message:?}"));
        }
        let offset = *self.by_id.entry(&message.id).or_insert(message.offset);
        if offset != message.offset {
            verdict
                .fault(Promise::SameMessage, format!("{at}: {} is offset {offset} and {}", message.id, message.offset));
        }
    }

    /// New entries say what the statement says, and every entry that was heard of is one.
    fn is_true(&self, person: usize, history: &History, verdict: &mut Verdict) {
        let statement = history.people.get(person).map_or(&[][..], |person| person.statement.as_slice());
        let entries: HashMap<u64, _> = statement.iter().map(|entry| (entry.offset, entry)).collect();
        for (offset, message) in &self.by_offset {
            let booked = entries.get(offset).map(|entry| (entry.id, entry.amount, entry.balance_after));
            let told = (message.event == EventName::TransactionNew).then_some(message.entry).flatten();
            if told != booked || (message.event == EventName::TransactionNew) != booked.is_some() {
                verdict.fault(Promise::MessageTrue, format!("person {person}: booked {booked:?}, told {message:?}"));
            }
        }
    }
}
