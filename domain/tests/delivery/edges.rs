//! The edges of the delivery machine, one a test.

use domain::delivery::{
    Ack, Acked, Cause, Class, Millis, NACK_AFTER_MAX_MS, Nacked, Policy, Progress, REDRIVEN_MAX, Redriven, Stage,
    Swept, Verdict, Window,
};

/// 10 s for an acknowledgement, then 5, 10 and 20 s of pause: a jitter of 500 leaves them as they are.
const POLICY: Policy = Policy::of(Class::Money);
const EVEN: u32 = 500;

/// When the attempts of a message sent at 0 are due, and when it is given up.
const SCHEDULE: [u64; 4] = [15_000, 35_000, 65_000, 75_000];

fn window(class: Class, after: u64, sent: u64) -> Window {
    let mut window = Window::new(class, after);
    for offset in after + 1..=sent {
        window.sent(offset, &POLICY, Millis(0), EVEN);
    }
    window
}

fn acked(window: &mut Window, upto: u64, also: &[u64], stage: Stage, at: u64) -> (Progress, Vec<u64>) {
    let mut heard = Vec::new();
    let progress = window.ack(Ack { upto, also, stage }, Millis(at), |acked: Acked| heard.push(acked.offset));
    (progress, heard)
}

fn swept(window: &mut Window, at: u64) -> (Swept, Vec<Verdict>) {
    let mut verdicts = Vec::new();
    let swept = window.sweep(&POLICY, Millis(at), || EVEN, |verdict| verdicts.push(verdict));
    (swept, verdicts)
}

fn resend(offset: u64, attempt: u32) -> Verdict {
    Verdict::Resend { offset, attempt }
}

#[test]
fn received_frees_the_window_and_applied_moves_the_place() {
    let mut window = window(Class::Money, 10, 74);
    assert_eq!((window.room(&POLICY), window.waiting(), window.cursor()), (0, 64, 10));
    let (progress, heard) = acked(&mut window, 74, &[], Stage::Received, 5);
    assert_eq!((progress, heard.len()), (Progress { cursor: None, freed: 64 }, 64));
    assert_eq!((window.room(&POLICY), window.cursor()), (64, 10));
    assert_eq!(swept(&mut window, 1_000_000), (Swept::Alive, Vec::new()), "received ends retries");
    let (progress, _) = acked(&mut window, 20, &[22, 23, 74], Stage::Applied, 6);
    assert_eq!(progress.cursor, Some((10, 20)));
    let (progress, _) = acked(&mut window, 21, &[], Stage::Applied, 7);
    assert_eq!(progress.cursor, Some((20, 23)), "22 and 23 were there already");
    let (progress, heard) = acked(&mut window, 73, &[], Stage::Applied, 8);
    assert_eq!((progress.cursor, heard.len()), (Some((23, 74)), 50));
    assert_eq!(acked(&mut window, 74, &[5, 74], Stage::Applied, 9), (Progress::default(), Vec::new()), "a repeat");
}

#[test]
fn what_is_received_and_never_applied_is_waited_for() {
    let mut window = Window::new(Class::Money, 0);
    let mut offset = 0;
    while window.room(&POLICY) > 0 {
        offset += 1;
        window.sent(offset, &POLICY, Millis(0), EVEN);
        acked(&mut window, offset, &[], Stage::Received, 0);
    }
    assert_eq!(offset, 4 * 64);
    acked(&mut window, 100, &[], Stage::Applied, 1);
    assert_eq!(window.room(&POLICY), 64);
}

#[test]
fn offsets_that_were_never_sent_settle_nothing() {
    let mut window = window(Class::Money, 10, 12);
    let (progress, heard) = acked(&mut window, 9, &[3, 13, 99, u64::MAX], Stage::Applied, 1);
    assert_eq!((progress, heard), (Progress::default(), Vec::new()));
    let (progress, heard) = acked(&mut window, u64::MAX, &[], Stage::Applied, 1);
    assert_eq!((progress.cursor, heard), (Some((10, 12)), vec![11, 12]));
    assert_eq!(window.nack(13, None, true, &POLICY, Millis(1), EVEN), Nacked::Unknown);
    assert_eq!(window.nack(12, None, true, &POLICY, Millis(1), EVEN), Nacked::Unknown, "it is applied");
    let mut empty = Window::new(Class::Money, 10);
    assert_eq!(acked(&mut empty, 50, &[20], Stage::Applied, 1), (Progress::default(), Vec::new()));
    assert_eq!(empty.cursor(), 10);
}

