//! Promises of dead letters: each tells of something that was refused or left, under its own words, and ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use super::streams::message;
use super::{Promise, Verdict};
use crate::check::history::{Connection, Device, History, LetterSeen, Step, Stream, refused_by};

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    let Some(letters) = &history.letters else { return };
    let mut refused: BTreeMap<(usize, Stream), BTreeSet<u64>> = BTreeMap::new();
    for device in &history.devices {
        let steps = device.connections.iter().flat_map(|connection| &connection.steps);
        let offsets = steps.filter_map(|step| if let Step::Refused { offset } = step { Some(*offset) } else { None });
        refused.entry((device.number, device.stream)).or_default().extend(offsets);
    }
    for letter in letters {
        let LetterSeen { id, stream, offsets: (from, to), .. } = letter;
        let at = format!("dead letter {id} of {stream:?}, {from} to {to}");
        if !letter.resolved {
            verdict.fault(Promise::LetterResolved, at.clone());
        }
        if from > to || *to > history.heads.get(stream).copied().unwrap_or(0) {
            verdict.fault(Promise::LetterTrue, format!("{at}: there are no such offsets"));
        }
        if !stream.is_tracked() {
            verdict.fault(Promise::LetterTrue, format!("{at}: nothing of a room is given up"));
        }
        if letter.reason != "refused" {
            continue;
        }
        let Some(device) = refused_by(&letter.last_error) else {
            // What is reported again, or left when it was redriven, says so in the server's words.
            if !matches!(letter.last_error.as_str(), "refused" | "unacknowledged") {
                verdict.fault(Promise::LetterTrue, format!("{at}: nobody said {}", letter.last_error));
            }
            continue;
        };
        let said = refused.get(&(device, *stream));
        if let Some(offset) = (*from..=*to).find(|offset| !said.is_some_and(|said| said.contains(offset))) {
            verdict.fault(Promise::LetterTrue, format!("{at}: device {device} never refused {offset}"));
        }
    }
}

/// What a device refused on one connection, or left while it acknowledged later messages: of these dead letters may
/// have told.
fn given_up(connection: &Connection) -> BTreeSet<u64> {
    let (mut given_up, mut open) = (BTreeSet::new(), BTreeSet::new());
    for step in &connection.steps {
        match step {
            Step::Message(message) => _ = open.insert(message.offset),
            Step::Refused { offset } => _ = given_up.insert(*offset),
            Step::Acked { upto, also, .. } => {
                open.retain(|offset| offset > upto && !also.contains(offset));
                let last = also.iter().max().copied().unwrap_or(0);
                given_up.extend(open.range(..last));
            }
            Step::Gap { .. } | Step::Asked(_) | Step::Answered(_) => {}
        }
    }
    given_up
}

/// The dead letters, to be found by what they tell of.
pub(super) struct Letters<'a> {
    of: HashMap<Stream, Vec<&'a LetterSeen>>,
    /// The last offset that a letter of a person told of.
    of_person: HashMap<Stream, u64>,
    /// The names that the server has for devices, as far as letters tell.
    devices: HashMap<&'a str, usize>,
}

impl<'a> Letters<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut letters = Self { of: HashMap::new(), of_person: HashMap::new(), devices: HashMap::new() };
        for letter in history.letters.iter().flatten() {
            if letter.is_of_person() {
                let last = letters.of_person.entry(letter.stream).or_default();
                *last = (*last).max(letter.offsets.1);
                continue;
            }
            letters.of.entry(letter.stream).or_default().push(letter);
            if let (Some(name), Some(device)) = (&letter.device, refused_by(&letter.last_error)) {
                letters.devices.insert(name, device);
            }
        }
        letters
    }

    /// What was given up for a device and came again: on a later connection, or behind what came since. A letter that
    /// tells of a run of messages shrinks as they are applied, so that at the end it may tell of fewer.
    pub(super) fn came_again(&self, device: &Device) -> BTreeSet<u64> {
        if !self.of.contains_key(&device.stream) {
            return BTreeSet::new();
        }
        let (mut before, mut came) = (BTreeSet::new(), BTreeSet::new());
        for connection in &device.connections {
            let here = given_up(connection);
            let mut newest = connection.from;
            for message in connection.steps.iter().filter_map(message) {
                let is_behind = message.attempt > 1 && message.offset <= newest && here.contains(&message.offset);
                if is_behind || before.contains(&message.offset) {
                    came.insert(message.offset);
                }
                newest = newest.max(message.offset);
            }
            before.extend(here);
        }
        came
    }

    /// Whether a letter tells of this message for this device, as far as one can know.
    pub(super) fn tell_of(&self, device: &Device, offset: u64) -> bool {
        self.of.get(&device.stream).into_iter().flatten().any(|letter| {
            let known = letter.device.as_ref().and_then(|name| self.devices.get(name.as_str()));
            let (from, to) = letter.offsets;
            (from..=to).contains(&offset) && known.is_none_or(|known| *known == device.number)
        })
    }

    /// Whether a letter of the person may tell of this message: it is offered to all their devices. What it told of at
    /// first nobody knows at the end, because it shrinks from there.
    pub(super) fn tell_a_person_of(&self, stream: Stream, offset: u64) -> bool {
        self.of_person.get(&stream).is_some_and(|last| offset <= *last)
    }

    /// What letters of its stream there are that may be this device's, for the person who looks for a cause.
    pub(super) fn story(&self, device: &Device) -> String {
        let mut story = String::from("\n    dead letters");
        for letter in self.of.get(&device.stream).into_iter().flatten() {
            let known = letter.device.as_ref().and_then(|name| self.devices.get(name.as_str()));
            if known.is_none_or(|known| *known == device.number) {
                let (LetterSeen { reason, last_error, .. }, (from, to)) = (letter, letter.offsets);
                _ = write!(story, "; {from}–{to} {reason}, {last_error}");
            }
        }
        if let Some(last) = self.of_person.get(&device.stream) {
            _ = write!(story, "; of the person, up to {last}");
        }
        story
    }
}
