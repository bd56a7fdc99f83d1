//! What stands in the accounts when everybody has stopped, and how long every stream is.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use protocol::frame::{ServerFrame, StreamName, Subscription};
use protocol::http::account::BalanceResponse;
use protocol::http::hold::{Hold, HoldStatus};
use protocol::http::page::Items;
use protocol::http::transaction::{Transaction, TransactionStatus, TransactionsResponse};
use tokio::time::{Instant, sleep, timeout};

use super::history::{Balance, Entry, History, HoldSeen, PersonSeen, Stream};
use super::worker::PATIENCE;
use super::world::World;
use crate::http::Client;
use crate::person::Person;
use crate::socket::{Socket, hello};

/// How long to wait between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until nothing is pending, then reads every statement, balance and hold.
///
/// What is still pending after `patience` is left for the judge to name.
pub(crate) async fn collect(
    world: &World,
    people: &mut [Person],
    patience: Duration,
) -> anyhow::Result<Vec<PersonSeen>> {
    let mut client = Client::new(world.target.clone(), PATIENCE);
    let deadline = Instant::now() + patience;
    for person in people.iter_mut() {
        person.sign_in(&mut client).await?;
    }
    loop {
        let mut seen = Vec::with_capacity(people.len());
        for person in people.iter() {
            seen.push(read(&mut client, person).await?);
        }
        let short = world.short_holds.lock().clone();
        let settled = seen.iter().all(|person| {
            person.statement.iter().all(|entry| entry.status != Some(TransactionStatus::Pending))
                && person.holds.iter().all(|hold| hold.status != HoldStatus::Held || !short.contains(&hold.id))
        });
        if !settled && Instant::now() < deadline {
            sleep(LOOK).await;
            continue;
        }
        // Nothing moves any more, so a second reading, all of it after the first, is of one moment.
        let mut seen = Vec::with_capacity(people.len());
        for person in people.iter() {
            seen.push(read(&mut client, person).await?);
        }
        return Ok(seen);
    }
}

/// How long every stream is, now that nothing new happens.
pub(crate) async fn heads(world: &World, people: &[Person], history: &History) -> anyhow::Result<HashMap<Stream, u64>> {
    let mut heads = HashMap::new();
    for (number, (person, seen)) in people.iter().zip(&history.people).enumerate() {
        heads.insert(Stream::Account(number), seen.balance.offset);
        let subscription = Subscription { stream: StreamName::User, after: None, last: None };
        let mut socket = Socket::open(&world.target, hello(&person.token, None, vec![subscription])).await?;
        let next = timeout(PATIENCE, socket.next()).await.context("no answer in time")?;
        match next.map_err(|ended| anyhow::anyhow!("{ended}"))? {
            ServerFrame::Subscribed(subscribed) => heads.insert(Stream::User(number), subscribed.head),
            other => anyhow::bail!("{other:?} where `subscribed` is due"),
        };
    }
    heads.extend(history.rooms.iter().enumerate().map(|(number, room)| (Stream::Room(number), room.head)));
    Ok(heads)
}

async fn read(client: &mut Client, person: &Person) -> anyhow::Result<PersonSeen> {
    let mut statement: Vec<Entry> = statement(client, person).await?.iter().map(Entry::of).collect();
    statement.reverse();
    let balance: BalanceResponse = get(client, "/api/v1/account/balance", person).await?;
    Ok(PersonSeen {
        handle: person.handle.clone(),
        statement,
        balance: Balance::of(&balance),
        holds: holds(client, person).await?.iter().map(HoldSeen::of).collect(),
        reads: Vec::new(),
        glances: Vec::new(),
    })
}

/// The whole statement, newest first, paged to its end.
async fn statement(client: &mut Client, person: &Person) -> anyhow::Result<Vec<Transaction>> {
    let mut all = Vec::new();
    let mut path = "/api/v1/account/transactions?limit=100".to_owned();
    loop {
        let page: TransactionsResponse = get(client, &path, person).await?;
        all.extend(page.transactions);
        match page.next_cursor {
            None => return Ok(all),
            Some(cursor) => path = format!("/api/v1/account/transactions?limit=100&cursor={cursor}"),
        }
    }
}

async fn holds(client: &mut Client, person: &Person) -> anyhow::Result<Vec<Hold>> {
    let mut all = Vec::new();
    let mut path = "/api/v1/account/holds?limit=100".to_owned();
    loop {
        let page: Items<Hold> = get(client, &path, person).await?;
        all.extend(page.items);
        match page.next_cursor {
            None => return Ok(all),
            Some(cursor) => path = format!("/api/v1/account/holds?limit=100&cursor={cursor}"),
        }
    }
}

/// Reads something, with some patience for a busy server.
async fn get<T: serde::de::DeserializeOwned>(client: &mut Client, path: &str, person: &Person) -> anyhow::Result<T> {
    let mut last = None;
    for _ in 0..50 {
        match client.get(path, &person.token).await.and_then(|answer| answer.read()) {
            Ok(body) => return Ok(body),
            Err(error) => last = Some(error),
        }
        sleep(LOOK).await;
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("never asked"))).with_context(|| format!("GET {path}"))
}

impl Entry {
    fn of(transaction: &Transaction) -> Self {
        Self {
            id: transaction.id.0,
            kind: transaction.kind,
            direction: transaction.direction,
            status: transaction.status,
            amount: transaction.amount_minor.get(),
            balance_after: transaction.balance_after_minor.get(),
            entry: transaction.entry,
            offset: transaction.offset,
            counterparty: transaction
                .counterparty
                .as_ref()
                .and_then(|party| party.quickpe_id)
                .map(|handle| handle.to_string()),
            description: transaction.description.clone(),
            reverses: transaction.reverses.map(|id| id.0),
        }
    }
}

impl HoldSeen {
    fn of(hold: &Hold) -> Self {
        Self {
            id: hold.id.0,
            status: hold.status,
            amount: hold.amount_minor.get(),
            captured: hold.captured_minor.get(),
            payer: hold.payer.quickpe_id.map(|handle| handle.to_string()),
        }
    }
}
