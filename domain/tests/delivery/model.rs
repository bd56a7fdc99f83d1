//! A model of a tracked window that keeps everything by name, and random doings on both.

use std::collections::{BTreeMap, BTreeSet};

use domain::delivery::{Ack, Cause, Class, Millis, Nacked, Policy, Stage, Swept, Verdict, Window};
use proptest::collection::vec;
use proptest::prelude::*;

const POLICY: Policy = Policy { window: 8, ..Policy::of(Class::Money) };

/// What can be done.
#[derive(Clone, Debug)]
enum Doing {
    Send,
    Ack {
        upto: u64,
        also: Vec<u64>,
        stage: Stage,
    },
    Nack {
        offset: u64,
        after_ms: Option<u64>,
        terminal: bool,
    },
    /// Time passes, then the window is swept.
    Sweep {
        ms: u64,
        jitter: u32,
    },
    Pass {
        offset: u64,
    },
}

fn doings() -> impl Strategy<Value = Vec<Doing>> {
    let offset = || 0_u64..40;
    let stage = prop_oneof![Just(Stage::Received), Just(Stage::Applied)];
    let doing = prop_oneof![
        6 => Just(Doing::Send),
        3 => (offset(), vec(offset(), 0..4), stage).prop_map(|(upto, also, stage)| Doing::Ack { upto, also, stage }),
        1 => (offset(), prop::option::of(0_u64..20_000), any::<bool>())
            .prop_map(|(offset, after_ms, terminal)| Doing::Nack { offset, after_ms, terminal }),
        4 => (0_u64..40_000, any::<u32>()).prop_map(|(ms, jitter)| Doing::Sweep { ms, jitter }),
        1 => offset().prop_map(|offset| Doing::Pass { offset }),
    ];
    vec(doing, 0..200)
}

/// What became of a message, in the model.
#[derive(Clone, Debug, Default)]
struct Known {
    attempts: u32,
    /// When it was last sent, or put off to.
    last: u64,
    refused_once: bool,
}

/// Everything that was sent, and sets of what it became.
#[derive(Debug, Default)]
struct Model {
    sent: BTreeMap<u64, Known>,
    received: BTreeSet<u64>,
    applied: BTreeSet<u64>,
    dying: BTreeSet<u64>,
    passed: BTreeSet<u64>,
    /// Offsets up to which everything was said to be applied.
    claimed: u64,
    heard_at: Option<u64>,
}

impl Model {
    fn is_waiting(&self, offset: u64) -> bool {
        self.sent.contains_key(&offset)
            && ![&self.received, &self.applied, &self.dying, &self.passed].iter().any(|set| set.contains(&offset))
    }

    fn waiting(&self) -> usize {
        self.sent.keys().filter(|offset| self.is_waiting(**offset)).count()
    }

    /// The highest place before which everything is applied or passed.
    fn cursor(&self) -> u64 {
        let done = |offset: &u64| self.applied.contains(offset) || self.passed.contains(offset);
        let through = self.sent.keys().take_while(|offset| done(offset)).last().copied().unwrap_or(0);
        through.max(self.claimed)
    }

    fn ack(&mut self, offsets: impl Iterator<Item = u64>, stage: Stage, now: u64) {
        for offset in offsets.filter(|offset| self.sent.contains_key(offset)).collect::<Vec<_>>() {
            if self.cursor() >= offset {
                continue;
            }
            let was = (self.received.contains(&offset), self.applied.contains(&offset), self.passed.contains(&offset));
            let news = match stage {
                Stage::Received => was == (false, false, false),
                Stage::Applied => !was.1,
            };
            if !news {
                continue;
            }
            self.heard_at = Some(now);
            self.dying.remove(&offset);
            self.passed.remove(&offset);
            self.received.remove(&offset);
            match stage {
                Stage::Received => self.received.insert(offset),
                Stage::Applied => self.applied.insert(offset),
            };
        }
    }
}

