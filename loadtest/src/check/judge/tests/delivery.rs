//! Faults of places, acknowledgements and dead letters.

use super::*;
use protocol::frame::GapReason;

use crate::check::history::{LetterSeen, refusal};

fn again(offset: u64, attempt: u32) -> Step {
    let Step::Message(message) = message(offset, None) else { unreachable!() };
    Step::Message(MessageSeen { attempt, ..message })
}

fn also(offsets: &[u64], stage: Stage) -> Step {
    Step::Acked { upto: 0, also: offsets.to_vec(), stage }
}

/// A device that follows the notices of one person: of ten, it hears five on its first connection.
fn notices(steps: Vec<Step>, next: u64) -> History {
    let heard = (1..=5).map(|offset| message(offset, None)).chain(steps).collect();
    let rest = (next + 1..=10).map(|offset| message(offset, None)).chain([applied(10)]).collect();
    let connections = vec![connection(0, 5, heard), connection(next, 10, rest), connection(10, 10, answered())];
    let stream = Stream::User(0);
    let device = Device { person: 0, name: "d".into(), number: 7, stream, connections, finished: true };
    let heads = [(stream, 10)].into();
    History { devices: vec![device], heads, letters: Some(Vec::new()), ..History::default() }
}

fn letter(from: u64, to: u64) -> LetterSeen {
    LetterSeen {
        id: "l".into(),
        stream: Stream::User(0),
        device: Some("server's name".into()),
        offsets: (from, to),
        reason: "refused".into(),
        last_error: refusal(7),
        resolved: true,
    }
}

#[track_caller]
fn passes(history: &History) {
    let verdict = judge(history);
    assert!(verdict.faults.is_empty(), "{:#?}", verdict.faults);
}

#[track_caller]
fn breaks(promise: Promise, history: &History) {
    let verdict = judge(history);
    assert!(verdict.counts.contains_key(&promise), "not found: {promise:?}; found {:#?}", verdict.faults);
}

#[test]
fn a_gap_that_had_no_time_to_be_said_is_said_by_the_next_connection() {
    let resumes = |unsaid: Vec<Step>, next: Vec<Step>| {
        let mut history = notices(vec![applied(5)], 5);
        let connections = &mut history.devices[0].connections;
        connections.insert(1, connection(8, 8, unsaid));
        connections[2] = connection(9, 10, next.into_iter().chain([message(10, None), applied(10)]).collect());
        history
    };
    let gap = |to| vec![Step::Gap { from: 6, to, reason: GapReason::Behind }];
    passes(&resumes(Vec::new(), gap(9)));
    breaks(Promise::NothingForgotten, &resumes(Vec::new(), Vec::new()));
    breaks(Promise::NothingForgotten, &resumes(Vec::new(), gap(8)));
    // One that answered has said all that there was to say.
    breaks(Promise::NothingForgotten, &resumes(vec![Step::Asked(1), Step::Answered(1)], gap(9)));
    // Who acknowledges beyond what it heard may have passed the gap unheard.
    passes(&resumes(vec![applied(9)], Vec::new()));
    breaks(Promise::NothingForgotten, &resumes(vec![applied(8)], Vec::new()));
}

#[test]
fn a_place_is_where_all_before_it_was_applied() {
    passes(&notices(vec![applied(3)], 3));
    // Less than what was said is no fault: it may not have arrived.
    passes(&notices(vec![applied(3)], 1));
    breaks(Promise::NothingForgotten, &notices(vec![applied(3)], 4));
    breaks(Promise::NothingForgotten, &notices(Vec::new(), 1));
    // Some, out of order: the hole is not passed.
    passes(&notices(vec![also(&[1, 2, 4], Stage::Applied)], 2));
    breaks(Promise::NothingForgotten, &notices(vec![also(&[1, 2, 4], Stage::Applied)], 4));
    passes(&notices(vec![also(&[1, 2, 4], Stage::Applied), also(&[3], Stage::Applied)], 4));
    // What merely arrived is not passed.
    breaks(Promise::NothingForgotten, &notices(vec![also(&[1, 2], Stage::Received)], 2));
    let received = Step::Acked { upto: 2, also: Vec::new(), stage: Stage::Received };
    breaks(Promise::NothingForgotten, &notices(vec![received.clone()], 2));
    // In a room it is.
    let mut history = notices(vec![received], 2);
    history.devices[0].stream = Stream::Room(0);
    history.heads = [(Stream::Room(0), 10)].into();
    passes(&history);
}

#[test]
fn who_names_a_place_is_done_with_all_before_it() {
    let mut history = notices(Vec::new(), 5);
    history.devices[0].connections[1].after = Some(5);
    passes(&history);
    history.devices[0].connections[1].after = Some(4);
    breaks(Promise::NothingSkipped, &history);
    let mut history = notices(Vec::new(), 4);
    history.devices[0].connections[1].last = Some(6);
    passes(&history);
    history.devices[0].connections[1].last = Some(7);
    breaks(Promise::NothingSkipped, &history);
}

