//! What was decided and is not in the views yet, by the ids that the rules ask for.
//!
//! Facts read from views are joined with it. It has everything queued and everything in the tail;
//! leaving one of the two out lets a key have two effects.

use std::sync::Arc;

use domain::ids::{AccountId, HoldId, TransferId};
use domain::ledger::{Change, Event, Purpose};
use domain::money::Minor;
use foldhash::HashMap;
use uuid::Uuid;

/// Outcomes by id, of all events that are queued or in the tail.
#[derive(Default)]
pub(crate) struct Index {
    /// The event that a command's id stands for: of a transfer's paying side, or of a hold.
    effects: HashMap<Uuid, Arc<Event>>,
    /// The event of a transfer's receiving side.
    credits: HashMap<TransferId, Arc<Event>>,
    /// What was given back of a transfer: the offset of each refund in its account, and its amount.
    /// With offsets, because views may have a refund already that is still in the tail.
    refunds: HashMap<TransferId, Vec<(u64, Minor)>>,
    /// The return of a transfer.
    returned: HashMap<TransferId, Arc<Event>>,
    /// The event that resolved a hold.
    resolved: HashMap<HoldId, Arc<Event>>,
}

impl Index {
    /// Takes in an event as it is queued.
    pub(crate) fn add(&mut self, event: &Arc<Event>) {
        match &event.change {
            Change::Deposited { movement } | Change::Withdrawn { movement, .. } => {
                self.effects.insert(movement.transfer.0, Arc::clone(event));
            }
            Change::Debited { movement, purpose, .. } => {
                self.effects.insert(movement.transfer.0, Arc::clone(event));
                match purpose {
                    Purpose::Refund { of } => {
                        self.refunds.entry(*of).or_default().push((event.offset, movement.entry.amount));
                    }
                    Purpose::Capture { hold, .. } => {
                        self.resolved.insert(*hold, Arc::clone(event));
                    }
                    Purpose::Transfer | Purpose::Return { .. } => {}
                }
            }
            Change::Credited { movement, purpose, .. } => {
                self.credits.insert(movement.transfer, Arc::clone(event));
                if let Purpose::Return { of, refund_of } = purpose {
                    self.returned.insert(*of, Arc::clone(event));
                    // A refund that came back was none.
                    if let (Some(of), Some(back)) = (refund_of, movement.entry.amount.negated()) {
                        self.refunds.entry(*of).or_default().push((event.offset, back));
                    }
                }
            }
            Change::Held { hold, .. } => {
                self.effects.insert(hold.0, Arc::clone(event));
            }
            Change::Released { hold, .. } => {
                self.resolved.insert(*hold, Arc::clone(event));
            }
            _ => {}
        }
    }

    /// Lets an event go as views have it.
    pub(crate) fn remove(&mut self, event: &Arc<Event>) {
        match &event.change {
            Change::Deposited { movement } | Change::Withdrawn { movement, .. } => {
                self.effects.remove(&movement.transfer.0);
            }
            Change::Debited { movement, purpose, .. } => {
                self.effects.remove(&movement.transfer.0);
                match purpose {
                    Purpose::Refund { of } => self.forget_refund(*of, event.offset),
                    Purpose::Capture { hold, .. } => {
                        self.resolved.remove(hold);
                    }
                    Purpose::Transfer | Purpose::Return { .. } => {}
                }
            }
            Change::Credited { movement, purpose, .. } => {
                self.credits.remove(&movement.transfer);
                if let Purpose::Return { of, refund_of } = purpose {
                    self.returned.remove(of);
                    if let Some(of) = refund_of {
                        self.forget_refund(*of, event.offset);
                    }
                }
            }
            Change::Held { hold, .. } => {
                self.effects.remove(&hold.0);
            }
            Change::Released { hold, .. } => {
                self.resolved.remove(hold);
            }
            _ => {}
        }
    }

    fn forget_refund(&mut self, of: TransferId, at: u64) {
        if let Some(refunds) = self.refunds.get_mut(&of) {
            refunds.retain(|(offset, _)| *offset != at);
            if refunds.is_empty() {
                self.refunds.remove(&of);
            }
        }
    }

    /// The event that a command's id stands for.
    pub(crate) fn effect(&self, id: Uuid) -> Option<Arc<Event>> {
        self.effects.get(&id).cloned()
    }

    /// The credit of a transfer to this account.
    pub(crate) fn credit(&self, transfer: TransferId, account: AccountId) -> Option<Arc<Event>> {
        self.credits.get(&transfer).filter(|event| event.account == account).cloned()
    }

    /// What was given back of a transfer in refunds after `offset`, up to which views know.
    pub(crate) fn refunded_after(&self, of: TransferId, offset: u64) -> Minor {
        let refunds = self.refunds.get(&of).map_or(&[][..], Vec::as_slice);
        let later = refunds.iter().filter(|(at, _)| *at > offset);
        later.fold(Minor::ZERO, |sum, (_, amount)| sum.plus(*amount).unwrap_or(Minor::MAX))
    }

    /// Whether the transfer's return is booked.
    pub(crate) fn is_returned(&self, of: TransferId) -> bool {
        self.returned.contains_key(&of)
    }

    /// The event that resolved a hold.
    pub(crate) fn resolved(&self, hold: HoldId) -> Option<Arc<Event>> {
        self.resolved.get(&hold).cloned()
    }
}