#[test]
fn an_acknowledgement_in_the_millisecond_of_the_deadline_counts_if_it_is_first() {
    for (ack_first, expected) in [(true, Vec::new()), (false, vec![resend(1, 2)])] {
        let mut window = window(Class::Money, 0, 1);
        assert_eq!(swept(&mut window, SCHEDULE[0] - 1).1, Vec::new());
        if ack_first {
            acked(&mut window, 1, &[], Stage::Received, SCHEDULE[0]);
        }
        assert_eq!(swept(&mut window, SCHEDULE[0]).1, expected);
        // Late or not, it settles the message.
        acked(&mut window, 1, &[], Stage::Applied, SCHEDULE[0]);
        assert_eq!((window.cursor(), window.waiting()), (1, 0));
        assert_eq!(swept(&mut window, 1_000_000).1, Vec::new());
    }
    // The last millisecond of all.
    let mut window = window(Class::Money, 0, 1);
    for at in &SCHEDULE[..3] {
        swept(&mut window, *at);
    }
    acked(&mut window, 1, &[], Stage::Applied, SCHEDULE[3]);
    assert_eq!(swept(&mut window, SCHEDULE[3]), (Swept::Alive, Vec::new()));
}

#[test]
fn a_silent_session_is_silent_after_all_attempts_and_nothing_is_dead() {
    let mut window = window(Class::Money, 0, 2);
    for (attempt, at) in [(2, SCHEDULE[0]), (3, SCHEDULE[1]), (4, SCHEDULE[2])] {
        assert_eq!(swept(&mut window, at - 1), (Swept::Alive, Vec::new()));
        assert_eq!(swept(&mut window, at), (Swept::Alive, vec![resend(1, attempt), resend(2, attempt)]));
    }
    assert_eq!(swept(&mut window, SCHEDULE[3] - 1), (Swept::Alive, Vec::new()));
    assert_eq!(swept(&mut window, SCHEDULE[3]), (Swept::Silent, Vec::new()));
    assert_eq!((window.cursor(), window.waiting()), (0, 2));
}

#[test]
fn a_message_that_alone_is_unacknowledged_is_dead_and_passed() {
    let mut window = window(Class::Money, 0, 3);
    acked(&mut window, 0, &[2, 3], Stage::Applied, 10);
    for (attempt, at) in [(2, SCHEDULE[0]), (3, SCHEDULE[1]), (4, SCHEDULE[2])] {
        assert_eq!(swept(&mut window, at).1, [resend(1, attempt)]);
    }
    let dead = Verdict::Dead { offset: 1, attempts: 4, cause: Cause::Unacknowledged };
    assert_eq!(swept(&mut window, SCHEDULE[3]), (Swept::Alive, vec![dead]));
    assert_eq!((window.cursor(), window.waiting()), (0, 0), "it is passed when it is written down");
    // Writing it down failed: it is told again, and no sooner than that makes sense.
    assert_eq!(swept(&mut window, SCHEDULE[3] + 9_999).1, []);
    assert_eq!(swept(&mut window, SCHEDULE[3] + 10_000).1, [dead]);
    assert_eq!(window.pass(1), Some((0, 3)));
    assert_eq!(window.pass(1), None);
}

#[test]
fn a_late_acknowledgement_of_a_dead_message_is_heard() {
    let mut window = window(Class::Money, 0, 3);
    acked(&mut window, 0, &[3], Stage::Applied, 10);
    assert_eq!(window.nack(2, None, true, &POLICY, Millis(11), EVEN), Nacked::Dead { attempts: 1 });
    assert_eq!(window.pass(2), None, "1 is before it");
    assert_eq!(acked(&mut window, 0, &[2], Stage::Applied, 12).1, [2]);
    assert_eq!(acked(&mut window, 1, &[], Stage::Applied, 13).0.cursor, Some((0, 3)));
}

