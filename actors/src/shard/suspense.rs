//! What an operator does with credits that rest in suspense.

use std::sync::Arc;

use domain::ids::TransferId;
use domain::ledger::{ChannelNumber, Meta, Origin, Resolution, ShardEvent, Suspended};
use storage::encoding::Item;
use tokio::sync::oneshot;

use crate::shard::Open;
use crate::shard::core::Push;

/// What to do with suspense.
#[derive(Clone, Debug)]
pub enum SuspenseAction {
    /// Say what rests there.
    List,
    /// Offer a credit to its payee again.
    Release {
        /// Which.
        transfer: TransferId,
        /// Where it comes from.
        origin: Origin,
    },
    /// Send a credit back to its payer.
    Return {
        /// Which.
        transfer: TransferId,
        /// Where it comes from.
        origin: Origin,
    },
}

/// Why suspense was left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuspenseError {
    /// Nothing of this transfer rests there.
    #[error("nothing of this transfer rests in suspense")]
    NotFound,
    /// A return does not return.
    #[error("a return cannot be returned: release it")]
    IsReturn,
    /// The shard is not open.
    #[error("the shard is not open")]
    Unavailable,
}

impl Open {
    /// Lists what rests in suspense, or resolves one of it. Answers what it was about.
    pub(super) fn suspense(
        &mut self,
        action: SuspenseAction,
        reply: oneshot::Sender<Result<Vec<Suspended>, SuspenseError>>,
    ) {
        let answer = match action {
            SuspenseAction::List => Ok(self.ledger.suspense.values().cloned().collect()),
            SuspenseAction::Release { transfer, origin } => self.resolve(transfer, origin, |open, _| {
                // The payee's account is on this shard: the channel to itself brings it there.
                Ok(Resolution::Released { channel: ChannelNumber { peer: open.shared.id, number: 0 } })
            }),
            SuspenseAction::Return { transfer, origin } => self.resolve(transfer, origin, |open, suspended| {
                if matches!(suspended.credit.purpose, domain::ledger::Purpose::Return { .. }) {
                    return Err(SuspenseError::IsReturn);
                }
                Ok(Resolution::Returned(crate::account::return_to(&open.shared, &suspended.credit)))
            }),
        };
        reply.send(answer).ok();
    }

    fn resolve(
        &mut self,
        transfer: TransferId,
        origin: Origin,
        how: impl FnOnce(&Self, &Suspended) -> Result<Resolution, SuspenseError>,
    ) -> Result<Vec<Suspended>, SuspenseError> {
        let suspended = self.ledger.suspense.get(&transfer).cloned().ok_or(SuspenseError::NotFound)?;
        if self.resolving.contains(&transfer) {
            return Err(SuspenseError::NotFound);
        }
        let resolution = how(self, &suspended)?;
        let event =
            ShardEvent::SuspenseResolved { transfer, resolution, meta: Meta { at: self.shared.now().at, origin } };
        let push = Push { items: vec![Item::Shard(Arc::new(event))], account: None, waiter: None, credit: None };
        self.shared.push_own(push).map_err(|_| SuspenseError::Unavailable)?;
        self.resolving.insert(transfer);
        Ok(vec![suspended])
    }
}
