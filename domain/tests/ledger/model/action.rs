//! What may happen next.

use domain::money::MINOR_MAX;
use proptest::prelude::*;

use super::ledger::{ACCOUNTS, shards};

/// One thing that happens. Numbers called `pick` choose among what there is at the time.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Deposit {
        who: usize,
        amount: i64,
        key: Option<u8>,
    },
    Withdraw {
        who: usize,
        amount: i64,
        key: Option<u8>,
    },
    Pay {
        who: usize,
        to: usize,
        amount: i64,
        key: Option<u8>,
    },
    Hold {
        who: usize,
        to: usize,
        amount: i64,
        seconds: u64,
        key: Option<u8>,
    },
    /// By the payee, if nobody else is named.
    Capture {
        pick: usize,
        by: Option<usize>,
        amount: Option<i64>,
        key: Option<u8>,
    },
    Release {
        pick: usize,
        by: Option<usize>,
    },
    Refund {
        pick: usize,
        amount: Option<i64>,
        key: Option<u8>,
    },
    Freeze {
        who: usize,
        out: Option<bool>,
        into: Option<bool>,
    },
    Limits {
        who: usize,
        per_transaction: Option<i64>,
        per_day: Option<i64>,
    },
    /// Takes out what there is, and closes.
    Leave {
        who: usize,
    },
    Close {
        who: usize,
    },
    Expire {
        who: usize,
    },
    /// Sends an earlier command again, as it was.
    Again {
        pick: usize,
    },
    Wait {
        seconds: u64,
    },
    Deliver {
        pick: usize,
    },
    /// Offers a credit that is booked already.
    Repeat {
        pick: usize,
    },
    Settle {
        from: u16,
        to: u16,
    },
    Resolve {
        pick: usize,
        release: bool,
    },
    Quarantine {
        who: usize,
        on: bool,
    },
    Term {
        of: u16,
    },
}

fn an_amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        30 => 1..=200_i64,
        1 => Just(0),
        1 => Just(-5),
        2 => MINOR_MAX - 300..=MINOR_MAX,
        1 => Just(MINOR_MAX + 1),
    ]
}

fn one_action() -> impl Strategy<Value = Action> {
    let who = || 0..ACCOUNTS;
    let key = || proptest::option::of(0..4_u8);
    let part = || proptest::option::of(prop_oneof![8 => 1..=60_i64, 1 => an_amount()]);
    let by = || prop_oneof![6 => Just(None), 1 => who().prop_map(Some)];
    let flag = || proptest::option::of(proptest::bool::weighted(0.4));
    let limit = || prop_oneof![4 => Just(None), 4 => (0..300_i64).prop_map(Some), 1 => Just(Some(-1))];
    let seconds = prop_oneof![
        8 => 1..100_000_u64,
        1 => Just(0),
        1 => Just(30 * 86_400),
        1 => Just(30 * 86_400 + 1),
    ];
    let shard = || 0..shards().get();
    let pick = any::<usize>;
    prop_oneof![
        6 => (who(), an_amount(), key()).prop_map(|(who, amount, key)| Action::Deposit { who, amount, key }),
        4 => (who(), an_amount(), key()).prop_map(|(who, amount, key)| Action::Withdraw { who, amount, key }),
        14 => (who(), who(), an_amount(), key()).prop_map(|(who, to, amount, key)| Action::Pay { who, to, amount, key }),
        8 => (who(), who(), an_amount(), seconds, key())
            .prop_map(|(who, to, amount, seconds, key)| Action::Hold { who, to, amount, seconds, key }),
        6 => (pick(), by(), part(), key()).prop_map(|(pick, by, amount, key)| Action::Capture { pick, by, amount, key }),
        5 => (pick(), by()).prop_map(|(pick, by)| Action::Release { pick, by }),
        8 => (pick(), part(), key()).prop_map(|(pick, amount, key)| Action::Refund { pick, amount, key }),
        3 => (who(), flag(), flag()).prop_map(|(who, out, into)| Action::Freeze { who, out, into }),
        2 => (who(), limit(), limit())
            .prop_map(|(who, per_transaction, per_day)| Action::Limits { who, per_transaction, per_day }),
        1 => who().prop_map(|who| Action::Leave { who }),
        1 => who().prop_map(|who| Action::Close { who }),
        2 => who().prop_map(|who| Action::Expire { who }),
        3 => pick().prop_map(|pick| Action::Again { pick }),
        5 => (1..60_000_u64).prop_map(|seconds| Action::Wait { seconds }),
        20 => pick().prop_map(|pick| Action::Deliver { pick }),
        2 => pick().prop_map(|pick| Action::Repeat { pick }),
        6 => (shard(), shard()).prop_map(|(from, to)| Action::Settle { from, to }),
        3 => (pick(), any::<bool>()).prop_map(|(pick, release)| Action::Resolve { pick, release }),
        2 => (who(), any::<bool>()).prop_map(|(who, on)| Action::Quarantine { who, on }),
        1 => shard().prop_map(|of| Action::Term { of }),
    ]
}

/// A history: some people have money to begin with.
pub(crate) fn actions() -> impl Strategy<Value = Vec<Action>> {
    proptest::collection::vec(one_action(), 1..60).prop_map(|rest| {
        let first = [0, 1, 4].map(|who| Action::Deposit { who, amount: 300, key: None });
        first.into_iter().chain(rest).collect()
    })
}
