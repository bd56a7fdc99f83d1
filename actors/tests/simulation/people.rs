//! Clients who deposit, pay, hold, capture, release, refund and freeze, and ask again with the same
//! key until they know.

use std::sync::Arc;
use std::time::Duration;

use actors::call::{Answer, CommandError, Status};
use actors::ledger::{Ledger, system_origin};
use domain::ids::{AccountId, HoldId, OperationId, TransferId, UserId, derived};
use domain::ledger::{
    By, Change, Command, Event, Fingerprint, Opening, Origin, Party, Principal, Purpose, Refusal, Request, Via,
};
use domain::money::{Currency, Minor};
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::world::{Chance, World};

/// Clients act in milliseconds of their own (the time modulo this), so that the order in which they
/// hear of a failure at one instant changes nothing.
const LANES: u64 = 16;

/// Someone with an account.
pub(crate) fn person(number: u128) -> Party {
    let user = UserId(Uuid::from_u128(0x0700_0000 + number));
    Party { user, account: AccountId::of(user, Currency::Inr) }
}

/// A command by `by` to the account of `whose`.
pub(crate) fn command(whose: Party, by: UserId, request: Request) -> Command {
    let by = By { principal: Principal::Person(by), session: None, device: None, via: Via::Http };
    Command {
        origin: Origin { operation: OperationId(Uuid::nil()), by, trace: None },
        opening: Opening { owner: whose.user, currency: Currency::Inr },
        request,
    }
}

/// The fingerprint of a request under `key`.
#[allow(clippy::unnecessary_wraps, reason = "a request may have none")]
pub(crate) fn fingerprint(key: &str) -> Option<Fingerprint> {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(key.bytes()).for_each(|(to, from)| *to = from);
    Some(Fingerprint(bytes))
}

pub(crate) fn deposit(to: Party, amount: u64, key: &str) -> Command {
    let transfer = TransferId(derived(to.account, to.user.0, key));
    let request = Request::Deposit { transfer, amount: minor(amount), fingerprint: fingerprint(key), note: None };
    command(to, to.user, request)
}

pub(crate) fn transfer(from: Party, payee: Party, amount: u64, key: &str) -> Command {
    let transfer = TransferId(derived(from.account, from.user.0, key));
    let amount = minor(amount);
    command(from, from.user, Request::Transfer { transfer, payee, amount, fingerprint: fingerprint(key), note: None })
}

pub(crate) fn refund(by: Party, of: TransferId, amount: Option<u64>, key: &str) -> Command {
    let transfer = TransferId(derived(by.account, by.user.0, key));
    let request = Request::Refund { transfer, of, amount: amount.map(minor), fingerprint: fingerprint(key) };
    command(by, by.user, request)
}

pub(crate) fn minor(amount: u64) -> Minor {
    Minor::new(i64::try_from(amount).unwrap_or(i64::MAX))
}

/// What a client asks for.
#[derive(Clone)]
struct Errand {
    account: AccountId,
    command: Command,
    /// How many times at once.
    twins: u64,
    /// What it was answered last.
    last: String,
}

impl Errand {
    /// The id that its effect has, if it has one.
    fn id(&self) -> Option<Uuid> {
        match &self.command.request {
            Request::Hold { hold, .. } => Some(hold.0),
            request => request.transfer().map(|transfer| transfer.0),
        }
    }
}

/// What all clients know of what was done.
#[derive(Default)]
pub(crate) struct Known {
    holds: Vec<(HoldId, Party, Party)>,
    transfers: Vec<(TransferId, Party)>,
    /// How many errands ended in an effect, and how many in a refusal.
    pub done: (u32, u32),
}

/// A client. Survives the crashes of the node.
pub(crate) struct Client {
    number: u64,
    chance: Chance,
    people: Vec<Party>,
    left: u64,
    errand: Option<Errand>,
}

impl Client {
    pub(crate) fn new(seed: u64, number: u64, people: Vec<Party>, errands: u64) -> Self {
        let chance = Chance::new(seed.wrapping_mul(1_000_003) + number + 1);
        Self { number, chance, people, left: errands, errand: None }
    }

    fn anyone(&mut self) -> Party {
        // Half of all goes on between few accounts: there they are hot.
        let most = if self.chance.happens(50) { 3 } else { self.people.len() as u64 };
        self.people[usize::try_from(self.chance.below(most)).unwrap_or(0)]
    }

