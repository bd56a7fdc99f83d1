//! How actors heal, one failure at a time.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails says so, and a seed is printed")]

#[path = "simulation/disk.rs"]
mod disk;
#[path = "simulation/end.rs"]
mod end;
#[allow(dead_code, reason = "runs of seeds are the simulation's")]
#[path = "simulation/life.rs"]
mod life;
#[path = "simulation/link.rs"]
mod link;
#[path = "simulation/model.rs"]
mod model;
#[allow(dead_code, reason = "clients are the simulation's")]
#[path = "simulation/people.rs"]
mod people;
#[path = "simulation/rows.rs"]
mod rows;
#[allow(dead_code, reason = "runs of seeds are the simulation's")]
#[path = "simulation/seeds.rs"]
mod seeds;
#[allow(dead_code, reason = "chance is the simulation's")]
#[path = "simulation/world.rs"]
mod world;

use std::sync::Arc;
use std::time::Duration;

use actors::call::{CommandError, Effect, Status};
use actors::config::DeliveryConfig;
use actors::config::LedgerConfig;
use actors::dead_letters::{DeadLetterStore, DeadLetters, DeadLettersArgs, Failure, Reported};
use actors::ledger::{Ledger, system_origin};
use actors::streams::Streams;
use domain::ids::{AccountId, OperationId, ShardId};
use domain::ledger::{Command, DivertReason, Party, Refusal, Request};
use futures_util::future::join_all;
use parking_lot::Mutex;
use ractor::Actor;
use storage::embedded::deliveries::EmbeddedDeliveries;
use uuid::Uuid;

use crate::people::{deposit, person, refund, transfer};
use crate::world::{Weather, World};

/// Runs `test` on a node of one to four shards; at the end everything must be in its place.
fn on_a_node<F: Future<Output = ()>>(
    shards: u16,
    weather: Weather,
    config: LedgerConfig,
    test: impl FnOnce(Arc<World>, Ledger) -> F,
) {
    seeds::silence_faults();
    let world = Arc::new(World::new(7, shards, Weather::FINE));
    let lived = life::process(&world, None, async {
        let ledger = life::start(&world, shards, config).await;
        let mut opening = ledger.node().opening.subscribe();
        opening.wait_for(|opening| opening.open == usize::from(shards)).await.unwrap();
        world.lock().weather = weather;
        test(Arc::clone(&world), ledger.clone()).await;
        world.clear_up();
        let settled = tokio::time::timeout(Duration::from_mins(1), life::settle(&world, &ledger, shards)).await;
        settled.map_err(|_| end::unquiet(&world, shards))?;
        end::judge(&world, &ledger, shards).await
    });
    assert_eq!(world.lock().wrong, Vec::<String>::new());
    assert_eq!(lived, Some(Ok(())));
}

