//! How an account comes to life, and what happens when it ends.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::AccountId;
use domain::ledger::{self, ShardEvent};
use futures_util::FutureExt;
use ractor::{Actor, ActorId, ActorRef};
use storage::encoding::Item;
use storage::journal::Slot;
use storage::{Error, encoding};
use tokio::sync::oneshot;

use crate::account::{Account, AccountArgs, AccountMessage};
use crate::call::CommandError;
use crate::dead_letters::Failure;
use crate::metrics;
use crate::node::Node;
use crate::shard::core::{AsOf, Push, Shared, Start};
use crate::shard::{Open, ShardMessage};

/// Activations in a row that may fail before an account is quarantined.
const FAILURES_MAX: u32 = 3;

/// When a caller whose account could not be read should come back.
const RETRY_LATER: Duration = Duration::from_secs(1);

/// What a reading of a checkpoint answers.
type Loaded = Result<Option<Arc<ledger::Account>>, Arc<Error>>;

impl Open {
    /// An account has mail and no actor.
    pub(super) async fn activate(&mut self, me: &ActorRef<ShardMessage>, account: AccountId) {
        if self.is_quarantined(account) {
            let mail = self.shared.abandon(account);
            Self::refuse_quarantined(mail, CommandError::Unavailable);
            return;
        }
        if let Some(start) =
            self.shared.tail_latest(account).and_then(|_| self.shared.start_of(account, None, Slot::default()))
        {
            self.start(me, account, start).await;
            return;
        }
        self.load(me, account).await;
    }

    /// Reads the account's checkpoint. Polls the store once: an embedded one answers at that.
    async fn load(&mut self, me: &ActorRef<ShardMessage>, account: AccountId) {
        let as_of = self.shared.as_of();
        let node = Arc::clone(&self.shared.node);
        let mut loading = Box::pin(async move { checkpoint(&node, account).await.map_err(Arc::new) });
        if let Some(checkpoint) = (&mut loading).now_or_never() {
            Box::pin(self.loaded(me, account, checkpoint, as_of)).await;
            return;
        }
        let me = me.clone();
        tokio::spawn(async move {
            let checkpoint = loading.await;
            // A shard that has gone meanwhile has no use for it.
            me.cast(ShardMessage::Loaded { account, checkpoint, as_of }).ok();
        });
    }

    /// The checkpoint was read. What happened since is in the tail and in the queue.
    pub(super) async fn loaded(
        &mut self,
        me: &ActorRef<ShardMessage>,
        account: AccountId,
        checkpoint: Loaded,
        as_of: AsOf,
    ) {
        let checkpoint = match checkpoint {
            Ok(checkpoint) => checkpoint,
            Err(error) if matches!(&*error, Error::Unavailable(_) | Error::Io { .. }) => {
                // No failure of the account: credits stay unseen and are sent again.
                let mail = self.shared.abandon(account);
                Self::refuse_quarantined(mail, CommandError::Busy { retry_after: RETRY_LATER });
                return;
            }
            Err(error) => return self.failed(account, &error.to_string()),
        };
        match self.shared.start_of(account, checkpoint.as_ref(), as_of.slot) {
            None => Box::pin(self.load(me, account)).await,
            Some(start) => self.start(me, account, start).await,
        }
    }

    async fn start(
        &mut self,
        me: &ActorRef<ShardMessage>,
        account: AccountId,
        start: Result<Start, ledger::account::Broken>,
    ) {
        let start = match start {
            Ok(start) => start,
            Err(broken) => return self.failed(account, &broken.to_string()),
        };
        let Some(activation) = self.shared.directory(|directory| directory.activating(account)) else { return };
        let args = AccountArgs { shared: Arc::clone(&self.shared), activation, start };
        metrics::activated();
        match Actor::spawn_linked(None, Account, args, me.get_cell()).await {
            Ok((actor, _)) => self.shared.directory(|directory| directory.activated(account, actor)),
            Err(error) => self.failed(account, &error.to_string()),
        }
    }