    fn think(&mut self, known: &Known) -> Errand {
        let key = format!("{}-{}", self.number, self.left);
        let (from, to) = (self.anyone(), self.anyone());
        let amount = self.chance.between(1, 400);
        let twins = if self.chance.happens(15) { self.chance.between(2, 3) } else { 1 };
        let wish = if self.left.is_multiple_of(4) { 0 } else { self.chance.below(100) };
        let command = match wish {
            0..15 => deposit(from, amount * 3, &key),
            60..70 => {
                let transfer = TransferId(derived(from.account, from.user.0, &key));
                let (amount, fingerprint) = (minor(amount), fingerprint(&key));
                command(from, from.user, Request::Withdraw { transfer, amount, fingerprint, note: None })
            }
            70..79 => {
                let hold = HoldId(derived(from.account, from.user.0, &key));
                let (amount, fingerprint) = (minor(amount / 2 + 1), fingerprint(&key));
                let lasts = Duration::from_millis(self.chance.between(1_000, 6_000));
                command(from, from.user, Request::Hold { hold, payee: to, amount, lasts, fingerprint, note: None })
            }
            79..87 if let Some((hold, payer, payee)) = self.chance.pick(&known.holds).copied() => {
                let transfer = TransferId(derived(payer.account, payee.user.0, &key));
                let amount = self.chance.happens(50).then(|| minor(amount / 4 + 1));
                let (by, fingerprint) = (payee.user, fingerprint(&key));
                command(payer, by, Request::Capture { transfer, hold, by, amount, fingerprint })
            }
            87..90 if let Some((hold, payer, payee)) = self.chance.pick(&known.holds).copied() => {
                let by = if self.chance.happens(50) { payer.user } else { payee.user };
                command(payer, by, Request::Release { hold, by })
            }
            90..97 if let Some((of, payee)) = self.chance.pick(&known.transfers).copied() => {
                let part = self.chance.happens(60).then_some(amount / 2 + 1);
                refund(payee, of, part, &key)
            }
            97.. => {
                let debit = self.chance.happens(50).then(|| self.chance.happens(30));
                let credit = self.chance.happens(80).then(|| self.chance.happens(40));
                command(from, from.user, Request::Freeze { debit, credit, reason: None })
            }
            _ => transfer(from, to, amount, &key),
        };
        let account = AccountId::of(command.opening.owner, command.opening.currency);
        Errand { account, command, twins, last: String::new() }
    }

    /// What it wants to know, if anything.
    pub(crate) fn waits(&self) -> Option<String> {
        self.errand.as_ref().map(|errand| format!("{}: {:?}", errand.last, errand.command.request))
    }
}

/// Runs a client's errands until none is left.
pub(crate) async fn serve(world: &World, ledger: &Ledger, client: &Mutex<Client>, known: &Mutex<Known>) {
    loop {
        let (number, rest) = {
            let mut client = client.lock();
            (client.number, Duration::from_millis(client.chance.below(60)))
        };
        in_lane(world, number, rest).await;
        let errand = {
            let mut client = client.lock();
            if client.left == 0 {
                return;
            }
            if client.errand.is_none() {
                client.errand = Some(client.think(&known.lock()));
            }
            client.errand.clone()
        };
        let Some(errand) = errand else { return };
        let asked = (0..errand.twins).map(|_| ledger.submit(errand.account, errand.command.clone()));
        let answers = futures_util::future::join_all(asked).await;
        if world.is_over() {
            std::future::pending::<()>().await;
        }
        if let Some(errand) = &mut client.lock().errand {
            errand.last = format!("{answers:?}");
        }
        if judge(world, &errand, &answers, known) {
            let look = {
                let mut client = client.lock();
                client.errand = None;
                client.left -= 1;
                client.chance.below(100)
            };
            for event in answers.iter().flatten().filter_map(|effect| effect.event.as_ref()) {
                read_own_write(world, ledger, event, look, number).await;
            }
        } else if answers.iter().any(|answer| matches!(answer, Err(CommandError::Unavailable))) {
            in_lane(world, number, Duration::from_secs(1)).await;
            ledger.end_quarantine(errand.account, system_origin(OperationId(Uuid::nil()))).await.ok();
        }
    }
}

/// Waits for a millisecond of one's own, some time from now.
async fn in_lane(world: &World, number: u64, rest: Duration) {
    let Some(base) = world.began() else { return };
    let now = u64::try_from((Instant::now() + rest).duration_since(base).as_millis()).unwrap_or(0);
    let next = now - now % LANES + LANES + number % LANES;
    tokio::time::sleep_until(base + Duration::from_millis(next)).await;
}

/// Waits for something, and then for one's own millisecond.
async fn in_time<T>(world: &World, number: u64, what: impl Future<Output = T>) -> T {
    let what = what.await;
    in_lane(world, number, Duration::ZERO).await;
    what
}

