//! Promises of rooms: what is said is there once, in an order that nobody can contradict, and reads as it was left.

use std::collections::{BTreeMap, HashMap};

use protocol::event::EventName;

use super::streams::message;
use super::{Promise, Verdict};
use crate::check::history::{
    Act, Device, History, Look, MessageSeen, RoomEventSeen, RoomSeen, Said, Shows, Stream, Talk, Talked, Visit, What,
};

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    for (number, room) in history.rooms.iter().enumerate() {
        let talks: Vec<&Talk> = history.talks.iter().filter(|talk| talk.room == number).collect();
        dense(number, room, verdict);
        said(number, room, &talks, verdict);
        changed(number, room, &talks, verdict);
        ordered(number, &talks, verdict);
        reads(number, room, verdict);
    }
    for device in &history.devices {
        heard(device, history, verdict);
    }
    for look in &history.looks {
        looked(look, verdict);
    }
    for visit in &history.visits {
        visited(visit, history, verdict);
    }
}

fn dense(number: usize, room: &RoomSeen, verdict: &mut Verdict) {
    for (event, due) in room.events.iter().zip(room.floor + 1..) {
        if event.offset != due {
            verdict.fault(Promise::RoomDense, format!("room {number}: offset {} where {due} is due", event.offset));
            return;
        }
    }
    let last = room.events.last().map_or(room.floor, |event| event.offset);
    if last != room.head {
        verdict.fault(Promise::RoomDense, format!("room {number}: ends at {last}, is said to end at {}", room.head));
    }
}

fn event(room: &RoomSeen, offset: u64) -> Option<&RoomEventSeen> {
    let index = room.events.binary_search_by_key(&offset, |event| event.offset).ok()?;
    room.events.get(index)
}

/// What was acknowledged is there once, what was refused is not, and nobody said anything else.
fn said(number: usize, room: &RoomSeen, talks: &[&Talk], verdict: &mut Verdict) {
    let mut by_tag: HashMap<&str, Vec<&RoomEventSeen>> = HashMap::new();
    for event in &room.events {
        match &event.shows {
            Some(Shows::Words { tag, .. }) if event.what == What::Message => by_tag.entry(tag).or_default().push(event),
            Some(Shows::Strange) => {
                verdict.fault(Promise::SaidUnasked, format!("room {number}: {event:?} is of nobody's making"));
            }
            _ => {}
        }
    }
    // What was deleted has no words any more: it is known by the offset that was answered.
    let mut expected: HashMap<u64, &Talk> = HashMap::new();
    for talk in talks.iter().filter(|talk| talk.act == Act::Publish) {
        let at = || format!("room {number}, message {}", talk.tag);
        let there = by_tag.remove(talk.tag.as_str()).unwrap_or_default();
        if there.len() > 1 {
            verdict.fault(Promise::SaidOnce, format!("{}: it is there {} times", at(), there.len()));
        }
        if there.iter().any(|event| event.by != Some(talk.person)) {
            verdict.fault(Promise::SaidOnce, format!("{}: by somebody else: {there:?}", at()));
        }
        match &talk.outcome {
            Talked::Done(offsets) => {
                let Some(first) = offsets.first() else { continue };
                if offsets.iter().any(|offset| offset != first) {
                    verdict.fault(Promise::OneAnswer, format!("{}: answered {offsets:?}", at()));
                }
                let is_there = match event(room, *first) {
                    Some(event) if event.what == What::Message && event.by == Some(talk.person) => {
                        event.shows == Some(Shows::Deleted) || there.iter().any(|there| there.offset == *first)
                    }
                    _ => false,
                };
                if !is_there {
                    verdict.fault(Promise::SaidOnce, format!("{}: answered {first}, where it is not", at()));
                }
                if let Some(other) = expected.insert(*first, talk) {
                    verdict.fault(Promise::SaidOnce, format!("{}: shares {first} with {}", at(), other.tag));
                }
            }
            Talked::Refused(code) if !there.is_empty() => {
                verdict.fault(Promise::RefusedNever, format!("{}: refused with {code}, and there", at()));
            }
            Talked::Refused(_) => {}
            Talked::Unknown => verdict.fault(Promise::OutcomeKnown, at()),
        }
    }
    for (tag, events) in by_tag {
        verdict.fault(Promise::SaidUnasked, format!("room {number}: nobody said {tag}: {events:?}"));
    }
    for talk in talks.iter().filter(|talk| talk.act == Act::Misuse) {
        let refused = matches!(&talk.outcome, Talked::Refused(code) if code == "idempotency_key_reused");
        if !refused && talk.outcome != Talked::Unknown {
            let what = format!("room {number}, {}: a key with other words: {:?}", talk.tag, talk.outcome);
            verdict.fault(Promise::OneAnswer, what);
        }
    }
}

