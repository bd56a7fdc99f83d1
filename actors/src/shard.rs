//! `Shard`: the only writer of one shard's journal.
//!
//! It appends what its accounts queued, one record in flight; folds what is durable; answers callers,
//! sends credits and acknowledgements; activates accounts and lets them go; keeps their timers. Its
//! accounts, its projector, the router and its peer shards talk to it.
//!
//! Bounds: one append in flight; the queue by permits and channel limits; the tail by admission. When
//! it dies it takes its accounts with it, and `Shards` opens it again from the journal: what was
//! queued and not durable never happened, and who waits is told that nobody knows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use domain::ids::{AccountId, ShardId, TransferId};
use domain::ledger::{self, Credit};
use domain::time::Timestamp;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use storage::Error;
use storage::encoding::Item;
use storage::journal::{Append, Generation, Hash, Slot};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::metrics;
use crate::node::Node;
use crate::shard::appending::{Flight, Offered};
use crate::shard::channels::Ack;
use crate::shard::core::{AsOf, Shared};
use crate::shard::telling::Effects;

mod activation;
pub mod appending;
pub mod channels;
pub(crate) mod core;
pub(crate) mod directory;
pub(crate) mod index;
pub(crate) mod opening;
mod receiving;
mod suspense;
pub(crate) mod tail;
mod telling;
mod timers;

pub(crate) use activation::durable;
pub use suspense::{SuspenseAction, SuspenseError};

/// Mail of a shard.
#[derive(Debug)]
pub enum ShardMessage {
    /// Something is queued.
    Append,
    /// The append in flight has ended.
    Appended {
        /// How.
        offered: Offered,
    },
    /// An account has mail and no actor.
    Activate {
        /// Which.
        account: AccountId,
    },
    /// An account's checkpoint was read.
    Loaded {
        /// Which.
        account: AccountId,
        /// What was read.
        checkpoint: Result<Option<Arc<ledger::Account>>, Arc<Error>>,
        /// What views had when the reading began.
        as_of: AsOf,
    },
    /// Credits from a peer.
    Credits {
        /// The peer.
        from: ShardId,
        /// The credits by number.
        credits: Vec<(u64, Arc<Credit>)>,
    },
    /// Acknowledgements from a peer.
    Acks {
        /// The peer.
        from: ShardId,
        /// What it has.
        acks: Vec<Ack>,
    },
    /// Look at all that waits for time to pass.
    Sweep,
    /// A reader waits for views to have what is durable.
    Project,
    /// The projector has done what it was told.
    Projected,
    /// List what rests in suspense, or resolve one of it.
    Suspense {
        /// What to do.
        action: SuspenseAction,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Vec<ledger::Suspended>, SuspenseError>>,
    },
    /// End an account's quarantine.
    EndQuarantine {
        /// Which.
        account: AccountId,
        /// Where it comes from.
        origin: ledger::Origin,
        /// Told whether it was quarantined.
        reply: oneshot::Sender<bool>,
    },
    /// Answer the durable state of the shard, for a check against the journal.
    Inspect {
        /// Where it goes.
        reply: oneshot::Sender<(Slot, Box<ledger::Shard>)>,
    },
    /// Append and settle what is in flight, then give the shard up.
    Close {
        /// Told when that is done.
        reply: oneshot::Sender<()>,
    },
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
    /// Have the projector fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    PanicProjector,
    /// A decision, sent by mail as it must not be.
    #[cfg(feature = "simulation")]
    Decided {
        /// The decision.
        push: MailedPush,
    },
}

/// A push in the mail, which a mutant makes.
#[cfg(feature = "simulation")]
pub struct MailedPush(pub(crate) core::Push);

#[cfg(feature = "simulation")]
impl std::fmt::Debug for MailedPush {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MailedPush")
    }
}

/// The actor of one shard.
pub struct Shard;

/// What a shard's actor is made with.
#[derive(Clone)]
pub struct ShardArgs {
    /// Which shard.
    pub id: ShardId,
    /// The node.
    pub node: Arc<Node>,
}

/// What a shard's actor has.
pub struct ShardState {
    args: ShardArgs,
    /// `None` until it is open.
    open: Option<Open>,
}

/// What an open shard has.
pub(crate) struct Open {
    shared: Arc<Shared>,
    /// The fold of all that is durable, and of nothing else: views are given it.
    ledger: ledger::Shard,
    /// Accounts whose quarantine is queued.
    quarantining: BTreeSet<AccountId>,
    generation: Generation,
    term: u64,
    /// When this term began.
    began_at: Timestamp,
    last: Slot,
    last_hash: Hash,
    last_at: Timestamp,
    flight: Option<Flight>,
    /// Activations in a row that failed, by account.
    failures: HashMap<AccountId, u32>,
    /// Credits in suspense whose resolution is queued.
    resolving: BTreeSet<TransferId>,
    /// When it was last looked at what needs no look at every sweep.
    looked_at: Instant,
    /// The directory's clock at the sweeps of the last idle time.
    uses: std::collections::VecDeque<(Instant, u64)>,
    closing: Vec<oneshot::Sender<()>>,
    projector: ActorRef<crate::projector::ProjectorMessage>,
    /// A projection is under way.
    projecting: bool,
    /// Another one was asked for meanwhile.
    wanted: bool,
}

