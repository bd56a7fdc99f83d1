//! What a person has and has not: a table of looks, and a plain model that they must agree with.

use domain::delivery::person::{DevicePlace, deadline, first_unapplied, judge};
use domain::time::Timestamp;
use proptest::prelude::*;

/// Five minutes.
const DEADLINE_MS: u64 = 300_000;

fn device(upto: u64, also: &[u64], dead: &[(u64, u64)]) -> DevicePlace {
    DevicePlace { upto, also: also.to_vec(), dead: dead.to_vec(), counts: true }
}

fn nameless(upto: u64, dead: &[(u64, u64)]) -> DevicePlace {
    DevicePlace { counts: false, ..device(upto, &[], dead) }
}

/// Messages 5 to 9, made at minute 5 to 9.
fn messages() -> Vec<(u64, Timestamp)> {
    (5..=9).map(|minute| (minute, at_ms(minute * 60_000))).collect()
}

const fn at_ms(ms: u64) -> Timestamp {
    Timestamp(ms * 1_000)
}

/// What is found at `now_ms` when all up to 4 is done with: the dead, how many, the place after it, and when to look
/// again.
#[track_caller]
fn check(devices: &[DevicePlace], now_ms: u64, expected: (Option<(u64, u64)>, u64, u64, Option<u64>)) {
    let judged = judge(devices, &messages(), 4, &[], DEADLINE_MS, at_ms(now_ms));
    let (dead, count, through, due_ms) = expected;
    let found = (judged.dead_range(), judged.dead.len() as u64, judged.through, judged.due);
    assert_eq!(found, (dead, count, through, due_ms.map(at_ms)), "{devices:?} at {now_ms}");
}

#[test]
fn a_message_is_dead_at_its_deadline_if_nobody_applied_it() {
    let minute = 60_000;
    let behind = device(4, &[], &[]);
    let cases = [
        (vec![behind.clone()], 10 * minute - 1, (None, 0, 4, Some(10 * minute))),
        (vec![behind.clone()], 10 * minute, (Some((5, 5)), 1, 5, Some(11 * minute))),
        (vec![behind.clone()], 12 * minute, (Some((5, 7)), 3, 7, Some(13 * minute))),
        (vec![behind.clone()], 60 * minute, (Some((5, 9)), 5, 9, None)),
        // Applied in the very millisecond of the deadline, before anybody looked.
        (vec![device(5, &[], &[])], 10 * minute, (None, 0, 5, Some(11 * minute))),
        // By any device, in any order.
        (vec![behind.clone(), device(9, &[], &[])], 60 * minute, (None, 0, 9, None)),
        (vec![device(4, &[6, 8], &[]), behind.clone()], 60 * minute, (Some((5, 9)), 3, 9, None)),
        (vec![device(7, &[], &[]), device(4, &[8, 9], &[])], 60 * minute, (None, 0, 9, None)),
        // By a connection that did not say its name.
        (vec![behind, nameless(9, &[])], 60 * minute, (None, 0, 9, None)),
    ];
    for (devices, now, expected) in cases {
        check(&devices, now, expected);
    }
}

#[test]
fn a_place_that_passed_a_message_did_not_apply_it() {
    let minute = 60_000;
    let refused = device(9, &[], &[(6, 7)]);
    // Another device may still apply it; then its deadline says.
    check(&[refused.clone(), device(4, &[], &[])], 6 * minute, (None, 0, 5, Some(11 * minute)));
    check(&[refused.clone(), device(4, &[], &[])], 12 * minute, (Some((6, 7)), 2, 9, None));
    check(&[refused.clone(), device(7, &[], &[])], 6 * minute, (None, 0, 9, None));
    // None is left: dead at once, whatever the deadline.
    check(&[refused.clone(), device(7, &[], &[(7, 7)])], 6 * minute, (Some((7, 7)), 1, 9, None));
    check(std::slice::from_ref(&refused), 6 * minute, (Some((6, 7)), 2, 9, None));
    // Who did not say its name is owed nothing, and takes no hope away.
    check(&[refused, nameless(0, &[])], 6 * minute, (Some((6, 7)), 2, 9, None));
    check(&[nameless(9, &[(6, 6)])], 6 * minute, (None, 0, 5, Some(11 * minute)));
}