/// What was acknowledged as changed is in the history as that change, by whom it was.
fn changed(number: usize, room: &RoomSeen, talks: &[&Talk], verdict: &mut Verdict) {
    for talk in talks {
        let (what, version) = match talk.act {
            Act::Edit { of, version } => (What::Edited(of), Some(version)),
            Act::Delete { of } => (What::Deleted(of), None),
            Act::Publish | Act::Misuse => continue,
        };
        let Talked::Done(offsets) = &talk.outcome else { continue };
        for offset in offsets {
            let is_it = event(room, *offset).is_some_and(|event| {
                // Taking back what was taken back is answered with the room's last event.
                let repeats = matches!(talk.act, Act::Delete { of } if deleted_by(room, of, *offset));
                let reads = match (&event.shows, version) {
                    (Some(Shows::Words { tag, version: shown }), Some(version)) => {
                        *tag == talk.tag && *shown == version
                    }
                    // The words of an edit go when its message is deleted.
                    (Some(Shows::Deleted), _) => true,
                    _ => false,
                };
                (event.what == what && event.by == Some(talk.person) && reads) || repeats
            });
            if !is_it {
                let found = event(room, *offset);
                let what = format!("room {number}: {talk:?}, but {offset} is {found:?}");
                verdict.fault(Promise::SaidOnce, what);
            }
        }
    }
}

/// Whether the message was deleted at or before this offset.
fn deleted_by(room: &RoomSeen, of: u64, offset: u64) -> bool {
    room.events.iter().any(|event| event.what == What::Deleted(of) && event.offset <= offset)
}

/// A turn on a line, the offset of what was said there, and its tag.
type Turn<'a> = (u64, u64, &'a str);

/// What was answered before something else was sent comes before it; and so does what was sent before it on one
/// connection.
fn ordered(number: usize, talks: &[&Talk], verdict: &mut Verdict) {
    let mut done: Vec<(u64, &Talk)> = Vec::new();
    for talk in talks.iter().filter(|talk| talk.act == Act::Publish) {
        if let Talked::Done(offsets) = &talk.outcome {
            done.extend(offsets.first().map(|offset| (*offset, *talk)));
        }
    }
    done.sort_unstable_by_key(|(offset, _)| *offset);
    let mut earliest: Option<(u64, &Talk)> = None;
    for (offset, talk) in done.iter().rev() {
        if let Some((after, later)) = earliest.filter(|(_, later)| later.ended < talk.started) {
            let what =
                format!("room {number}: {} at {offset} was sent after {} at {after} was answered", talk.tag, later.tag);
            verdict.fault(Promise::SaidInOrder, what);
        }
        if earliest.is_none_or(|(_, later)| talk.ended < later.ended) {
            earliest = Some((*offset, talk));
        }
    }
    let mut lines: BTreeMap<(usize, u64), Vec<Turn<'_>>> = BTreeMap::new();
    for (offset, talk) in &done {
        if let Some((line, turn)) = talk.line {
            lines.entry((talk.person, line)).or_default().push((turn, *offset, &talk.tag));
        }
    }
    for mut line in lines.into_values() {
        line.sort_unstable();
        for pair in line.windows(2) {
            if let [(_, before, first), (_, after, second)] = pair
                && before >= after
            {
                let what = format!("room {number}: {first} at {before}, said on one line before {second} at {after}");
                verdict.fault(Promise::SaidInOrder, what);
            }
        }
    }
}

/// A message reads as its last change left it.
fn reads(number: usize, room: &RoomSeen, verdict: &mut Verdict) {
    let mut changes: HashMap<u64, &RoomEventSeen> = HashMap::new();
    for event in &room.events {
        if let What::Edited(of) | What::Deleted(of) = event.what {
            changes.insert(of, event);
        }
    }
    for event in &room.events {
        let is_of_deleted = matches!(event.what, What::Edited(of) if deleted_by(room, of, u64::MAX));
        if is_of_deleted && event.shows != Some(Shows::Deleted) {
            verdict.fault(Promise::ReadsAsLeft, format!("room {number}: {event:?} shows words of what was deleted"));
        }
    }
    for message in room.events.iter().filter(|event| event.what == What::Message) {
        let due = match changes.get(&message.offset) {
            None => matches!(message.shows, Some(Shows::Words { version: 0, .. } | Shows::Strange)),
            Some(RoomEventSeen { what: What::Deleted(_), .. }) => message.shows == Some(Shows::Deleted),
            Some(edit) => message.shows == edit.shows,
        };
        if !due {
            let change = changes.get(&message.offset);
            verdict.fault(Promise::ReadsAsLeft, format!("room {number}: {message:?}, changed by {change:?}"));
        }
    }
}