/// Asks with the same key until the outcome is known.
async fn known(ledger: &Ledger, account: AccountId, command: Command) -> Result<Effect, Refusal> {
    loop {
        match ledger.submit(account, command.clone()).await {
            Ok(effect) => return Ok(effect),
            Err(CommandError::Refused(refusal)) => return Err(refusal),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn balance(ledger: &Ledger, of: Party) -> i64 {
    loop {
        if let Ok(account) = ledger.account(of.account).await {
            return account.balances.posted.get();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Moves the position all the time, by deposits to someone and projections.
async fn move_the_position(ledger: Ledger, someone: Party) {
    for number in 0_u64.. {
        let mut command = deposit(someone, 1, &format!("move {number}"));
        if let Request::Deposit { fingerprint, .. } = &mut command.request {
            // Without a key there are no facts to wait for.
            *fingerprint = None;
        }
        ledger.submit(someone.account, command).await.ok();
        ledger.project();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn unkeyed(mut command: Command) -> Command {
    if let Request::Transfer { fingerprint, .. } = &mut command.request {
        *fingerprint = None;
    }
    command
}

/// Fails one kind of actor: of an account, or of a shard.
type Fault = fn(&Ledger, AccountId, ShardId);

#[test]
fn a_panic_in_each_kind_of_actor_heals() {
    on_a_node(4, Weather::FINE, LedgerConfig::default(), |_, ledger| async move {
        let (payer, payee) = (person(1), person(2));
        known(&ledger, payer.account, deposit(payer, 1_000, "in")).await.unwrap();
        let shard = ledger.node().shard_of(payer.account);
        let faults: [Fault; 3] = [
            |ledger, account, _| ledger.panic_account(account),
            |ledger, _, shard| ledger.panic_shard(shard),
            |ledger, _, shard| ledger.panic_projector(shard),
        ];
        for (number, fault) in faults.iter().enumerate() {
            let before = known(&ledger, payer.account, transfer(payer, payee, 10, &format!("before {number}"))).await;
            fault(&ledger, payer.account, shard);
            let after = known(&ledger, payer.account, transfer(payer, payee, 10, &format!("after {number}"))).await;
            let again = known(&ledger, payer.account, transfer(payer, payee, 10, &format!("before {number}"))).await;
            assert!(after.is_ok() && again.as_ref().unwrap().replayed);
            assert_eq!(before.unwrap().event, again.unwrap().event);
        }
        assert_eq!(balance(&ledger, payer).await, 1_000 - 6 * 10);
        assert_eq!(balance(&ledger, payee).await, 6 * 10);
    });
}

#[test]
fn an_account_that_panics_with_100_queued_transfers_overdraws_nothing() {
    let slow = Weather { append_least_ms: 200, append_ms: 200, ..Weather::FINE };
    on_a_node(2, slow, LedgerConfig::default(), |_, ledger| async move {
        let (payer, payee) = (person(1), person(2));
        known(&ledger, payer.account, deposit(payer, 1_000, "in")).await.unwrap();
        let pay = |number: u64| known(&ledger, payer.account, transfer(payer, payee, 100, &format!("pay {number}")));
        let first = join_all((0..100).map(pay));
        let failing = async {
            // Their decisions are queued behind an append that takes its time.
            tokio::time::sleep(Duration::from_millis(1)).await;
            ledger.panic_account(payer.account);
        };
        let second = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            join_all((100..200).map(pay)).await
        };
        let (first, (), second) = tokio::join!(first, failing, second);
        let paid = first.iter().chain(&second).filter(|answer| answer.is_ok()).count();
        assert_eq!(paid, 10, "of 1,000, in parts of 100");
        let refused = |answer: &&Result<Effect, Refusal>| matches!(answer, Err(Refusal::InsufficientFunds));
        assert_eq!(first.iter().chain(&second).filter(refused).count(), 190);
        assert_eq!((balance(&ledger, payer).await, balance(&ledger, payee).await), (0, 1_000));
    });
}

#[test]
fn passivation_all_the_time_loses_nothing_while_durability_is_late() {
    let slow = Weather { append_least_ms: 200, append_ms: 200, slow: 50, slow_ms: 30, ..Weather::FINE };
    on_a_node(3, slow, LedgerConfig::default(), |_, ledger| async move {
        let people: Vec<_> = (1..=8).map(person).collect();
        let passivating = tokio::spawn({
            let ledger = ledger.clone();
            async move {
                loop {
                    // Twice a millisecond: timers have no finer grain.
                    ledger.passivate();
                    tokio::task::yield_now().await;
                    ledger.passivate();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        join_all(people.iter().map(|to| known(&ledger, to.account, deposit(*to, 1_000, "in")))).await;
        for round in 0..5 {
            let paying = people.iter().enumerate().map(|(number, from)| {
                let to = people[(number + round + 1) % people.len()];
                known(&ledger, from.account, transfer(*from, to, 300, &format!("pay {round}")))
            });
            join_all(paying).await;
        }
        passivating.abort();
        let mut sum = 0;
        for of in &people {
            sum += balance(&ledger, *of).await;
        }
        assert_eq!(sum, 8_000);
    });
}

#[test]
fn credits_that_come_while_an_account_goes_are_booked_once() {
    // Handed to a life that was ending, they were unseen to the shard and in the mail of the next life.
    let slow = Weather { passivate: 100, slow: 100, slow_least_ms: 100, slow_ms: 200, lost: 30, ..Weather::FINE };
    let config = LedgerConfig { resend_ms: 20, ..LedgerConfig::default() };
    on_a_node(2, slow, config, |_, ledger| async move {
        let (payer, payee) = (person(1), person(2));
        known(&ledger, payer.account, deposit(payer, 1_000, "in")).await.unwrap();
        let pay = |number: u64| known(&ledger, payer.account, transfer(payer, payee, 10, &format!("pay {number}")));
        for answer in join_all((0..50).map(pay)).await {
            answer.unwrap();
        }
        assert_eq!(balance(&ledger, payer).await, 500);
    });
}

#[test]
fn two_refunds_of_one_transfer_with_late_facts_give_back_once() {
    on_a_node(1, Weather::FINE, LedgerConfig::default(), |world, ledger| async move {
        let (payer, payee) = (person(1), person(2));
        known(&ledger, payer.account, deposit(payer, 1_000, "in")).await.unwrap();
        let paid = transfer(payer, payee, 100, "pay");
        let of = paid.request.transfer().unwrap();
        known(&ledger, payer.account, paid).await.unwrap();
        world.lock().weather = Weather { slow: 100, slow_least_ms: 1_000, slow_ms: 1_000, ..Weather::FINE };
        let moving = tokio::spawn(move_the_position(ledger.clone(), person(3)));
        // The second waits behind the first for longer than a caller does.
        let back = |key| known(&ledger, payee.account, refund(payee, of, None, key));
        let answers = join_all([back("back 1"), back("back 2")]).await;
        let later = back("back 3").await;
        moving.abort();
        let refusals: Vec<_> = answers.iter().chain([&later]).filter_map(|answer| answer.as_ref().err()).collect();
        assert_eq!(refusals, [&Refusal::RefundExceedsOriginal; 2]);
    });
}

#[test]
fn two_equal_keys_with_late_facts_have_one_effect() {
    on_a_node(1, Weather::FINE, LedgerConfig::default(), |world, ledger| async move {
        let (payer, payee) = (person(1), person(2));
        known(&ledger, payer.account, deposit(payer, 1_000, "in")).await.unwrap();
        world.lock().weather = Weather { slow: 100, slow_least_ms: 1_000, slow_ms: 1_000, ..Weather::FINE };
        let moving = tokio::spawn(move_the_position(ledger.clone(), person(3)));
        let pay = || ledger.submit(payer.account, transfer(payer, payee, 100, "pay"));
        let answers = join_all([pay(), pay()]).await;
        let later = pay().await.unwrap();
        let mut other = transfer(payer, payee, 100, "pay");
        if let Request::Transfer { fingerprint, .. } = &mut other.request {
            *fingerprint = people::fingerprint("another body");
        }
        let reused = ledger.submit(payer.account, other).await;
        moving.abort();
        let effects: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(effects[0].event, effects[1].event);
        assert_eq!((effects[0].replayed, effects[1].replayed, later.replayed), (false, true, true));
        assert_eq!(later.event, effects[0].event);
        assert_eq!(reused.unwrap_err(), CommandError::Refused(Refusal::KeyReused));
        assert_eq!(balance(&ledger, payee).await, 100);
    });
}

#[test]
fn what_views_answer_too_late_for_the_caller_is_told_by_the_key() {
    on_a_node(1, Weather::FINE, LedgerConfig::default(), |world, ledger| async move {
        let (payer, payee) = (person(1), person(2));
        known(&ledger, payer.account, deposit(payer, 1_000, "in")).await.unwrap();
        // Longer than a caller waits.
        world.lock().weather = Weather { slow: 100, slow_least_ms: 12_000, slow_ms: 12_000, ..Weather::FINE };
        let moving = tokio::spawn(move_the_position(ledger.clone(), person(3)));
        let pay = || ledger.submit(payer.account, transfer(payer, payee, 100, "pay"));
        let answers = join_all([pay(), pay(), pay()]).await;
        for answer in &answers {
            assert!(matches!(answer, Err(CommandError::Unknown)), "nobody says that it failed: {answer:?}");
        }
        // Others ask meanwhile, each for as long as they wait; the answers to the first come late, to nobody.
        let again = pay().await;
        world.lock().weather = Weather::FINE;
        let told = known(&ledger, payer.account, transfer(payer, payee, 100, "pay")).await.unwrap();
        moving.abort();
        if let Ok(again) = again {
            assert_eq!(again.event, told.event);
        }
        assert!(known(&ledger, payer.account, transfer(payer, payee, 100, "pay")).await.unwrap().replayed);
        assert_eq!((balance(&ledger, payer).await, balance(&ledger, payee).await), (900, 100));
    });
}

#[test]
fn a_hundred_submits_of_one_key_have_one_effect() {
    let weather = Weather { slow: 50, slow_least_ms: 1, slow_ms: 20, append_ms: 20, ..Weather::FINE };
    on_a_node(2, weather, LedgerConfig::default(), |_, ledger| async move {
        let (payer, payee) = (person(1), person(2));
        known(&ledger, payer.account, deposit(payer, 1_000, "in")).await.unwrap();
        let pay = |_| ledger.submit(payer.account, transfer(payer, payee, 10, "pay"));
        let effects: Vec<_> = join_all((0..100).map(pay)).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(effects.iter().filter(|effect| !effect.replayed).count(), 1);
        assert!(effects.iter().all(|effect| effect.event == effects[0].event));
        assert!(effects.iter().all(|effect| effect.status == Status::Completed));
        assert_eq!(balance(&ledger, payer).await, 990);
    });
}

/// Dead letters, in memory.
#[derive(Default)]
struct Letters(Mutex<Vec<Reported>>);

#[async_trait::async_trait]
impl DeadLetterStore for Letters {
    async fn keep(&self, letter: Reported) -> Result<(), storage::Error> {
        self.0.lock().push(letter);
        Ok(())
    }
}

#[test]
fn an_account_that_fails_three_times_is_quarantined_until_it_is_released() {
    on_a_node(2, Weather::FINE, LedgerConfig::default(), |world, ledger| async move {
        let letters = Arc::new(Letters::default());
        let (folder, post) = (tempfile::tempdir().unwrap(), ledger.node().dead_letters.clone());
        let args = DeadLettersArgs {
            store: Arc::clone(&letters) as _,
            deliveries: Arc::new(EmbeddedDeliveries::open(folder.path()).unwrap()),
            streams: Streams::new("e".to_owned(), DeliveryConfig::default(), post.clone(), 7),
            clock: Arc::clone(&ledger.node().clock),
            post,
        };
        Actor::spawn(None, DeadLetters, args).await.unwrap();
        let (payer, payee) = (person(1), person(2));
        known(&ledger, payer.account, deposit(payer, 1_000, "in")).await.unwrap();
        known(&ledger, payee.account, deposit(payee, 5, "in")).await.unwrap();
        world.lock().model.failures.insert(payee.account, 3);
        for _ in 0..3 {
            ledger.panic_account(payee.account);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let refused = ledger.submit(payee.account, deposit(payee, 5, "more")).await;
        assert_eq!(refused.unwrap_err(), CommandError::Unavailable);
        // Its money can still be seen, and what is sent to it rests until someone has looked.
        assert_eq!(balance(&ledger, payee).await, 5);
        let paid = ledger.submit(payer.account, transfer(payer, payee, 100, "pay")).await.unwrap();
        assert_eq!(paid.status, Status::Pending);
        let resting = ledger.suspense().await.unwrap();
        let of = resting.first().unwrap().credit.transfer;
        assert_eq!((resting.len(), resting[0].reason), (1, DivertReason::Quarantined));
        let reasons: Vec<_> = letters.0.lock().iter().map(|letter| letter.failure.reason()).collect();
        assert_eq!(reasons, ["account_quarantined", "credit_quarantined"]);
        let about =
            |letter: &Reported| matches!(&letter.failure, Failure::Suspended { transfer, .. } if *transfer == of);
        assert!(letters.0.lock().iter().any(about));

        let origin = || system_origin(OperationId(Uuid::nil()));
        assert!(ledger.end_quarantine(payee.account, origin()).await.unwrap());
        known(&ledger, payee.account, deposit(payee, 5, "more")).await.unwrap();
        ledger.release_suspense(of, origin()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(balance(&ledger, payee).await, 110);
        assert!(ledger.suspense().await.unwrap().is_empty());
        assert!(!ledger.end_quarantine(payee.account, origin()).await.unwrap(), "it is in none");
    });
}

#[test]
fn while_views_are_away_commands_are_busy_and_credits_wait() {
    let config = LedgerConfig { patience_ms: 100, resend_ms: 200, ..LedgerConfig::default() };
    on_a_node(2, Weather::FINE, config, |world, ledger| async move {
        let (payer, payee) = (person(1), person(2));
        known(&ledger, payer.account, deposit(payer, 1_000, "in")).await.unwrap();
        known(&ledger, payee.account, deposit(payee, 5, "in")).await.unwrap();
        life::settle(&world, &ledger, 2).await;
        ledger.passivate();
        tokio::time::sleep(Duration::from_millis(20)).await;
        // The payer is alive; the payee's state is in its checkpoint alone.
        known(&ledger, payer.account, deposit(payer, 1, "wake")).await.unwrap();
        world.lock().weather = Weather { unavailable: 100, ..Weather::FINE };
        let keyed = ledger.submit(payer.account, transfer(payer, payee, 100, "pay")).await;
        assert!(matches!(keyed, Err(CommandError::Busy { .. })), "{keyed:?}");
        let asleep = ledger.submit(payee.account, deposit(payee, 5, "more")).await;
        assert!(matches!(asleep, Err(CommandError::Busy { .. })), "{asleep:?}");
        assert!(matches!(ledger.account(payee.account).await, Err(CommandError::Busy { .. })));
        let paid = ledger.submit(payer.account, unkeyed(transfer(payer, payee, 100, "now"))).await.unwrap();
        assert_eq!(paid.status, Status::Pending);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(world.lock().model.quarantines, 0, "a store that does not answer is no failure of an account");
        world.clear_up();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(balance(&ledger, payee).await, 105);
    });
}