#[test]
fn what_every_device_gave_up_is_dead_before_one_that_is_waited_for() {
    let devices = [device(4, &[], &[(6, 6), (8, 8)])];
    let first = judge(&devices, &messages(), 4, &[], DEADLINE_MS, at_ms(0));
    assert_eq!((first.dead, first.through), (vec![6, 8], 4));
    assert_eq!(first.due, Some(deadline(at_ms(5 * 60_000), DEADLINE_MS)));
    let again = judge(&devices, &messages(), 4, &[8], DEADLINE_MS, at_ms(0));
    assert_eq!((again.dead, again.through), (vec![6], 4), "the other was found before");
    let later = judge(&devices, &messages(), 4, &[6, 8], DEADLINE_MS, at_ms(11 * 60_000));
    assert_eq!((later.dead, later.through), (vec![5], 6), "what was found before is passed");
}

#[test]
fn runs_are_walked_to_the_first_that_nobody_applied() {
    let places = [device(20, &[25], &[(3, 4), (10, 10)]), device(3, &[4, 21, 22], &[])];
    for (from, first) in [(1, 10), (10, 10), (11, 23), (23, 23), (25, 26), (3, 10)] {
        assert_eq!(first_unapplied(&places, from), first, "from {from}");
    }
    assert_eq!(first_unapplied(&[], 7), 7);
    assert_eq!(first_unapplied(&[device(u64::MAX, &[], &[])], 7), u64::MAX);
}

fn places() -> impl Strategy<Value = Vec<DevicePlace>> {
    let runs = proptest::collection::vec((1_u64..20, 0_u64..4), 0..3);
    let also = proptest::collection::btree_set(1_u64..24, 0..5);
    let place = (0_u64..20, also, runs, proptest::bool::weighted(0.8)).prop_map(|(upto, also, runs, counts)| {
        let dead = runs.into_iter().map(|(first, more)| (first, first + more)).collect();
        DevicePlace { upto, also: also.into_iter().collect(), dead, counts }
    });
    proptest::collection::vec(place, 0..4)
}

proptest! {
    /// Nothing is dead that somebody applied, nothing overdue is left alive, and what is passed is one or the other.
    #[test]
    fn looks_agree_with_what_each_device_has(places in places(), through in 0_u64..10, now_ms in 0_u64..40_000) {
        let messages: Vec<_> = (1..=24).map(|offset| (offset, at_ms(offset * 1_000))).collect();
        let judged = judge(&places, &messages, through, &[], 10_000, at_ms(now_ms));
        let applied = |offset| places.iter().any(|place| place.has_applied(offset));
        let given_up = |offset| {
            let mut owed = places.iter().filter(|place| place.counts);
            places.iter().any(|place| place.counts) && owed.all(|place| place.gave_up(offset))
        };
        let dead: Vec<u64> = (through + 1..=24)
            .filter(|offset| !applied(*offset) && (given_up(*offset) || offset * 1_000 + 10_000 <= now_ms))
            .collect();
        prop_assert_eq!(&judged.dead, &dead);
        let pending = (through + 1..=24).find(|offset| !applied(*offset) && !dead.contains(offset));
        prop_assert_eq!(judged.through, pending.map_or(24, |offset| offset - 1));
        prop_assert_eq!(judged.due, pending.map(|offset| at_ms(offset * 1_000 + 10_000)));
        let first = first_unapplied(&places, through + 1);
        prop_assert!(!applied(first) && (through + 1..first).all(applied));
    }
}