/// What a device hears of a room is what the room says, and it is in the room.
fn heard(device: &Device, history: &History, verdict: &mut Verdict) {
    let Stream::Room(number) = device.stream else { return };
    let Some(room) = history.rooms.get(number) else { return };
    let Device { name, person, .. } = device;
    let mut messages = device.connections.iter().flat_map(|connection| &connection.steps).filter_map(message);
    if !room.members.contains(person) && messages.clone().next().is_some() {
        verdict.fault(Promise::RoomPrivate, format!("device {name} of person {person} hears room {number}"));
    }
    if let Some(message) = messages.find(|message| !is_of(room, message)) {
        let there = event(room, message.offset);
        verdict.fault(Promise::MessageTrue, format!("device {name}, room {number}: {message:?}, but it is {there:?}"));
    }
}

/// Whether the room has what the message says.
fn is_of(room: &RoomSeen, message: &MessageSeen) -> bool {
    let Some(there) = event(room, message.offset) else { return message.offset <= room.floor };
    let MessageSeen { event: name, said, .. } = message;
    match (there.what, said) {
        (What::Message, Some(Said { of: None, by, shows })) => {
            *name == EventName::MessageNew && *by == there.by && was(room, there, shows)
        }
        (What::Edited(of), Some(Said { of: Some(changed), shows, .. })) => {
            // The words of an edit go when its message is deleted.
            let agrees = there.shows.as_ref() == Some(shows) || there.shows == Some(Shows::Deleted);
            *name == EventName::MessageUpdate && of == *changed && agrees
        }
        (What::Deleted(of), Some(Said { of: Some(changed), shows, .. })) => {
            *name == EventName::MessageUpdate && of == *changed && *shows == Shows::Deleted
        }
        (What::Other, None) => matches!(name, EventName::MemberUpdate | EventName::RoomUpdate),
        _ => false,
    }
}

/// Whether the message read like this at some time.
fn was(room: &RoomSeen, there: &RoomEventSeen, shows: &Shows) -> bool {
    let changed = |what: What| room.events.iter().any(|event| event.what == what);
    match (shows, &there.shows) {
        (Shows::Words { tag, version }, Some(Shows::Words { tag: now, version: newest })) => {
            tag == now && version <= newest
        }
        // What it said before it was deleted is not shown any more, so cannot be compared.
        (Shows::Words { .. }, Some(Shows::Deleted)) => true,
        (Shows::Deleted, _) => changed(What::Deleted(there.offset)),
        _ => false,
    }
}

/// Who changed a message sees it changed.
fn looked(look: &Look, verdict: &mut Verdict) {
    let is_due = match (look.known, &look.shows) {
        (Act::Edit { version, .. }, Some(Shows::Words { version: shown, .. })) => *shown >= version,
        (Act::Edit { .. } | Act::Delete { .. }, Some(Shows::Deleted)) | (Act::Publish, Some(_)) => true,
        _ => false,
    };
    if !is_due {
        let Look { room, of, known, shows } = look;
        let what = format!("room {room}: message {of}, known as {known:?}, reads {shows:?}");
        verdict.fault(Promise::ReadsForward, what);
    }
}

/// Who left hears nothing more, and is not let in.
fn visited(visit: &Visit, history: &History, verdict: &mut Verdict) {
    let Visit { room, came, went, heard, tried, .. } = visit;
    if let Some(offset) = heard.iter().find(|offset| *offset > went) {
        let what = format!("room {room}: who came at {came} and went at {went} heard {offset}");
        verdict.fault(Promise::RoomPrivate, what);
    }
    for (what, _) in tried.iter().filter(|(_, refused)| !refused) {
        verdict.fault(Promise::RoomPrivate, format!("room {room}: {what} of who went at {went} was let through"));
    }
    if history.rooms.get(*room).is_some_and(|seen| seen.head < *went) {
        verdict.fault(Promise::RoomDense, format!("room {room}: somebody went at {went}, beyond its end"));
    }
}
