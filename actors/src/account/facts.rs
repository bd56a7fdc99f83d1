//! What a decision must know beyond the account's state: read from views, joined with the index.
//!
//! Views are behind the journal. A fact read from them is true at the slot that views had when the
//! reading began; everything after that slot is in the index. If the tail has been trimmed past that
//! slot meanwhile, something may be in neither, and the fact is read again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use domain::ids::{AccountId, HoldId, TransferId};
use domain::ledger::{self, Change, Event, Facts, Original, Past, PastHold, Purpose, Request};
use domain::money::Minor;
use futures_util::FutureExt;
use storage::views::Table;
use storage::{Error, encoding};
use uuid::Uuid;

use crate::projector::cells::{self, HoldOutcome, HoldRow, Pointer, Refunded};
use crate::shard::core::{AsOf, Shared};

/// What a command wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What this id did before: the command has an idempotency key.
    past: Option<Uuid>,
    /// What this transfer brought, and how much of it was given back.
    original: Option<TransferId>,
    /// How this hold was resolved: it is not open.
    resolved: Option<HoldId>,
    /// Whether transfers are on their way.
    unsettled: bool,
}

impl Wanted {
    /// What `request` wants to know of an account in this state.
    pub(crate) fn by(request: &Request, account: &ledger::Account) -> Self {
        let keyed = request.fingerprint().is_some();
        let id = match request {
            Request::Hold { hold, .. } => Some(hold.0),
            _ => request.transfer().map(|transfer| transfer.0),
        };
        let (original, hold) = match request {
            Request::Refund { of, .. } => (Some(*of), None),
            Request::Capture { hold, .. } | Request::Release { hold, .. } => (None, Some(*hold)),
            _ => (None, None),
        };
        Self {
            past: id.filter(|_| keyed),
            original,
            resolved: hold.filter(|hold| !account.holds.contains_key(hold)),
            unsettled: matches!(request, Request::Close),
        }
    }

    /// The state says it all.
    pub(crate) const fn is_nothing(&self) -> bool {
        self.past.is_none() && self.original.is_none() && self.resolved.is_none() && !self.unsettled
    }

    /// The account is to be closed.
    pub(crate) const fn is_closing(&self) -> bool {
        self.unsettled
    }

    /// Whether one of two commands must not overtake the other.
    pub(crate) fn touches(&self, other: &Self) -> bool {
        let same = |a: Option<Uuid>, b: Option<Uuid>| a.is_some() && a == b;
        same(self.past, other.past)
            || same(self.original.map(|id| id.0), other.original.map(|id| id.0))
            || same(self.resolved.map(|id| id.0), other.resolved.map(|id| id.0))
    }
}

/// What views say.
#[derive(Debug)]
pub struct Found {
    as_of: AsOf,
    past: Option<PastEvent>,
    original: Option<Arc<Event>>,
    refunded: Refunded,
    hold: Option<HoldRow>,
}

/// The event that a command's id stands for.
#[derive(Clone, Debug)]
pub struct PastEvent {
    /// The event.
    pub event: Arc<Event>,
    /// Its transfer went back.
    pub returned: bool,
}

/// What was read, or why it could not be.
pub type Looked = Result<Found, Arc<Error>>;

/// A reading under way.
#[allow(clippy::large_enum_variant, reason = "lives for one match, and an embedded store always answers at once")]
pub(crate) enum Looking {
    /// It is done.
    Ready(Looked),
    /// The store takes its time.
    Later(Pin<Box<dyn Future<Output = Looked> + Send>>),
}

/// What the rules are given.
pub(crate) struct Joined {
    pub facts: Facts,
    pub event: Option<PastEvent>,
}

/// Reads what is wanted. Polls the store once: an embedded one answers at that.
pub(crate) fn look(shared: &Arc<Shared>, account: AccountId, wanted: &Wanted) -> Looking {
    let shared = Arc::clone(shared);
    let wanted = wanted.clone();
    let mut looking: Pin<Box<dyn Future<Output = Looked> + Send>> =
        Box::pin(async move { read(&shared, account, &wanted).await.map_err(Arc::new) });
    match (&mut looking).now_or_never() {
        Some(looked) => Looking::Ready(looked),
        None => Looking::Later(looking),
    }
}

async fn read(shared: &Arc<Shared>, account: AccountId, wanted: &Wanted) -> Result<Found, Error> {
    let as_of = shared.as_of();
    let views = &shared.node.stores.views;
    let mut found = Found { as_of, past: None, original: None, refunded: Refunded::default(), hold: None };
    if let Some(id) = wanted.past {
        let event = past_event(shared, account, id).await?;
        if let Some(event) = event {
            let returned = views.cell(Table::Transfers, id, cells::RETURNED).await?.is_some();
            found.past = Some(PastEvent { event, returned });
        }
    }
    if let Some(of) = wanted.original {
        if let Some(cell) = views.cell(Table::Transfers, of.0, cells::CREDIT).await? {
            let pointer: Pointer = encoding::read_state(&cell)?;
            if pointer.account == account {
                found.original = event_at(shared, pointer).await?;
            }
        }
        if let Some(cell) = views.cell(Table::Transfers, of.0, cells::REFUNDED).await? {
            found.refunded = encoding::read_state(&cell)?;
        }
    }
    if let Some(hold) = wanted.resolved {
        let cell = views.cell(Table::Holds, hold.0, &[]).await?;
        found.hold = cell.map(|cell| encoding::read_state(&cell)).transpose()?;
    }
    Ok(found)
}

