//! Which accounts of a shard are live, and the mail of those that are about to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use domain::ids::AccountId;
use domain::ledger::ChannelNumber;
use foldhash::HashMap;
use ractor::{ActorId, ActorRef, MessagingErr};

use crate::account::AccountMessage;

/// One life of an account's actor. What a life has pushed counts; once it is closed it pushes nothing.
#[derive(Debug)]
pub(crate) struct Activation {
    /// Unique on the shard.
    pub number: u64,
    /// Set under the shard's lock when the life ends.
    closed: AtomicBool,
    /// The last push of this life; with the shard's durable mark it says whether any is queued.
    last_push: AtomicU64,
    /// Credits handed to it and not yet pushed, and commands parked in it.
    engaged: AtomicU32,
    /// Commands in flight, which permits count.
    pub places: Arc<AtomicU32>,
}

impl Activation {
    fn new(number: u64) -> Self {
        Self {
            number,
            closed: AtomicBool::new(false),
            last_push: AtomicU64::new(0),
            engaged: AtomicU32::new(0),
            places: Arc::default(),
        }
    }

    /// Whether this life may push.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Ends this life. Called under the shard's lock, so that no push comes after it.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Notes a push. Called under the shard's lock.
    pub(crate) fn pushed(&self, seq: u64) {
        self.last_push.store(seq, Ordering::Release);
    }

    /// One more credit handed, or one more command parked.
    pub(crate) fn engage(&self) {
        self.engaged.fetch_add(1, Ordering::AcqRel);
    }

    /// One credit pushed, or one command taken up again.
    pub(crate) fn disengage(&self) {
        self.engaged.fetch_sub(1, Ordering::AcqRel);
    }

    /// Nothing of this life is queued, parked or handed.
    fn is_idle(&self, durable: u64) -> bool {
        self.last_push.load(Ordering::Acquire) <= durable
            && self.engaged.load(Ordering::Acquire) == 0
            && self.places.load(Ordering::Acquire) == 0
    }
}

/// Where an account stands in its life.
enum Slot {
    /// Its state is being read; its mail waits.
    Activating { activation: Arc<Activation>, mail: Vec<AccountMessage> },
    /// Its actor takes mail.
    Live { activation: Arc<Activation>, actor: ActorRef<AccountMessage>, used: u64 },
    /// Its actor finishes what it has; later mail waits for the next life.
    Draining { activation: Arc<Activation>, actor: ActorId, mail: Vec<AccountMessage> },
}

/// What became of a message.
pub(crate) enum Delivery {
    /// It is with the actor, or waits for it.
    Delivered(Arc<Activation>),
    /// It waits, and the shard must activate the account.
    Activate(Arc<Activation>),
}

/// The accounts that are live or about to be.
#[derive(Default)]
pub(crate) struct Directory {
    slots: HashMap<AccountId, Slot>,
    actors: HashMap<ActorId, AccountId>,
    activations: u64,
    /// Counts deliveries: a logical clock of use, cheaper than reading a real one.
    clock: u64,
}

impl Directory {
    /// Gives a message to the account, made by `message` for the life that will get it.
    pub(crate) fn deliver(
        &mut self,
        account: AccountId,
        message: impl FnOnce(&Arc<Activation>) -> AccountMessage,
    ) -> Delivery {
        self.clock += 1;
        let Some(slot) = self.slots.get_mut(&account) else {
            self.activations += 1;
            let activation = Arc::new(Activation::new(self.activations));
            let mail = vec![message(&activation)];
            self.slots.insert(account, Slot::Activating { activation: Arc::clone(&activation), mail });
            return Delivery::Activate(activation);
        };
        match slot {
            Slot::Activating { activation, mail } | Slot::Draining { activation, mail, .. } => {
                let message = message(activation);
                mail.push(message);
                Delivery::Delivered(Arc::clone(activation))
            }
            Slot::Live { activation, actor, used } => {
                *used = self.clock;
                let activation = Arc::clone(activation);
                if let Err(MessagingErr::SendErr(message)) = actor.send_message(message(&activation)) {
                    // It has just stopped and its supervisor has not heard yet: the next life gets it.
                    let actor = actor.get_id();
                    let mail = vec![message];
                    *slot = Slot::Draining { activation: Arc::clone(&activation), actor, mail };
                }
                Delivery::Delivered(activation)
            }
        }
    }

    /// The places of the account's commands in flight, if it is live or about to be.
    pub(crate) fn places(&self, account: AccountId) -> Option<&Arc<AtomicU32>> {
        self.slots.get(&account).map(|slot| match slot {
            Slot::Activating { activation, .. } | Slot::Live { activation, .. } | Slot::Draining { activation, .. } => {
                &activation.places
            }
        })
    }

