//! Transfers between accounts of a node, each waited for, beside as many appends of that size by the bare driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actors::clock::BusinessZone;
use actors::config::LedgerConfig;
use actors::dead_letters::DeadLetterBox;
use actors::ledger::Ledger;
use actors::node::{LocalLink, Node, Stores};
use actors::shards::Shards;
use domain::ids::{AccountId, OperationId, ShardCount, TransferId, UserId, derived, random};
use domain::ledger::{By, Command, Fingerprint, Opening, Origin, Party, Principal, Request, Via};
use domain::money::{Currency, Minor};
use futures_util::{StreamExt, stream};
use metrics_exporter_prometheus::PrometheusHandle;
use quickpe::clock::SystemClock;
use quickpe::node::NoFollowers;
use ractor::Actor;
use storage::journal::Space;
use storage_cql::{CqlJournal, CqlViews};
use uuid::Uuid;

use crate::Options;
use crate::appends::Bare;
use crate::figures::{Counted, Figures, Step, cpu_seconds};

/// People who pay one another.
const PEOPLE: u128 = 4_096;

/// Shards of the store: as many as a small one has.
const SHARDS: u16 = 64;

/// Somebody who pays somebody else, again and again.
struct Client {
    ledger: Ledger,
    people: Arc<Vec<Party>>,
    /// Whether requests have idempotency keys.
    keyed: bool,
    next: Arc<AtomicU64>,
}

impl Step for Client {
    async fn step(&mut self) -> bool {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let pick = |of: u64| self.people[usize::try_from(mixed(of) % PEOPLE as u64).unwrap()];
        let (payer, mut payee) = (pick(2 * number), pick(2 * number + 1));
        if payer.account == payee.account {
            payee = self.people[usize::from(payer.account == self.people[0].account)];
        }
        let id = if self.keyed {
            derived(payer.account, payer.user.0, &format!("payment {number}"))
        } else {
            random(payer.account, *Uuid::new_v4().as_bytes())
        };
        let request = Request::Transfer {
            transfer: TransferId(id),
            payee,
            amount: Minor::new(1),
            fingerprint: self.keyed.then_some(Fingerprint([7; 16])),
            note: None,
        };
        let is_done = self.ledger.submit(payer.account, command(payer, request)).await.is_ok();
        if !is_done {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        is_done
    }
}

fn command(payer: Party, request: Request) -> Command {
    let by = By { principal: Principal::Person(payer.user), session: None, device: None, via: Via::Http };
    let origin = Origin { operation: OperationId(Uuid::new_v4()), by, trace: None };
    Command { origin, opening: Opening { owner: payer.user, currency: Currency::Inr }, request }
}

/// The finaliser of `MurmurHash3`.
fn mixed(mut number: u64) -> u64 {
    number ^= number >> 33;
    number = number.wrapping_mul(0xff51_afd7_ed55_8ccd);
    number ^= number >> 33;
    number = number.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ number >> 33
}

/// A node on the store, with people who have money.
async fn node(options: &Options) -> (Ledger, Arc<Vec<Party>>) {
    let cql = options.connect().await;
    let shards = ShardCount::new(SHARDS).unwrap();
    let stores = Stores {
        journal: Arc::new(CqlJournal::new(Arc::clone(&cql), Space::Ledger)),
        views: Arc::new(CqlViews::new(cql, Space::Ledger)),
    };
    let node = Arc::new(Node::new(
        shards,
        LedgerConfig { projection_delay_ms: options.projection_delay_ms, ..LedgerConfig::default() },
        BusinessZone::new("Asia/Kolkata").unwrap(),
        Arc::new(SystemClock),
        stores,
        Arc::new(LocalLink),
        Arc::new(NoFollowers),
        DeadLetterBox::default(),
    ));
    Actor::spawn(None, Shards, Arc::clone(&node)).await.unwrap();
    node.opening.subscribe().wait_for(|opening| opening.open == usize::from(SHARDS)).await.unwrap();
    let ledger = Ledger::new(node);
    let party = |number| {
        let user = UserId(Uuid::from_u128(number));
        Party { user, account: AccountId::of(user, Currency::Inr) }
    };
    let people: Vec<Party> = (1..=PEOPLE).map(party).collect();
    let deposits = people.iter().map(|party| async {
        loop {
            let transfer = TransferId(random(party.account, *Uuid::new_v4().as_bytes()));
            let amount = Minor::new(1 << 40);
            let request = Request::Deposit { transfer, amount, fingerprint: None, note: None };
            if ledger.submit(party.account, command(*party, request)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    stream::iter(deposits).buffer_unordered(1_024).collect::<Vec<_>>().await;
    (ledger, Arc::new(people))
}

/// Prints a row for each number of clients, with keys and for many also without.
pub(crate) async fn table(options: &Options, bare: &Arc<Bare>, metrics: &PrometheusHandle) {
    println!(
        "\n| clients | transfers | p50 / p99 | CPU a transfer | requests a transfer outside the journal | appends | in flight | bytes | bare appends alike | of bare |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let (ledger, people) = node(options).await;
    let next = Arc::new(AtomicU64::new(0));
    for (clients, keyed) in [(1, true), (64, true), (64, false), (1_024, true), (1_024, false)] {
        let client = || Client { ledger: ledger.clone(), people: Arc::clone(&people), keyed, next: Arc::clone(&next) };
        let (before, cpu) = (Counted::now(metrics), cpu_seconds());
        let figures = Figures::of((0..clients).map(|_| client()).collect(), options.length).await;
        let (after, cpu) = (Counted::now(metrics), cpu_seconds() - cpu);
        let of = |name: &str, label: &str| after.since(&before, name, label);
        let count = figures.count.max(1) as f64;
        let requests =
            of("quickpe_cql_requests_total", "store=") - of("quickpe_cql_requests_total", "store=\"journal\"");
        let appends = of("quickpe_journal_append_seconds_count", "").max(1.0);
        let in_flight = of("quickpe_journal_append_seconds_sum", "") / figures.seconds;
        let bytes = of("quickpe_journal_record_bytes_sum", "") / appends;
        // The rows that the views still lack are written before the store is asked for its most.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let shards = bare.shards((in_flight.round() as usize).max(1), bytes as usize);
        let alike = Figures::of(shards, options.length).await;
        println!(
            "| {clients}{} | {:.0}/s | {:.1} / {:.1} ms | {:.0} µs | {:.1} | {:.0}/s | {in_flight:.1} | {bytes:.0} | {:.0}/s | {:.0} % |",
            if keyed { "" } else { ", without keys" },
            figures.rate(),
            figures.ms(0.5),
            figures.ms(0.99),
            cpu * 1e6 / count,
            requests / count,
            appends / figures.seconds,
            alike.rate(),
            appends / figures.seconds / alike.rate() * 100.0
        );
    }
}
