//! Faults of rooms.

use super::*;
use crate::check::history::{Act, Look, RoomEventSeen, RoomSeen, Said, Shows, Talk, Talked, Visit, What};

fn words(tag: &str, version: u32) -> Shows {
    Shows::Words { tag: tag.into(), version }
}

fn event(offset: u64, what: What, by: Option<usize>, shows: Option<Shows>) -> RoomEventSeen {
    RoomEventSeen { offset, what, by, shows }
}

fn talk(person: usize, act: Act, tag: &str, times: (u64, u64), offset: u64) -> Talk {
    let outcome = Talked::Done(vec![offset]);
    Talk { person, room: 0, act, tag: tag.into(), started: times.0, ended: times.1, line: None, outcome }
}

fn heard(offset: u64, event: EventName, said: Option<Said>) -> Step {
    let id = format!("r{offset}").into();
    Step::Message(MessageSeen { offset, id, event, attempt: 1, data: offset, entry: None, said })
}

/// Asha (0) made a room with Ravi (1). She says a and c, he says b; she edits a and takes c back, and a stranger comes
/// and goes.
fn talked() -> History {
    let events = vec![
        event(1, What::Other, Some(0), None),
        event(2, What::Message, Some(0), Some(words("a", 1))),
        event(3, What::Message, Some(1), Some(words("b", 0))),
        event(4, What::Edited(2), Some(0), Some(words("a", 1))),
        event(5, What::Message, Some(0), Some(Shows::Deleted)),
        event(6, What::Deleted(5), Some(0), Some(Shows::Deleted)),
        event(7, What::Other, None, None),
        event(8, What::Other, None, None),
    ];
    let of_message = |by, shows| Some(Said { of: None, by: Some(by), shows });
    let steps = vec![
        heard(1, EventName::RoomUpdate, None),
        // She hears it as it read then, or as it reads now.
        heard(2, EventName::MessageNew, of_message(0, words("a", 0))),
        heard(3, EventName::MessageNew, of_message(1, words("b", 0))),
        heard(4, EventName::MessageUpdate, Some(Said { of: Some(2), by: None, shows: words("a", 1) })),
        heard(5, EventName::MessageNew, of_message(0, Shows::Deleted)),
        heard(6, EventName::MessageUpdate, Some(Said { of: Some(5), by: None, shows: Shows::Deleted })),
        heard(7, EventName::MemberUpdate, None),
        heard(8, EventName::MemberUpdate, None),
        applied(8),
    ];
    let stream = Stream::Room(0);
    let connections = vec![connection(0, 8, steps), connection(8, 8, Vec::new())];
    let device = Device { person: 1, name: "d".into(), number: 1, stream, connections, finished: true };
    let edit = Act::Edit { of: 2, version: 1 };
    let delete = Act::Delete { of: 5 };
    History {
        rooms: vec![RoomSeen { members: vec![0, 1], floor: 0, head: 8, events }],
        talks: vec![
            Talk { line: Some((1, 1)), ..talk(0, Act::Publish, "a", (10, 20), 2) },
            talk(1, Act::Publish, "b", (15, 30), 3),
            talk(0, edit, "a", (31, 40), 4),
            Talk { line: Some((1, 2)), ..talk(0, Act::Publish, "c", (41, 50), 5) },
            talk(0, delete, "c", (51, 60), 6),
            Talk {
                outcome: Talked::Refused("idempotency_key_reused".into()),
                ..talk(0, Act::Misuse, "a", (61, 70), 0)
            },
        ],
        looks: vec![
            Look { room: 0, of: 2, known: edit, shows: Some(words("a", 1)) },
            Look { room: 0, of: 5, known: delete, shows: Some(Shows::Deleted) },
        ],
        visits: vec![Visit { room: 0, came: 7, went: 8, heard: vec![7, 8], tried: vec![("a reading", true)] }],
        devices: vec![device],
        heads: [(stream, 8)].into(),
        ..History::default()
    }
}

#[track_caller]
fn check(promise: Promise, plant: impl FnOnce(&mut History)) {
    let mut history = talked();
    plant(&mut history);
    let verdict = judge(&history);
    assert!(verdict.counts.contains_key(&promise), "not found: {promise:?}; found {:#?}", verdict.faults);
}

fn events(history: &mut History) -> &mut Vec<RoomEventSeen> {
    &mut history.rooms[0].events
}

#[track_caller]
fn told(history: &mut History, offset: usize) -> &mut MessageSeen {
    match &mut history.devices[0].connections[0].steps[offset - 1] {
        Step::Message(message) => message,
        other => unreachable!("no message: {other:?}"),
    }
}

#[test]
fn a_good_talk_passes() {
    let verdict = judge(&talked());
    assert!(verdict.faults.is_empty(), "{:#?}", verdict.faults);
}