fn run(doings: Vec<Doing>) {
    let (mut window, mut model, mut now) = (Window::new(Class::Money, 0), Model::default(), 0_u64);
    for doing in doings {
        match doing {
            Doing::Send => {
                let offset = u64::try_from(model.sent.len()).unwrap() + 1;
                if window.room(&POLICY) > 0 {
                    window.sent(offset, &POLICY, Millis(now), 500);
                    model.sent.insert(offset, Known { attempts: 1, last: now, refused_once: false });
                    assert!(model.waiting() <= 8 || model.sent.values().any(|known| known.refused_once));
                }
            }
            Doing::Ack { upto, also, stage } => {
                let before = model.cursor();
                let progress = window.ack(Ack { upto, also: &also, stage }, Millis(now), |acked| {
                    assert_eq!(acked.stage, stage);
                    assert_eq!(acked.attempts, model.sent[&acked.offset].attempts);
                });
                model.ack((1..=upto).chain(also), stage, now);
                let head = model.sent.keys().last().copied().unwrap_or(0);
                if stage == Stage::Applied {
                    model.claimed = model.claimed.max(upto.min(head));
                }
                let after = model.cursor();
                assert_eq!(progress.cursor, (after > before).then_some((before, after)));
            }
            Doing::Nack { offset, after_ms, terminal } => {
                let known = model.is_waiting(offset) || model.received.contains(&offset) && model.cursor() < offset;
                let nacked = window.nack(offset, after_ms, terminal, &POLICY, Millis(now), 500);
                assert_eq!(nacked == Nacked::Unknown, !known, "{offset}");
                match nacked {
                    Nacked::Unknown => continue,
                    Nacked::Dead { attempts } => {
                        assert_eq!(attempts, model.sent[&offset].attempts);
                        assert!(terminal || attempts >= POLICY.attempts());
                        model.dying.insert(offset);
                    }
                    Nacked::Later => {
                        let known = model.sent.get_mut(&offset).unwrap();
                        known.refused_once = true;
                    }
                }
                model.received.remove(&offset);
                model.heard_at = Some(now);
            }
            Doing::Sweep { ms, jitter } => {
                now += ms;
                let mut verdicts = Vec::new();
                let swept = window.sweep(&POLICY, Millis(now), || jitter, |verdict| verdicts.push(verdict));
                for verdict in verdicts {
                    match verdict {
                        Verdict::Resend { offset, attempt } => {
                            assert!(model.is_waiting(offset), "{offset} is settled");
                            let known = model.sent.get_mut(&offset).unwrap();
                            assert_eq!(attempt, known.attempts + 1);
                            let rested = now - known.last;
                            assert!(known.refused_once || rested >= u64::from(POLICY.ack_timeout_ms), "after {rested}");
                            *known = Known { attempts: attempt, last: now, refused_once: known.refused_once };
                        }
                        Verdict::Dead { offset, attempts, cause } => {
                            assert_eq!(attempts, model.sent[&offset].attempts);
                            if cause == Cause::Unacknowledged && !model.dying.contains(&offset) {
                                assert!(model.is_waiting(offset) && attempts >= POLICY.attempts());
                                // One that arrived and was refused after all counts as well.
                                let later = model.sent.keys().any(|later| *later > offset && !model.is_waiting(*later));
                                let put_off = model.sent.values().any(|known| known.refused_once);
                                assert!(later || put_off, "nothing later than {offset} is acknowledged");
                            }
                            model.dying.insert(offset);
                        }
                    }
                }
                if swept == Swept::Silent {
                    let quiet = now - model.heard_at.unwrap_or(0);
                    let shortest = u64::from(POLICY.ack_timeout_ms);
                    assert!(model.waiting() > 0 && (model.heard_at.is_none() || quiet >= shortest), "{quiet} ms");
                    return;
                }
            }
            Doing::Pass { offset } => {
                let before = model.cursor();
                let passed = window.pass(offset);
                if model.dying.remove(&offset) {
                    model.passed.insert(offset);
                }
                let after = model.cursor();
                assert_eq!(passed, (after > before).then_some((before, after)));
            }
        }
        assert_eq!(window.cursor(), model.cursor());
        assert_eq!(usize::try_from(window.waiting()).unwrap(), model.waiting());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_sequence_agrees_with_the_model(doings in doings()) {
        run(doings);
    }
}
