//! A person at work: one operation after the other, each asked for until its outcome is known.

use std::sync::Arc;
use std::time::Duration;

use protocol::amount::Amount;
use protocol::frame::Method;
use protocol::http::account::BalanceResponse;
use protocol::http::transaction::TransactionsResponse;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use super::history::{Acknowledged, Balance, Glance, Kind, Operation, Outcome, Read};
use super::submit::{Attempt, Command, by_http, by_socket};
use super::world::{OpenHold, Refundable, World};
use crate::http::Client;
use crate::person::Person;
use crate::socket::{Socket, hello};

/// How long to wait for an answer before the outcome counts as unknown.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The smallest wait before asking again.
const BACKOFF: Duration = Duration::from_millis(20);
/// The largest.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How long a short hold lasts: long enough to be captured now and then.
pub(crate) const SHORT_HOLD: Duration = Duration::from_secs(3);

/// A person at work.
pub(crate) struct Worker {
    world: Arc<World>,
    number: usize,
    person: Person,
    client: Client,
    second: Client,
    socket: Option<Socket>,
    websocket: bool,
    rng: StdRng,
    made: u64,
    own_entry: u64,
    /// What was done.
    pub(crate) operations: Vec<Operation>,
    /// What was read.
    pub(crate) reads: Vec<Read>,
    /// What was glanced at.
    pub(crate) glances: Vec<Glance>,
}