#[test]
fn a_slow_client_that_works_in_order_is_neither_dead_nor_silent() {
    let mut window = window(Class::Money, 0, 2);
    for at in &SCHEDULE[..3] {
        swept(&mut window, *at);
    }
    acked(&mut window, 1, &[], Stage::Applied, 70_000);
    assert_eq!(swept(&mut window, SCHEDULE[3]), (Swept::Alive, vec![resend(2, 5)]), "another round");
    // In which nothing is heard.
    let again = SCHEDULE[3];
    assert_eq!(swept(&mut window, again + 15_000).1, [resend(2, 6)]);
    assert_eq!(swept(&mut window, again + 35_000).1, [resend(2, 7)]);
    assert_eq!(swept(&mut window, again + 65_000).1, [resend(2, 8)]);
    assert_eq!(swept(&mut window, again + 75_000), (Swept::Silent, Vec::new()));
}

#[test]
fn a_refusal_counts_as_an_attempt_and_may_be_for_good() {
    let mut window = window(Class::Money, 0, 2);
    assert_eq!(window.nack(1, Some(100), false, &POLICY, Millis(0), EVEN), Nacked::Later);
    assert_eq!(swept(&mut window, 99).1, []);
    assert_eq!(swept(&mut window, 100).1, [resend(1, 2)]);
    assert_eq!(window.nack(1, None, false, &POLICY, Millis(200), EVEN), Nacked::Later);
    assert_eq!(swept(&mut window, 200 + 10_000).1, [resend(1, 3)], "the class's own pause");
    assert_eq!(window.nack(1, Some(u64::MAX), false, &POLICY, Millis(11_000), EVEN), Nacked::Later);
    acked(&mut window, 0, &[2], Stage::Received, 12_000);
    assert_eq!(swept(&mut window, 11_000 + NACK_AFTER_MAX_MS).1, [resend(1, 4)], "not put off for ever");
    assert_eq!(window.nack(1, Some(1), false, &POLICY, Millis(700_000), EVEN), Nacked::Dead { attempts: 4 });
    assert_eq!(window.pass(1), Some((0, 1)));
    assert_eq!(window.nack(2, None, true, &POLICY, Millis(700_000), EVEN), Nacked::Dead { attempts: 1 });
    assert_eq!(window.pass(2), Some((1, 2)), "it had arrived, and could not be taken in");
    assert_eq!(window.waiting(), 0);
}

#[test]
fn a_message_that_is_hurried_has_all_its_tries_again() {
    let mut window = window(Class::Money, 0, 1);
    swept(&mut window, SCHEDULE[0]);
    assert!(window.hurry(1, Millis(20_000)));
    assert!(!window.hurry(2, Millis(20_000)));
    assert_eq!(swept(&mut window, 20_000).1, [resend(1, 3)]);
    assert!(window.is_waiting(1, 3) && !window.is_waiting(1, 2));
    assert_eq!(swept(&mut window, 20_000 + SCHEDULE[0]).1, [resend(1, 4)]);
}

#[test]
fn a_counted_window_goes_by_the_place_alone() {
    let mut window = Window::new(Class::Chat, 5);
    for offset in [6, 7, 8, 20, 21] {
        window.sent(offset, &POLICY, Millis(0), EVEN);
    }
    assert_eq!(window.waiting(), 5);
    assert_eq!(acked(&mut window, 8, &[21], Stage::Applied, 1).0, Progress { cursor: Some((5, 8)), freed: 0 });
    assert_eq!(acked(&mut window, 20, &[], Stage::Received, 2).0, Progress { cursor: Some((8, 20)), freed: 4 });
    assert_eq!(acked(&mut window, 99, &[], Stage::Applied, 3).0, Progress { cursor: Some((20, 21)), freed: 1 });
    assert_eq!(swept(&mut window, 10_000_000), (Swept::Alive, Vec::new()));
    window.sent(22, &POLICY, Millis(100_000), EVEN);
    assert_eq!(swept(&mut window, 100_000 + POLICY.patience_ms() - 1).0, Swept::Alive);
    assert_eq!(swept(&mut window, 100_000 + POLICY.patience_ms()).0, Swept::Silent);
}