#[test]
fn a_late_acknowledgement_settles_only_what_its_connection_was_sent() {
    // On the second connection all ten are acknowledged before anything came; the answer comes after two messages.
    let late = |from: u64, answered: bool| {
        let mut history = notices(vec![applied(2)], 2);
        let mut steps = vec![applied(10), Step::Asked(1), message(3, None), message(4, None)];
        if answered {
            steps.extend([Step::Answered(1), message(5, None)]);
        }
        let rest = (from + 1..=10).map(|offset| message(offset, None)).chain([applied(10)]).collect();
        history.devices[0].connections[1].steps = steps;
        history.devices[0].connections.insert(2, connection(from, 10, rest));
        history
    };
    passes(&late(4, true));
    breaks(Promise::NothingForgotten, &late(5, true));
    // Of a connection that broke before the answer nobody knows.
    passes(&late(9, false));
}

#[test]
fn what_is_dead_is_passed_only_with_a_letter() {
    let refused = || vec![also(&[1, 2, 4, 5], Stage::Applied), Step::Refused { offset: 3 }];
    breaks(Promise::NothingForgotten, &notices(refused(), 5));
    let with = |letter: LetterSeen| {
        let mut history = notices(refused(), 5);
        history.letters = Some(vec![letter]);
        history
    };
    passes(&with(letter(3, 3)));
    breaks(Promise::LetterResolved, &with(LetterSeen { resolved: false, ..letter(3, 3) }));
    // It tells of what nobody refused, of what there is not, in nobody's words, of a room.
    breaks(Promise::LetterTrue, &with(letter(3, 4)));
    breaks(Promise::LetterTrue, &with(letter(3, 11)));
    breaks(Promise::LetterTrue, &with(LetterSeen { last_error: "else".into(), ..letter(3, 3) }));
    breaks(Promise::LetterTrue, &with(LetterSeen { stream: Stream::Room(0), ..letter(3, 3) }));
    // It is another device's.
    let other = LetterSeen { last_error: refusal(8), ..letter(3, 3) };
    breaks(Promise::NothingForgotten, &with(other));
    // What was left says so in the server's word.
    let left = LetterSeen { reason: "unacknowledged".into(), last_error: "unacknowledged".into(), ..letter(3, 3) };
    passes(&with(left));
}

#[test]
fn what_was_given_up_may_come_again_behind_what_came_since() {
    let mut history = notices(vec![also(&[1, 2, 4, 5], Stage::Applied), Step::Refused { offset: 3 }], 5);
    history.letters = Some(vec![letter(3, 3)]);
    history.devices[0].connections[1].steps.push(again(3, 2));
    passes(&history);
    history.devices[0].connections[1].steps.push(again(3, 2));
    breaks(Promise::NothingSkipped, &history);
    history.devices[0].connections[1].steps.pop();
    history.devices[0].connections[1].steps.push(again(4, 2));
    breaks(Promise::NothingSkipped, &history);
}

#[test]
fn what_a_person_is_owed_may_come_again_to_any_of_their_devices() {
    // The letter told of 3 and 4, then only of 4.
    let with = |last: u64, attempt: u32| {
        let mut history = notices(vec![applied(5)], 5);
        let of_person = LetterSeen { device: None, reason: "deadline".into(), ..letter(last, last) };
        history.letters = Some(vec![of_person]);
        history.devices[0].connections[1].steps.push(again(3, attempt));
        history
    };
    passes(&with(4, 2));
    breaks(Promise::NothingSkipped, &with(4, 1));
    breaks(Promise::NothingSkipped, &with(2, 2));
    // It excuses no device from what is its own to apply.
    let mut history = notices(vec![also(&[1, 2, 4, 5], Stage::Applied)], 5);
    history.letters = Some(vec![LetterSeen { device: None, reason: "deadline".into(), ..letter(3, 3) }]);
    breaks(Promise::NothingForgotten, &history);
}

#[test]
fn a_letter_may_shrink_when_a_later_connection_applies_what_it_told_of() {
    // It told of 3 and 4, then only of 4.
    let refused = || vec![also(&[1, 2, 5], Stage::Applied), Step::Refused { offset: 3 }, Step::Refused { offset: 4 }];
    let mut history = notices(refused(), 5);
    history.letters = Some(vec![letter(4, 4)]);
    breaks(Promise::NothingForgotten, &history);
    let again = vec![message(3, None), message(4, None), message(5, None), applied(5)];
    let anew = Connection { after: Some(2), ..connection(2, 5, again) };
    history.devices[0].connections.insert(2, anew);
    passes(&history);
}

#[test]
fn who_is_silent_is_closed() {
    let mut history = notices(vec![applied(3)], 3);
    history.devices[0].connections[0].overstayed = true;
    breaks(Promise::SilentClosed, &history);
}