/// Looks at what a client was told. Whether it knows now.
fn judge(world: &World, errand: &Errand, answers: &[Answer], known: &Mutex<Known>) -> bool {
    let mut done = false;
    let mut unknown = false;
    let mut refused = false;
    for answer in answers {
        match answer {
            Ok(effect) => {
                done = true;
                if let Some(event) = &effect.event {
                    acknowledged(world, errand, event, effect.status);
                    learn(event, &mut known.lock());
                } else if errand.id().is_some() {
                    world.wrong(format!("{:?} was done without an event", errand.command.request));
                }
                if let (Some(event), Some(account)) = (&effect.event, &effect.account)
                    && account.head != event.offset
                {
                    world.wrong(format!("{event:?} was answered with the account at {}", account.head));
                }
            }
            Err(CommandError::Refused(Refusal::KeyReused)) => {
                world.wrong(format!("{:?} was refused as another request", errand.command.request));
            }
            Err(CommandError::Refused(refusal)) => {
                refused = true;
                world.note(format!("{refusal:?}").as_bytes());
            }
            Err(CommandError::Unknown) => unknown = true,
            Err(_) => {}
        }
    }
    // Where one of twins was refused and the others were not let in, nothing happened.
    let refused = refused && !done && !unknown;
    if refused && let Some(id) = errand.id() {
        let mut state = world.lock();
        if state.model.effects.contains_key(&id) {
            let what = format!("{:?} was refused ({answers:?}), and happened", errand.command.request);
            state.wrong.push(what);
        }
        state.model.refused.insert(id);
    }
    let mut known = known.lock();
    known.done.0 += u32::from(done);
    known.done.1 += u32::from(refused);
    done || refused
}

/// What is told as done must be durable, and be what was asked for.
fn acknowledged(world: &World, errand: &Errand, event: &Event, status: Status) {
    let mut wrong = Vec::new();
    {
        let state = world.lock();
        if state.model.events.get(&(event.account, event.offset)).is_none_or(|durable| **durable != *event) {
            wrong.push(format!("{event:?} was acknowledged, and is not durable"));
        }
        if let Some(id) = errand.id()
            && state.model.effects.get(&id) != Some(&(event.account, event.offset))
        {
            wrong.push(format!("{event:?} was acknowledged for {id}"));
        }
        if let Change::Debited { movement, .. } = &event.change {
            let transfer = movement.transfer;
            if status == Status::Completed && !state.model.delivered.contains(&transfer) {
                wrong.push(format!("transfer {transfer} was told as completed before the payee had it"));
            }
            if status == Status::Returned && !state.model.returned.contains(&transfer) {
                wrong.push(format!("transfer {transfer} was told as returned before it was"));
            }
        }
    }
    for what in wrong {
        world.wrong(what);
    }
    world.note(&event.offset.to_le_bytes());
}

/// A hold can be captured, a payment refunded.
fn learn(event: &Event, known: &mut Known) {
    match &event.change {
        Change::Held { hold, owner, payee, .. } => {
            known.holds.push((*hold, Party { user: *owner, account: event.account }, *payee));
        }
        Change::Debited { movement, payee, purpose: Purpose::Transfer | Purpose::Capture { .. }, .. } => {
            known.transfers.push((movement.transfer, *payee));
        }
        _ => {}
    }
}

/// A reader sees what was acknowledged before it asked.
async fn read_own_write(world: &World, ledger: &Ledger, event: &Event, look: u64, number: u64) {
    in_lane(world, number, Duration::ZERO).await;
    if look < 40
        && let Ok(account) = ledger.account(event.account).await
        && account.head < event.offset
        && !world.is_over()
    {
        world.wrong(format!("{} was read at {}, after {} was acknowledged", event.account, account.head, event.offset));
    }
    if look < 20
        && let Ok(point) = in_time(world, number, ledger.read_point(event.account)).await
        && let Ok(rows) = ledger.events_before(event.account, event.offset + 1, 1).await
        && !world.is_over()
    {
        let in_rows = rows.first().is_some_and(|row| row.offset == event.offset);
        let unapplied = point.unapplied.iter().any(|row| row.offset == event.offset);
        if !in_rows && !unapplied {
            world.wrong(format!("a statement of {} lacks its own event {}", event.account, event.offset));
        }
    }
    in_lane(world, number, Duration::ZERO).await;
    if look < 10
        && let Ok(rows) = ledger.events_after(event.account, event.offset - 1, 1).await
        && !world.is_over()
        && rows.first().is_none_or(|row| row.offset != event.offset)
    {
        world.wrong(format!("the stream of {} lacks its event {}", event.account, event.offset));
    }
}

/// All clients of a run.
pub(crate) type Clients = Vec<Arc<Mutex<Client>>>;
