//! Lives of accounts: what one starts from, and what its end leaves.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::ids::AccountId;
use domain::ledger::Account;
use domain::ledger::account::Broken;
use ractor::ActorId;
use storage::journal::Slot;

use super::{Core, Queued, Received, Shared};
use crate::account::AccountMessage;
use crate::shard::directory::{Directory, Ended};

impl Shared {
    /// Runs `act` on the directory.
    pub(crate) fn directory<T>(&self, act: impl FnOnce(&mut Directory) -> T) -> T {
        act(&mut self.core.lock().directory)
    }

    /// An actor has ended: its life is closed, and its handed credits are unseen again.
    pub(crate) fn ended(&self, actor: ActorId) -> Option<Ended> {
        let mut core = self.core.lock();
        let ended = core.directory.ended(actor)?;
        core.forget_handed(ended.activation.number);
        if let Some(next) = &ended.next {
            // What came while it was going is with its next life: it is not unseen.
            for channel in &next.credits {
                core.received.insert(*channel, Received::Handed { activation: next.activation });
            }
        }
        Some(ended)
    }

    /// An account could not be activated: its credits are unseen again, its mail is answered.
    pub(crate) fn abandon(&self, account: AccountId) -> Vec<AccountMessage> {
        let mut core = self.core.lock();
        let Some((activation, mail)) = core.directory.abandon(account) else { return Vec::new() };
        core.forget_handed(activation.number);
        mail
    }

    /// What an activation starts from, given the account as of a checkpoint read when views had all up
    /// to `as_of`. `None` if the tail has moved past that: it must be read again.
    pub(crate) fn start_of(
        &self,
        account: AccountId,
        checkpoint: Option<&Arc<Account>>,
        as_of: Slot,
    ) -> Option<Result<Start, Broken>> {
        let mut core = self.core.lock();
        let durable = match core.tail.latest(account) {
            Some(latest) => latest,
            None if core.tail.through() > as_of => return None,
            None => match core.fold(account, checkpoint) {
                Ok(folded) => folded,
                Err(broken) => return Some(Err(broken)),
            },
        };
        let queued = |queued: &Queued| Some((queued.seq, queued.account.clone().filter(|state| state.id == account)?));
        let pending = if crate::mutant::is(crate::mutant::Mutant::ActivateFromDurable) {
            VecDeque::new()
        } else {
            core.queue.iter().filter_map(queued).collect()
        };
        Some(Ok(Start { durable, pending }))
    }

    /// The account as of its last durable event, without activating it, like [`Self::start_of`].
    pub(crate) fn tail_latest(&self, account: AccountId) -> Option<Arc<Account>> {
        self.core.lock().tail.latest(account)
    }
}

/// What an activation starts from.
pub(crate) struct Start {
    /// The account as of its last durable event.
    pub durable: Arc<Account>,
    /// And after each push that is not durable yet.
    pub pending: VecDeque<(u64, Arc<Account>)>,
}

impl Core {
    fn forget_handed(&mut self, activation: u64) {
        self.received.retain(|_, received| *received != Received::Handed { activation });
    }

    /// Folds the account's events of the tail onto its checkpoint, and remembers the outcome.
    fn fold(&mut self, account: AccountId, checkpoint: Option<&Arc<Account>>) -> Result<Arc<Account>, Broken> {
        let mut state = checkpoint.map_or_else(|| Account::new(account), |checkpoint| (**checkpoint).clone());
        let head = if crate::mutant::is(crate::mutant::Mutant::CheckpointWithoutHead) { 0 } else { state.head };
        for event in self.tail.events(account, head) {
            state.apply(&event)?;
        }
        let state = Arc::new(state);
        self.tail.remember(&state);
        Ok(state)
    }
}