#[test]
fn what_is_offered_again_is_settled_only_by_name() {
    let mut redriven = Redriven::default();
    let mut heard = Vec::new();
    assert_eq!(redriven.offer(7, 5, false, &POLICY, Millis(0), EVEN), Some(5));
    redriven.ack(Ack { upto: 50, also: &[6], stage: Stage::Applied }, Millis(1), |acked| heard.push(acked));
    assert_eq!(heard, []);
    assert!(redriven.is_waiting(7, 5));
    redriven.ack(Ack { upto: 50, also: &[7], stage: Stage::Received }, Millis(2), |acked| heard.push(acked));
    redriven.ack(Ack { upto: 7, also: &[], stage: Stage::Applied }, Millis(3), |acked| heard.push(acked));
    redriven.ack(Ack { upto: 7, also: &[], stage: Stage::Applied }, Millis(4), |acked| heard.push(acked));
    let stages: Vec<_> = heard.iter().map(|acked| (acked.stage, acked.attempts)).collect();
    assert_eq!(stages, [(Stage::Received, 5), (Stage::Applied, 5)]);
    assert!(redriven.is_empty());
}

#[test]
fn what_fails_again_says_so() {
    let mut redriven = Redriven::default();
    let mut verdicts = Vec::new();
    assert_eq!(redriven.offer(7, 5, false, &POLICY, Millis(0), EVEN), Some(5));
    for at in SCHEDULE {
        redriven.sweep(&POLICY, Millis(at), || EVEN, |verdict| verdicts.push(verdict));
    }
    let dead = Verdict::Dead { offset: 7, attempts: 8, cause: Cause::Unacknowledged };
    assert_eq!(verdicts, [resend(7, 6), resend(7, 7), resend(7, 8), dead]);
    assert!(redriven.is_empty());
    assert_eq!(redriven.offer(7, 9, false, &POLICY, Millis(0), EVEN), Some(9));
    assert_eq!(redriven.nack(7, Some(5), false, &POLICY, Millis(1), EVEN), Nacked::Later);
    assert_eq!(redriven.nack(7, None, true, &POLICY, Millis(2), EVEN), Nacked::Dead { attempts: 9 });
    assert_eq!(redriven.nack(7, None, true, &POLICY, Millis(2), EVEN), Nacked::Unknown);
    for offset in 0..100 {
        let offered = redriven.offer(offset, 2, false, &POLICY, Millis(0), EVEN);
        assert_eq!(offered.is_some(), offset < u64::try_from(REDRIVEN_MAX).unwrap());
    }
}

#[test]
fn what_is_offered_already_is_never_sent_twice_as_one_attempt() {
    let mut redriven = Redriven::default();
    assert_eq!(redriven.offer(7, 2, false, &POLICY, Millis(0), EVEN), Some(2));
    // The rest of its letter is offered when what came before it was applied.
    assert_eq!(redriven.offer(7, 2, false, &POLICY, Millis(1), EVEN), None);
    assert!(redriven.is_waiting(7, 2));
    // An administrator asks for it once more.
    assert_eq!(redriven.offer(7, 2, true, &POLICY, Millis(2), EVEN), Some(3));
    assert!(redriven.is_waiting(7, 3) && !redriven.is_waiting(7, 2));
    let mut verdicts = Vec::new();
    redriven.sweep(&POLICY, Millis(2 + SCHEDULE[0]), || EVEN, |verdict| verdicts.push(verdict));
    assert_eq!(verdicts, [resend(7, 4)], "all its tries are before it again");
    // Applied, and offered once more before its letter knows.
    redriven.ack(Ack { upto: 7, also: &[], stage: Stage::Applied }, Millis(3), |_| ());
    assert!(redriven.is_empty());
    assert_eq!(redriven.offer(7, 2, false, &POLICY, Millis(4), EVEN), Some(5));
}