    /// The life that is being prepared, if the account is activating.
    pub(crate) fn activating(&self, account: AccountId) -> Option<Arc<Activation>> {
        match self.slots.get(&account) {
            Some(Slot::Activating { activation, .. }) => Some(Arc::clone(activation)),
            _ => None,
        }
    }

    /// The actor has its state: it gets the mail that waited, in order.
    pub(crate) fn activated(&mut self, account: AccountId, actor: ActorRef<AccountMessage>) {
        let Some(Slot::Activating { activation, mail }) = self.slots.remove(&account) else { return };
        for message in mail {
            // A failure is heard by the shard as the actor's end; what is lost is told as unknown.
            actor.send_message(message).ok();
        }
        self.actors.insert(actor.get_id(), account);
        self.slots.insert(account, Slot::Live { activation, actor, used: self.clock });
    }

    /// The account could not be activated: its mail goes back to who asks.
    pub(crate) fn abandon(&mut self, account: AccountId) -> Option<(Arc<Activation>, Vec<AccountMessage>)> {
        match self.slots.remove(&account) {
            Some(Slot::Activating { activation, mail }) => {
                activation.close();
                Some((activation, mail))
            }
            Some(other) => {
                self.slots.insert(account, other);
                None
            }
            None => None,
        }
    }

    /// An actor has ended: its life is closed. Mail that came meanwhile starts the next one.
    pub(crate) fn ended(&mut self, actor: ActorId) -> Option<Ended> {
        let account = self.actors.remove(&actor)?;
        let (activation, mail) = match self.slots.remove(&account)? {
            Slot::Live { activation, .. } => (activation, Vec::new()),
            Slot::Draining { activation, mail, .. } => (activation, mail),
            activating @ Slot::Activating { .. } => {
                self.slots.insert(account, activating);
                return None;
            }
        };
        activation.close();
        let next = (!mail.is_empty()).then(|| self.succeed(account, &activation, mail));
        Some(Ended { account, activation, next })
    }

    /// The mail that came while a life was ending begins the next one, which has it for its own: the
    /// credits in it are handed to it, the places of its commands are taken from it.
    fn succeed(&mut self, account: AccountId, ended: &Activation, mail: Vec<AccountMessage>) -> Next {
        self.activations += 1;
        let next = Activation { places: Arc::clone(&ended.places), ..Activation::new(self.activations) };
        let credits: Vec<_> = (mail.iter())
            .filter_map(|message| match message {
                AccountMessage::Credit { channel, .. } => Some(*channel),
                _ => None,
            })
            .collect();
        for _ in &credits {
            next.engage();
        }
        let activation = next.number;
        self.slots.insert(account, Slot::Activating { activation: Arc::new(next), mail });
        Next { activation, credits }
    }

    /// Starts to passivate accounts that were not used since `used_before` (see [`Self::clock`]), and
    /// the longest unused beyond `live_max`. Those with anything queued, parked or handed stay.
    pub(crate) fn passivate(&mut self, used_before: u64, live_max: usize, durable: u64) -> usize {
        let mut idle: Vec<_> = (self.slots.iter())
            .filter_map(|(account, slot)| match slot {
                Slot::Live { activation, used, .. } if activation.is_idle(durable) => Some((*used, *account)),
                _ => None,
            })
            .collect();
        let surplus = self.slots.len().saturating_sub(live_max);
        // Oldest first, and in the same order whenever the same happens.
        idle.sort_unstable();
        let mut drained = 0;
        for (place, (used, account)) in idle.into_iter().enumerate() {
            if used < used_before || place < surplus {
                self.drain(account);
                drained += 1;
            }
        }
        drained
    }

    fn drain(&mut self, account: AccountId) {
        let Some(slot) = self.slots.get_mut(&account) else { return };
        if let Slot::Live { activation, actor, .. } = slot {
            // An actor that is stopping already has the same outcome.
            actor.drain().ok();
            *slot = Slot::Draining { activation: Arc::clone(activation), actor: actor.get_id(), mail: Vec::new() };
        }
    }

    /// Whether the actor is one that is being drained.
    pub(crate) fn is_draining(&self, actor: ActorId) -> bool {
        self.actors.get(&actor).is_some_and(|account| {
            matches!(self.slots.get(account), Some(Slot::Draining { actor: draining, .. }) if *draining == actor)
        })
    }

    /// The logical time of the last delivery.
    pub(crate) const fn clock(&self) -> u64 {
        self.clock
    }

    /// How many accounts are live or about to be.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// A life that ended.
pub(crate) struct Ended {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub activation: Arc<Activation>,
    /// Mail waits: the account must be activated again.
    pub next: Option<Next>,
}

/// A life that begins with the mail of the one before.
pub(crate) struct Next {
    /// Its number.
    pub activation: u64,
    /// The credits in its mail.
    pub credits: Vec<ChannelNumber>,
}
