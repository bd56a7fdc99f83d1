//! Random histories of a few accounts on a few shards, against a model that knows nothing of events.
//!
//! `ledger` does what the actors do with the rules: facts from events, numbers at queueing, credits in
//! flight delivered in any order and more than once, returns, suspense. `purses` says what each command
//! must come to, from plain sums. `world` tells both. `invariants` is what must hold after every step and at the end;
//! `resharding` carries what happened into other numbers of shards.

mod action;
mod invariants;
mod ledger;
mod purses;
mod resharding;
mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRunner};

use action::{Action, actions};
use world::World;

/// How many histories a run tries, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 10_000;

/// How many of them are carried into other numbers of shards, each ten times.
const RESHARDED: u32 = 1_000;

fn config(usual: u32) -> Config {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let config = Config::default();
    let cases = if asked { config.cases } else { usual };
    // A failing history is printed; what it found becomes a row of a table. The default generator takes
    // most of the time when it is not optimised.
    Config { cases, failure_persistence: None, rng_algorithm: RngAlgorithm::XorShift, ..config }
}

/// Takes a history, and says what it came across.
fn run(history: &[Action]) -> BTreeSet<String> {
    let mut world = World::default();
    for action in history {
        world.take(action);
        invariants::after_a_step(&world);
    }
    invariants::of_the_journal(&world.ledger);
    // Whatever happened, all that is in flight arrives in the end.
    world.deliver_all();
    invariants::after_a_step(&world);
    invariants::at_rest(&world);
    world.met
}

proptest! {
    #![proptest_config(config(CASES))]

    #[test]
    fn money_is_neither_made_nor_lost(history in actions()) {
        run(&history);
    }
}

proptest! {
    #![proptest_config(config(RESHARDED))]

    #[test]
    fn another_number_of_shards_changes_nothing_but_channels(history in actions()) {
        let mut world = World::default();
        for action in &history {
            world.take(action);
        }
        resharding::check(&mut world);
    }
}

#[test]
fn histories_come_across_every_rule() {
    let mut runner = TestRunner::deterministic();
    let mut met = BTreeSet::new();
    for _ in 0..1_500 {
        met.extend(run(&actions().new_tree(&mut runner).unwrap().current()));
    }
    let expected = [
        "Done",
        "Unchanged",
        "Replayed",
        "KeyReused",
        "HoldNotFound",
        "HoldForbidden",
        "HoldExpired",
        "HoldResolved",
        "OriginalNotFound",
        "NotRefundable",
        "AccountClosed",
        "AccountFrozen",
        "AmountOutOfRange",
        "PayeeIsSelf",
        "ExpiryOutOfRange",
        "CaptureExceedsHold",
        "RefundExceedsOriginal",
        "TransactionLimit",
        "DayLimit",
        "InsufficientFunds",
        "BalanceLimit",
        "NotEmpty",
        "HasUnsettled",
        "taken",
        "Frozen",
        "Closed",
        "Full",
        "Quarantined",
        "returned",
        "released",
        "repeated",
        "out of order",
    ];
    let missing: Vec<_> = expected.iter().filter(|name| !met.contains(**name)).collect();
    assert!(missing.is_empty(), "no history met {missing:?}");
}