impl Actor for Shard {
    type Msg = ShardMessage;
    type State = ShardState;
    type Arguments = ShardArgs;

    async fn pre_start(&self, _: ActorRef<ShardMessage>, args: ShardArgs) -> Result<ShardState, ActorProcessingErr> {
        Ok(ShardState { args, open: None })
    }

    async fn post_start(&self, me: ActorRef<ShardMessage>, state: &mut ShardState) -> Result<(), ActorProcessingErr> {
        let open = opening::open(&me, &state.args).await?;
        state.args.node.route(state.args.id, Some(Arc::clone(&open.shared)));
        state.open = Some(open);
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        let Some(open) = &mut state.open else { return Ok(()) };
        open.shared.sweeping.soon();
        match message {
            ShardMessage::Append => open.append(&me)?,
            ShardMessage::Appended { offered } => open.appended(&me, offered)?,
            ShardMessage::Activate { account } => open.activate(&me, account).await,
            ShardMessage::Loaded { account, checkpoint, as_of } => open.loaded(&me, account, checkpoint, as_of).await,
            ShardMessage::Credits { from, credits } => open.credits(from, credits),
            ShardMessage::Acks { from, acks } => open.acks(from, &acks),
            ShardMessage::Sweep => open.sweep(&me)?,
            ShardMessage::Project => open.project(),
            ShardMessage::Projected => open.projected(),
            ShardMessage::Suspense { action, reply } => open.suspense(action, reply),
            ShardMessage::EndQuarantine { account, origin, reply } => open.end_quarantine(account, origin, reply),
            ShardMessage::Inspect { reply } => {
                reply.send((open.last, Box::new(open.ledger.clone()))).ok();
            }
            ShardMessage::Close { reply } => open.close(&me, reply)?,
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            ShardMessage::Panic => panic!("a fault was put in"),
            #[cfg(feature = "simulation")]
            ShardMessage::PanicProjector => {
                open.projector.cast(crate::projector::ProjectorMessage::Panic).ok();
            }
            #[cfg(feature = "simulation")]
            ShardMessage::Decided { push } => {
                open.shared.push_own(push.0).ok();
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<ShardMessage>,
        event: SupervisionEvent,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        let Some(open) = &mut state.open else { return Ok(()) };
        match event {
            SupervisionEvent::ActorTerminated(actor, _, _) => open.ended(&me, actor.get_id(), None).await,
            SupervisionEvent::ActorFailed(actor, error) => {
                if actor.get_id() == open.projector.get_id() {
                    return Err(format!("the projector failed: {error}").into());
                }
                open.ended(&me, actor.get_id(), Some(error.to_string())).await;
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<ShardMessage>, state: &mut ShardState) -> Result<(), ActorProcessingErr> {
        if let Some(open) = &state.open {
            open.shared.stop();
        }
        Ok(())
    }
}

impl Open {
    /// The append in flight has ended.
    fn appended(&mut self, me: &ActorRef<ShardMessage>, offered: Offered) -> Result<(), ActorProcessingErr> {
        let Some(flight) = self.flight.take() else { return Ok(()) };
        let place = match offered {
            Ok(Append::Durable { place }) => place,
            Ok(Append::Fenced) => return Err("another writer has the shard".into()),
            Ok(Append::Unknown) => return Err("the outcome of an append stayed unknown".into()),
            Err(error) => return Err(format!("an append failed: {error}").into()),
        };
        metrics::appended(&flight);
        let record = flight.into_record(place);
        self.last = record.slot;
        self.last_hash = record.hash;
        self.last_at = record.at;
        let items: Vec<Item> = record.items.iter().map(|(_, item)| item.clone()).collect();
        let mut effects = Effects::default();
        for item in &items {
            self.fold(item)?;
            self.effect(item, &mut effects);
        }
        self.shared.suspended.store(self.ledger.suspense.len(), std::sync::atomic::Ordering::Release);
        let (pushes, more) = self.shared.durable(Some(record));
        self.tell(pushes, effects);
        self.publish(&items);
        self.project_if_due();
        if more || (!self.closing.is_empty() && self.shared.channels.lock().has_notes()) {
            self.append(me)?;
        }
        self.closed_if_done(me);
        Ok(())
    }

    fn fold(&mut self, item: &Item) -> Result<(), ledger::shard::Broken> {
        match item {
            Item::Event(event) => self.ledger.apply(event),
            Item::Shard(event) => self.ledger.apply_own(event),
        }
    }

    fn close(&mut self, me: &ActorRef<ShardMessage>, reply: oneshot::Sender<()>) -> Result<(), Error> {
        self.closing.push(reply);
        self.append(me)?;
        self.closed_if_done(me);
        Ok(())
    }

    /// A closing shard goes when nothing is queued or in flight.
    fn closed_if_done(&mut self, me: &ActorRef<ShardMessage>) {
        if self.closing.is_empty() || self.flight.is_some() || self.shared.has_queued() {
            return;
        }
        self.shared.node.route(self.shared.id, None);
        self.shared.stop();
        for reply in self.closing.drain(..) {
            reply.send(()).ok();
        }
        me.stop(None);
    }
}