    /// An account's actor has ended, with an error or without.
    pub(super) async fn ended(&mut self, me: &ActorRef<ShardMessage>, actor: ActorId, error: Option<String>) {
        let drained = self.shared.directory(|directory| directory.is_draining(actor));
        let Some(ended) = self.shared.ended(actor) else { return };
        match error {
            None => {
                if drained {
                    self.failures.remove(&ended.account);
                }
            }
            Some(error) => {
                tracing::warn!(account = %ended.account, error, "an account's actor failed");
                metrics::restarted("account");
                if self.count_failure(ended.account) {
                    self.quarantine(ended.account, error);
                }
            }
        }
        if ended.next.is_some() {
            Box::pin(self.activate(me, ended.account)).await;
        }
    }

    /// An activation could not be made from what the stores say.
    fn failed(&mut self, account: AccountId, error: &str) {
        tracing::error!(%account, error, "an account cannot be activated");
        let mail = self.shared.abandon(account);
        if self.count_failure(account) {
            self.quarantine(account, error.to_owned());
            Self::refuse_quarantined(mail, CommandError::Unavailable);
        } else {
            Self::refuse_quarantined(mail, CommandError::Busy { retry_after: RETRY_LATER });
        }
    }

    /// Counts a failure. Whether it is one too many.
    fn count_failure(&mut self, account: AccountId) -> bool {
        let failures = self.failures.entry(account).or_default();
        *failures += 1;
        *failures >= FAILURES_MAX
    }

    /// Whether nothing is asked of the account.
    pub(super) fn is_quarantined(&self, account: AccountId) -> bool {
        self.ledger.quarantined.contains(&account) || self.quarantining.contains(&account)
    }

    /// Asks nothing of the account any more, until an operator has looked at it.
    fn quarantine(&mut self, account: AccountId, error: String) {
        let at = self.shared.now().at;
        metrics::quarantined();
        self.shared.node.dead_letters.report(Failure::Quarantined { account, error }, at);
        // From now on, durable or not: a crash would only find the account failing again.
        self.quarantining.insert(account);
        self.own(ShardEvent::Quarantined { account, at });
    }

    pub(super) fn end_quarantine(&mut self, account: AccountId, origin: ledger::Origin, reply: oneshot::Sender<bool>) {
        let quarantined = self.is_quarantined(account);
        if quarantined {
            self.failures.remove(&account);
            let meta = ledger::Meta { at: self.shared.now().at, origin };
            self.own(ShardEvent::QuarantineEnded { account, meta });
        }
        reply.send(quarantined).ok();
    }

    /// Journals an event of the shard itself.
    pub(super) fn own(&self, event: ShardEvent) {
        let push = Push { items: vec![Item::Shard(Arc::new(event))], account: None, waiter: None, credit: None };
        self.shared.push_own(push).ok();
    }

    /// What a command to a quarantined account is answered with.
    fn refuse_quarantined(mail: Vec<AccountMessage>, error: CommandError) {
        for message in mail {
            if let AccountMessage::Command { reply, .. } | AccountMessage::Late { reply, .. } = message {
                reply.send(Err(error));
            }
        }
    }
}

/// The account as views have it.
pub(crate) async fn checkpoint(node: &Node, account: AccountId) -> Result<Option<Arc<ledger::Account>>, Error> {
    let checkpoint = node.stores.views.checkpoint(account.0).await?;
    checkpoint.map(|checkpoint| encoding::read_state::<ledger::Account>(&checkpoint.state).map(Arc::new)).transpose()
}

/// The account as of its last durable event, without bringing it to life.
pub(crate) async fn durable(shared: &Arc<Shared>, account: AccountId) -> Result<Arc<ledger::Account>, Error> {
    loop {
        let as_of = shared.as_of();
        let checkpoint = checkpoint(&shared.node, account).await?;
        match shared.start_of(account, checkpoint.as_ref(), as_of.slot) {
            Some(Ok(start)) => return Ok(start.durable),
            Some(Err(broken)) => return Err(Error::Unknown(broken.to_string())),
            None => {}
        }
    }
}
