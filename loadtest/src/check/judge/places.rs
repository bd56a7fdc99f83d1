//! Where a device goes on: nothing lies behind its place that it did not apply, refuse for good, or hear of as a gap.
//!
//! What an acknowledgement settles follows from the protocol: offsets that were sent on the same connection before the
//! server had it. Which those are, the device knows: what it heard before the answer to something that it asked for
//! later. Of a connection that broke before such an answer, all that was named may be settled.

use std::collections::{BTreeSet, HashMap};

use protocol::frame::Stage;

use super::letters::Letters;
use super::story;
use super::streams::{is_gap, is_told, message, place};
use super::{Promise, Verdict};
use crate::check::history::{Connection, Device, History, Step};

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    let letters = Letters::of(history);
    for device in &history.devices {
        let mut known = Known { dead: letters.came_again(device), ..Known::default() };
        for (number, connection) in device.connections.iter().enumerate() {
            if let Some((skipped, from)) = known.resumes(device, connection, number == 0, &letters) {
                let (at, story) = (place(device, number), story::of(device, number));
                let what = format!("{at}: goes on after {from}, offset {skipped} was never done with{story}");
                verdict.fault(Promise::NothingForgotten, what);
            }
            known.hears(connection, device.stream.is_tracked());
        }
        finished(device, history, verdict);
    }
}

/// A device that stayed to the end is at the end, and the server knows that.
fn finished(device: &Device, history: &History, verdict: &mut Verdict) {
    let head = history.heads.get(&device.stream).copied().unwrap_or(0);
    let last = device.connections.iter().rev().find(|last| last.after.is_none() && last.last.is_none());
    let place = last.map_or(0, |last| last.from);
    if device.finished && place < head {
        let (name, stream) = (&device.name, device.stream);
        verdict.fault(Promise::NothingSkipped, format!("device {name}, {stream:?}: its place is {place} of {head}"));
    }
}

/// What a device is done with.
#[derive(Default)]
struct Known {
    /// All up to here.
    through: u64,
    /// And these.
    beyond: BTreeSet<u64>,
    /// And all of these.
    gaps: Vec<(u64, u64)>,
    /// And, while a letter told of them, these.
    dead: BTreeSet<u64>,
}

impl Known {
    /// A connection begins. Answers the first offset that it goes past though the device is not done with it, and
    /// where it goes on.
    fn resumes(
        &mut self,
        device: &Device,
        connection: &Connection,
        is_first: bool,
        letters: &Letters<'_>,
    ) -> Option<(u64, u64)> {
        let Connection { after, last, from, .. } = *connection;
        if is_first {
            self.through = from;
        }
        match (after, last) {
            // Who names a place is done with all before it.
            (Some(after), _) => self.through = self.through.max(after),
            (None, Some(_)) => self.through = self.through.max(from),
            (None, None) => {
                self.advance(device, letters);
                if !is_told(connection) {
                    // It ended before it could tell of a gap. The next one has to.
                    return None;
                }
                let skipped = (self.through + 1..=from).find(|offset| !is_gap(connection, *offset))?;
                // Told once.
                self.through = self.through.max(from);
                return Some((skipped, from));
            }
        }
        None
    }

    /// Takes in what was heard and said.
    fn hears(&mut self, connection: &Connection, is_tracked: bool) {
        let steps = &connection.steps;
        let came: HashMap<u64, usize> =
            steps.iter().enumerate().rev().filter_map(|(index, step)| Some((message(step)?.offset, index))).collect();
        // For each step, the highest offset that an acknowledgement names which may reach to it.
        let mut reach = vec![0; steps.len()];
        let mut heard = connection.from;
        for (index, step) in steps.iter().enumerate() {
            match step {
                Step::Message(message) => heard = heard.max(message.offset),
                Step::Gap { from, to, .. } => {
                    self.gaps.push((*from, *to));
                    heard = heard.max(*to);
                }
                Step::Acked { upto, also, stage } if *stage == Stage::Applied || !is_tracked => {
                    let end = had_by(steps, index);
                    if let Some(last) = reach.get_mut(end.unwrap_or(steps.len()).wrapping_sub(1)) {
                        *last = (*last).max(*upto);
                    }
                    let settles = |offset: &u64| match (came.get(offset), end) {
                        (Some(came), Some(end)) => *came < end,
                        (Some(_), None) => true,
                        (None, end) => end.is_none() && *offset > connection.from,
                    };
                    if is_tracked {
                        self.beyond.extend(also.iter().copied().filter(settles));
                    }
                    if *upto > heard && end.is_none() {
                        let first = if is_told(connection) { connection.from } else { self.through };
                        self.gaps.push((first + 1, *upto));
                    }
                }
                _ => {}
            }
        }
        let mut upto = 0;
        for (step, reaches) in steps.iter().zip(&reach).rev() {
            upto = upto.max(*reaches);
            self.beyond.extend(message(step).map(|message| message.offset).filter(|offset| *offset <= upto));
        }
    }

    fn advance(&mut self, device: &Device, letters: &Letters<'_>) {
        loop {
            let next = self.through + 1;
            let gap = self.gaps.iter().filter(|(from, to)| (*from..=*to).contains(&next)).map(|(_, to)| *to).max();
            if let Some(to) = gap {
                self.through = to;
            } else if self.beyond.contains(&next) || self.dead.contains(&next) || letters.tell_of(device, next) {
                self.through = next;
            } else {
                break;
            }
        }
        self.beyond = self.beyond.split_off(&self.through);
    }
}

/// The step before which the server had what was said at `index`; nothing if that is not known.
fn had_by(steps: &[Step], index: usize) -> Option<usize> {
    let later = steps.get(index..)?;
    let asked = later.iter().find_map(|step| if let Step::Asked(number) = step { Some(*number) } else { None })?;
    let is_answer = |step: &Step| matches!(step, Step::Answered(number) if *number >= asked);
    later.iter().position(is_answer).map(|position| index + position)
}