/// The event that an id of this account stands for, as views have it.
async fn past_event(shared: &Shared, account: AccountId, id: Uuid) -> Result<Option<Arc<Event>>, Error> {
    let views = &shared.node.stores.views;
    let Some(cell) = views.cell(Table::Transfers, id, cells::EFFECT).await? else { return Ok(None) };
    let pointer: Pointer = encoding::read_state(&cell)?;
    if pointer.account == account { event_at(shared, pointer).await } else { Ok(None) }
}

/// The event that a cell points at.
pub(crate) async fn event_at(shared: &Shared, pointer: Pointer) -> Result<Option<Arc<Event>>, Error> {
    let before = pointer.offset.saturating_sub(1);
    let rows = shared.node.stores.views.events_after(pointer.account.0, before, 1).await?;
    let row = rows.first().filter(|row| row.offset == pointer.offset);
    row.map(|row| encoding::read_event(&row.bytes)).transpose()
}

fn past_hold(row: &HoldRow) -> Option<PastHold> {
    let released = match row.outcome {
        HoldOutcome::Held => return None,
        HoldOutcome::Captured { .. } => None,
        HoldOutcome::Released(cause) => Some(cause),
    };
    Some(PastHold { payer: row.payer.user, payee: row.payee.user, released })
}

impl Found {
    /// Joins with what is queued and in the tail. `None`: the tail has moved on, read again.
    pub(crate) fn join(self, shared: &Shared, account: AccountId, wanted: &Wanted) -> Option<Joined> {
        if crate::mutant::is(crate::mutant::Mutant::FactsWithoutIndex) {
            let original = self.original.as_deref().and_then(|event| original_of(event, self.refunded.sum));
            return Some(joined(self.past, original, self.hold.as_ref().and_then(past_hold)));
        }
        shared.join(self.as_of.slot, |index| {
            let past = wanted.past.and_then(|id| {
                let tail = index.effect(id).filter(|event| event.account == account);
                let event = tail.or_else(|| self.past.as_ref().map(|past| Arc::clone(&past.event)))?;
                let returned =
                    self.past.as_ref().is_some_and(|past| past.returned) || index.is_returned(TransferId(id));
                Some(PastEvent { event, returned })
            });
            let original = wanted.original.and_then(|of| {
                let event = index.credit(of, account).or_else(|| self.original.clone())?;
                let later = index.refunded_after(of, self.refunded.through);
                original_of(&event, self.refunded.sum.plus(later)?)
            });
            let resolved = wanted.resolved.and_then(|hold| match index.resolved(hold) {
                Some(event) => resolved_by(&event, index.effect(hold.0).as_deref(), self.hold.as_ref()),
                None => self.hold.as_ref().and_then(past_hold),
            });
            joined(past, original, resolved)
        })
    }
}

fn joined(past: Option<PastEvent>, original: Option<Original>, resolved: Option<PastHold>) -> Joined {
    let facts = Facts {
        past: past.as_ref().map(|past| Past { offset: past.event.offset, fingerprint: fingerprint(&past.event) }),
        original,
        resolved,
        unsettled: false,
    };
    Joined { facts, event: past }
}

/// The fingerprint that an effect was made with.
fn fingerprint(event: &Event) -> Option<ledger::Fingerprint> {
    match &event.change {
        Change::Held { fingerprint, .. } => *fingerprint,
        change => change.movement().and_then(|movement| movement.fingerprint),
    }
}

fn original_of(event: &Event, refunded: Minor) -> Option<Original> {
    match &event.change {
        Change::Credited { movement, payer, purpose, .. } => {
            Some(Original { payer: *payer, amount: movement.entry.amount, refunded, purpose: *purpose })
        }
        _ => None,
    }
}

/// Who was party to a hold that an event in the tail resolved, and how.
fn resolved_by(event: &Event, held: Option<&Event>, row: Option<&HoldRow>) -> Option<PastHold> {
    let released = match &event.change {
        Change::Debited { owner, payee, purpose: Purpose::Capture { .. }, .. } => {
            return Some(PastHold { payer: *owner, payee: payee.user, released: None });
        }
        Change::Released { cause, .. } => Some(*cause),
        _ => return None,
    };
    match (held.map(|event| &event.change), row) {
        (Some(Change::Held { owner, payee, .. }), _) => Some(PastHold { payer: *owner, payee: payee.user, released }),
        (_, Some(row)) => Some(PastHold { payer: row.payer.user, payee: row.payee.user, released }),
        _ => None,
    }
}