#[test]
fn a_lost_doubled_or_foreign_message_is_found() {
    check(Promise::SaidOnce, |history| events(history)[2].shows = Some(words("x", 0)));
    check(Promise::SaidUnasked, |history| events(history)[2].shows = Some(words("x", 0)));
    check(Promise::SaidUnasked, |history| events(history)[2].shows = Some(Shows::Strange));
    check(Promise::SaidOnce, |history| events(history)[6] = event(7, What::Message, Some(1), Some(words("b", 0))));
    check(Promise::SaidOnce, |history| events(history)[2].by = Some(0));
    check(Promise::SaidOnce, |history| history.talks[1].outcome = Talked::Done(vec![7]));
    check(Promise::SaidOnce, |history| history.talks[1].outcome = Talked::Done(vec![99]));
    check(Promise::SaidUnasked, |history| _ = history.talks.remove(1));
    check(Promise::RefusedNever, |history| history.talks[1].outcome = Talked::Refused("muted".into()));
    check(Promise::OutcomeKnown, |history| history.talks[1].outcome = Talked::Unknown);
    check(Promise::OneAnswer, |history| history.talks[1].outcome = Talked::Done(vec![3, 5]));
    // The key with other words was taken.
    check(Promise::OneAnswer, |history| history.talks[5].outcome = Talked::Done(vec![2]));
}

#[test]
fn a_hole_in_a_room_is_found() {
    check(Promise::RoomDense, |history| _ = events(history).remove(6));
    check(Promise::RoomDense, |history| _ = events(history).pop());
    check(Promise::RoomDense, |history| events(history).swap(0, 1));
}

#[test]
fn an_order_that_somebody_can_contradict_is_found() {
    // b was sent after a was answered, and a stands behind it.
    check(Promise::SaidInOrder, |history| {
        (history.talks[0].started, history.talks[0].ended) = (100, 200);
    });
    // On one line the second stands before the first.
    check(Promise::SaidInOrder, |history| {
        (history.talks[0].line, history.talks[3].line) = (Some((1, 2)), Some((1, 1)));
    });
    // Who talks at the same time has no order.
    let mut history = talked();
    (history.talks[0].started, history.talks[0].ended) = (25, 35);
    assert!(judge(&history).faults.is_empty(), "{:#?}", judge(&history).faults);
}

#[test]
fn a_change_that_is_lost_or_half_done_is_found() {
    check(Promise::SaidOnce, |history| events(history)[3] = event(4, What::Other, Some(0), None));
    check(Promise::SaidOnce, |history| events(history)[3].by = Some(1));
    check(Promise::ReadsAsLeft, |history| events(history)[1].shows = Some(words("a", 0)));
    check(Promise::ReadsAsLeft, |history| events(history)[4].shows = Some(words("c", 0)));
    check(Promise::ReadsAsLeft, |history| events(history)[2].shows = Some(Shows::Deleted));
    // The words of an edit stay when the message has gone.
    check(Promise::ReadsAsLeft, |history| {
        events(history)[7] = event(8, What::Deleted(2), Some(0), Some(Shows::Deleted));
        events(history)[1].shows = Some(Shows::Deleted);
    });
    check(Promise::ReadsForward, |history| history.looks[0].shows = Some(words("a", 0)));
    check(Promise::ReadsForward, |history| history.looks[1].shows = Some(words("c", 0)));
    check(Promise::ReadsForward, |history| history.looks[1].shows = None);
}

#[test]
fn a_message_that_is_not_what_the_room_says_is_found() {
    let says = |history: &mut History, offset, shows| {
        told(history, offset).said.as_mut().unwrap().shows = shows;
    };
    check(Promise::MessageTrue, |history| says(history, 3, words("x", 0)));
    check(Promise::MessageTrue, |history| says(history, 3, words("b", 1)));
    check(Promise::MessageTrue, |history| says(history, 3, Shows::Deleted));
    check(Promise::MessageTrue, |history| says(history, 4, words("a", 2)));
    check(Promise::MessageTrue, |history| told(history, 3).said.as_mut().unwrap().by = Some(0));
    check(Promise::MessageTrue, |history| told(history, 3).said = None);
    check(Promise::MessageTrue, |history| told(history, 3).event = EventName::MessageUpdate);
    check(Promise::NothingSkipped, |history| _ = history.devices[0].connections[0].steps.remove(2));
}

#[test]
fn who_is_not_in_a_room_and_hears_it_is_found() {
    check(Promise::RoomPrivate, |history| history.devices[0].person = 2);
    check(Promise::RoomPrivate, |history| history.visits[0].heard.push(9));
    check(Promise::RoomPrivate, |history| history.visits[0].tried.push(("a message", false)));
    check(Promise::RoomDense, |history| history.visits[0].went = 9);
}
