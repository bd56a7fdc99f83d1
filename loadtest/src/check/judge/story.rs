//! What led to a fault, in a line a connection, for the person who looks for the cause.

use std::fmt::Write;

use crate::check::history::{Connection, Device, Step};

/// The connections of a device before this one that are told, and this one.
const TOLD: usize = 4;
/// The most steps that are told of one connection, besides runs of messages.
const STEPS_MAX: usize = 60;

/// The last few connections of a device up to connection `number`.
pub(super) fn of(device: &Device, number: usize) -> String {
    let first = (number + 1).saturating_sub(TOLD);
    let told = device.connections.iter().enumerate().take(number + 1).skip(first);
    told.fold(String::new(), |story, (number, connection)| story + &line(number, connection))
}

fn line(number: usize, connection: &Connection) -> String {
    let Connection { after, last, from, head, steps, .. } = connection;
    let mut line = format!("\n    connection {number}, after {after:?}, last {last:?}: begins after {from} of {head}");
    let mut run: Option<(u64, u64)> = None;
    let mut left = STEPS_MAX;
    for step in steps {
        if let Step::Message(message) = step {
            run = Some((run.map_or(message.offset, |(first, _)| first), message.offset));
            continue;
        }
        if left == 0 {
            line.push_str("; …");
            break;
        }
        left -= 1;
        if let Some((first, last)) = run.take() {
            _ = write!(line, "; heard {first}–{last}");
        }
        match step {
            Step::Message(_) => {}
            Step::Gap { from, to, reason } => _ = write!(line, "; gap {from}–{to} {reason:?}"),
            Step::Acked { upto, also, stage } => _ = write!(line, "; {stage:?} {upto} {also:?}"),
            Step::Refused { offset } => _ = write!(line, "; refused {offset}"),
            Step::Asked(question) => _ = write!(line, "; asked {question}"),
            Step::Answered(question) => _ = write!(line, "; answered {question}"),
        }
    }
    if let Some((first, last)) = run {
        _ = write!(line, "; heard {first}–{last}");
    }
    line
}
