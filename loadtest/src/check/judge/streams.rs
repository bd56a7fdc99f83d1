//! Promises of a stream: every offset once or said to be missing, in order, the same at every delivery.
//!
//! Where a device goes on when it comes back is the business of [`places`](super::places).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::event::EventName;

use super::letters::Letters;
use super::{Promise, Verdict, story};
use crate::check::history::{Connection, Device, History, MessageSeen, Step, Stream};

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    let letters = Letters::of(history);
    let mut heard_of: BTreeMap<Stream, Heard<'_>> = BTreeMap::new();
    for device in &history.devices {
        let came_again = letters.came_again(device);
        for (number, connection) in device.connections.iter().enumerate() {
            let at = place(device, number);
            begins(&at, connection, verdict);
            goes_on(device, number, (&letters, &came_again), verdict);
            let heard = heard_of.entry(device.stream).or_default();
            for message in connection.steps.iter().filter_map(message) {
                heard.same(&at, message, verdict);
            }
            if connection.overstayed {
                verdict.fault(Promise::SilentClosed, format!("{at}: nothing was acknowledged, and it was let be"));
            }
        }
    }
    for (stream, heard) in &heard_of {
        if let Stream::Account(person) = stream {
            heard.is_booked(*person, history, verdict);
        }
    }
}

/// Which connection of which device.
pub(super) fn place(device: &Device, number: usize) -> String {
    let Device { name, stream, .. } = device;
    format!("device {name}, {stream:?}, connection {number}")
}

pub(super) fn message(step: &Step) -> Option<&MessageSeen> {
    match step {
        Step::Message(message) => Some(message),
        _ => None,
    }
}

/// Whether a connection was told that the offset will not come.
pub(super) fn is_gap(connection: &Connection, offset: u64) -> bool {
    let is_in = |step: &Step| matches!(step, Step::Gap { from, to, .. } if (*from..=*to).contains(&offset));
    connection.steps.iter().any(is_in)
}

/// Whether anything came on a connection behind the word of where it begins.
pub(super) fn is_told(connection: &Connection) -> bool {
    let is_word = |step: &Step| matches!(step, Step::Message(_) | Step::Gap { .. } | Step::Answered(_));
    connection.steps.iter().any(is_word)
}

/// What was asked for is what is begun with.
fn begins(at: &str, connection: &Connection, verdict: &mut Verdict) {
    let Connection { after, last, from, head, .. } = *connection;
    if from > head {
        verdict.fault(Promise::NothingSkipped, format!("{at}: begins after {from} of {head}"));
    }
    let has_gaps = || connection.steps.iter().any(|step| matches!(step, Step::Gap { .. }));
    match (after, last) {
        (Some(after), _) if from < after && !has_gaps() => {
            verdict.fault(Promise::NothingSkipped, format!("{at}: asked after {after}, begins after {from}"));
        }
        // One that ended before it could tell of a gap said nothing wrong.
        (Some(after), _) if is_told(connection) => {
            if let Some(skipped) = (after + 1..=from).find(|offset| !is_gap(connection, *offset)) {
                let what = format!("{at}: asked after {after}, begins after {from}, offset {skipped} never came");
                verdict.fault(Promise::NothingSkipped, what);
            }
        }
        (None, Some(last)) if from != head.saturating_sub(last.into()) => {
            verdict.fault(Promise::NothingSkipped, format!("{at}: asked for the last {last} of {head}, got {from}"));
        }
        _ => {}
    }
}

/// Goes through what came on one connection: in order, each the first time once, without a hole that is not said.
fn goes_on(
    device: &Device,
    number: usize,
    (letters, came_again): (&Letters<'_>, &BTreeSet<u64>),
    verdict: &mut Verdict,
) {
    let Some(connection) = device.connections.get(number) else { return };
    let at = place(device, number);
    let mut expected = connection.from + 1;
    let mut tries: HashMap<u64, u32> = HashMap::new();
    for step in &connection.steps {
        match step {
            Step::Gap { from, to, .. } => {
                if to < from {
                    verdict.fault(Promise::NothingSkipped, format!("{at}: a gap from {from} to {to}"));
                }
                if *from <= expected {
                    expected = expected.max(to + 1);
                }
            }
            Step::Message(message) => {
                let MessageSeen { offset, attempt, .. } = message;
                // What was given up comes again behind what came since, as a further attempt.
                let is_dead = || {
                    letters.tell_of(device, *offset)
                        || came_again.contains(offset)
                        || letters.tell_a_person_of(device.stream, *offset)
                };
                let again = || *attempt > 1 && is_dead();
                match tries.insert(*offset, *attempt) {
                    None if *offset < expected && !again() => {
                        let (story, told) = (story::of(device, number), letters.story(device));
                        let what =
                            format!("{at}: offset {offset}, attempt {attempt}, where {expected} is due{story}{told}");
                        verdict.fault(Promise::NothingSkipped, what);
                    }
                    Some(before) if *attempt <= before => {
                        let what = format!("{at}: offset {offset} again, attempt {attempt} after {before}");
                        verdict.fault(Promise::NothingSkipped, what);
                    }
                    _ => {}
                }
                if *offset > expected {
                    let what = format!("{at}: offset {offset} where {expected} is due");
                    verdict.fault(Promise::NothingSkipped, what);
                }
                expected = expected.max(offset + 1);
            }
            Step::Acked { .. } | Step::Refused { .. } | Step::Asked(_) | Step::Answered(_) => {}
        }
    }
}

/// All messages of one stream, by offset, whoever heard them.
#[derive(Default)]
struct Heard<'a> {
    by_offset: HashMap<u64, &'a MessageSeen>,
    by_id: HashMap<&'a str, u64>,
}

impl<'a> Heard<'a> {
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
    fn is_booked(&self, person: usize, history: &History, verdict: &mut Verdict) {
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