impl Worker {
    /// Person `number`, with a plan that follows from `seed`.
    pub(crate) fn new(world: Arc<World>, number: usize, person: Person, seed: u64, websocket: bool) -> Self {
        let client = Client::new(world.target.clone(), PATIENCE);
        let second = Client::new(world.target.clone(), PATIENCE);
        let rng = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number as u64));
        Self {
            world,
            number,
            person,
            client,
            second,
            socket: None,
            websocket,
            rng,
            made: 0,
            own_entry: 0,
            operations: Vec::new(),
            reads: Vec::new(),
            glances: Vec::new(),
        }
    }

    /// Works until the run stops. Gives itself back with what it saw.
    pub(crate) async fn work(mut self) -> Self {
        let first = self.rng.random_range(10_000..1_000_000);
        self.perform(Kind::Deposit, first).await;
        while self.world.may_operate() {
            match self.rng.random_range(0..100) {
                0..12 => self.read().await,
                12..16 => self.glance().await,
                _ => {
                    if let Some((kind, amount)) = self.plan() {
                        self.perform(kind, amount).await;
                    }
                }
            }
        }
        if let Some(socket) = self.socket.take() {
            socket.close().await;
        }
        self
    }

    /// What to do next; nothing if it needs a hold or transfer that is not there.
    fn plan(&mut self) -> Option<(Kind, i64)> {
        let others = self.world.handles.len();
        let other = (self.number + self.rng.random_range(1..others)) % others;
        // Mostly small, sometimes more than there is.
        let amount = if self.rng.random_bool(0.03) {
            self.rng.random_range(1..5_000_000)
        } else {
            self.rng.random_range(1..5_000)
        };
        let me = self.number;
        Some(match self.rng.random_range(0..100) {
            0..12 => (Kind::Deposit, amount),
            12..20 => (Kind::Withdraw, amount),
            20..64 => (Kind::Transfer(other), amount),
            64..76 => (Kind::Hold(other), amount),
            76..86 => {
                let hold = self.world.pick_hold(&mut self.rng, |hold| hold.payee == me)?;
                let part = if self.rng.random_bool(0.5) { hold.amount } else { self.rng.random_range(1..=hold.amount) };
                (Kind::Capture(hold.id), part)
            }
            86..91 => {
                let hold = self.world.pick_hold(&mut self.rng, |hold| hold.payee == me || hold.payer == me)?;
                (Kind::Release(hold.id), hold.amount)
            }
            _ => {
                let transfer = self.world.pick_transfer(&mut self.rng, |transfer| transfer.payee == me)?;
                (Kind::Refund(transfer.id), self.rng.random_range(1..=transfer.amount))
            }
        })
    }

    /// Asks until the outcome is known; then, now and then, once more.
    async fn perform(&mut self, kind: Kind, amount: i64) {
        self.made += 1;
        let tag = format!("{}-{}-{}", self.world.run, self.number, self.made);
        let started = self.world.now();
        let short = matches!(kind, Kind::Hold(_)) && self.rng.random_bool(0.2);
        let command = Command {
            kind,
            amount: Amount::from_text(format!("{}.{:02}", amount / 100, amount % 100)),
            payee: match kind {
                Kind::Transfer(other) | Kind::Hold(other) => self.world.handles.get(other).cloned().unwrap_or_default(),
                _ => String::new(),
            },
            expires_in: short.then_some(SHORT_HOLD),
            tag,
        };
        let outcome = self.outcome(&command).await;
        let ended = self.world.now();
        if let Outcome::Acknowledged(answers) = &outcome {
            self.remember(kind, amount, short, answers);
        }
        let operation = Operation { person: self.number, kind, amount, tag: command.tag, started, ended, outcome };
        self.operations.push(operation);
        self.world.done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    async fn outcome(&mut self, command: &Command) -> Outcome {
        let mut answers = Vec::new();
        let mut firsts = 0;
        let mut wait = BACKOFF;
        let mut twice = self.rng.random_bool(0.03);
        let repeats = if self.rng.random_bool(0.05) { self.rng.random_range(1..3) } else { 0 };
        loop {
            let was_done = !answers.is_empty();
            let (mut refused, mut is_open) = (None, false);
            for attempt in self.attempts(command, std::mem::take(&mut twice)).await {
                match attempt {
                    Attempt::Done { answer, replayed } => {
                        answers.push(answer);
                        firsts += usize::from(replayed == Some(false));
                        if firsts > 1 {
                            self.world.foreign(format!("{}: two answers say that they are the first", command.tag));
                        }
                    }
                    Attempt::Refused(code) if was_done => {
                        self.world.foreign(format!("{} was done, then refused with {code}", command.tag));
                        return Outcome::Acknowledged(answers);
                    }
                    Attempt::Refused(code) => refused = Some(code),
                    Attempt::SignIn => {
                        is_open = true;
                        _ = self.person.sign_in(&mut self.client).await;
                    }
                    Attempt::Again(after) => {
                        is_open = true;
                        wait = after.unwrap_or(wait).min(BACKOFF_MAX);
                    }
                    Attempt::Foreign(what) => {
                        self.world.foreign(what);
                        return Outcome::Unknown;
                    }
                }
            }
            // Of two at the same time one may be refused and the other not: what refuses may end between them.
            if let Some(code) = refused.filter(|_| answers.is_empty() && !is_open) {
                return Outcome::Refused(code);
            }
            if answers.len() > repeats || (self.world.given_up() && !answers.is_empty()) {
                return Outcome::Acknowledged(answers);
            }
            if self.world.given_up() {
                return Outcome::Unknown;
            }
            if answers.is_empty() {
                self.world.retries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                sleep(wait).await;
                wait = (wait * 2).min(BACKOFF_MAX);
            }
        }
    }

    /// One attempt, or two at the same time.
    async fn attempts(&mut self, command: &Command, twice: bool) -> Vec<Attempt> {
        let token = self.person.token.clone();
        if twice {
            let (one, other) =
                tokio::join!(by_http(&mut self.client, &token, command), by_http(&mut self.second, &token, command));
            return vec![one, other];
        }
        if self.websocket && command.method().is_some() && self.rng.random_bool(0.4) {
            match self.socket().await {
                Some(mut socket) => {
                    let (attempt, alive) = by_socket(&mut socket, command, PATIENCE).await;
                    self.socket = alive.then_some(socket);
                    return vec![attempt];
                }
                None => return vec![Attempt::Again(None)],
            }
        }
        vec![by_http(&mut self.client, &token, command).await]
    }

    /// The session for calls; opened if there is none. None if it cannot be had now.
    async fn socket(&mut self) -> Option<Socket> {
        if let Some(socket) = self.socket.take() {
            return Some(socket);
        }
        let hello = hello(&self.person.token, None, Vec::new());
        if let Ok(socket) = Socket::open(&self.world.target, hello).await {
            return Some(socket);
        }
        // The server is away, or the token has ended: a new one helps with the latter.
        _ = self.person.sign_in(&mut self.client).await;
        None
    }

    fn remember(&mut self, kind: Kind, amount: i64, short: bool, answers: &[Acknowledged]) {
        let Some(first) = answers.first() else { return };
        if let Some((_, offset)) = first.entry {
            self.own_entry = self.own_entry.max(offset);
            self.world.told(self.number, offset);
        }
        match kind {
            Kind::Hold(payee) => {
                if short {
                    self.world.short_holds.lock().insert(first.id);
                }
                self.world.opened(OpenHold { id: first.id, payer: self.number, payee, amount });
            }
            Kind::Transfer(payee) => self.world.transferred(Refundable { id: first.id, payee, amount }),
            _ => {}
        }
    }

    async fn read(&mut self) {
        let known = self.world.known(self.number);
        let balance: Option<BalanceResponse> =
            match (self.websocket && self.rng.random_bool(0.4), self.socket.is_some()) {
                (true, true) => self.call_balance().await,
                _ => self.get("/api/v1/account/balance").await,
            };
        if let Some(balance) = balance {
            let seen = Balance::of(&balance);
            self.world.told(self.number, seen.offset);
            self.reads.push(Read { known, seen });
        }
    }

    async fn call_balance(&mut self) -> Option<BalanceResponse> {
        let mut socket = self.socket.take()?;
        let reply = tokio::time::timeout(PATIENCE, socket.call(Method::Balance, None, None)).await.ok()?.ok()?;
        self.socket = Some(socket);
        match reply.ok()?.read() {
            Ok(balance) => Some(balance),
            Err(error) => {
                self.world.foreign(format!("account.balance: {error}"));
                None
            }
        }
    }

    async fn glance(&mut self) {
        let known = self.own_entry;
        let page: Option<TransactionsResponse> = self.get("/api/v1/account/transactions?limit=1").await;
        if let Some(page) = page {
            let newest = page.transactions.first().map_or(0, |newest| newest.offset);
            self.glances.push(Glance { known, newest });
        }
    }

    /// Reads something, if the server answers.
    async fn get<T: serde::de::DeserializeOwned>(&mut self, path: &str) -> Option<T> {
        let Ok(answer) = self.client.get(path, &self.person.token).await else {
            sleep(BACKOFF).await;
            return None;
        };
        if answer.status == http::StatusCode::UNAUTHORIZED {
            _ = self.person.sign_in(&mut self.client).await;
            return None;
        }
        if !answer.status.is_success() {
            sleep(BACKOFF).await;
            return None;
        }
        answer.read().map_err(|error| self.world.foreign(format!("{path}: {error:#}"))).ok()
    }

    /// The person, for the collection at the end.
    pub(crate) fn into_parts(self) -> (Person, Vec<Operation>, Vec<Read>, Vec<Glance>) {
        (self.person, self.operations, self.reads, self.glances)
    }
}

impl Balance {
    /// What a balance's body says.
    pub(crate) fn of(body: &BalanceResponse) -> Self {
        Self {
            balance: body.balance_minor.get(),
            available: body.available_minor.get(),
            held: body.held_minor.get(),
            offset: body.offset,
        }
    }
}
