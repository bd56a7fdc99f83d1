//! Which rooms of a shard are live, and the mail of those that are about to be.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use domain::ids::RoomId;
use ractor::{ActorId, ActorRef, MessagingErr};

use crate::room::RoomMessage;

/// One life of a room's actor. Once it is closed it pushes nothing.
#[derive(Debug, Default)]
pub(crate) struct Activation {
    /// Set under the shard's lock when the life ends.
    closed: AtomicBool,
    /// The last push of this life; with the shard's durable mark it says whether any is queued.
    last_push: AtomicU64,
    /// Commands in flight, which permits count.
    pub places: Arc<AtomicU32>,
}

impl Activation {
    /// Whether this life may push.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Notes a push. Called under the shard's lock.
    pub(crate) fn pushed(&self, seq: u64) {
        self.last_push.store(seq, Ordering::Release);
    }

    /// Nothing of this life is queued, and nobody waits for it.
    fn is_idle(&self, durable: u64) -> bool {
        self.last_push.load(Ordering::Acquire) <= durable && self.places.load(Ordering::Acquire) == 0
    }
}

/// Where a room stands in its life.
enum Slot {
    /// Its state is being read; its mail waits.
    Activating { activation: Arc<Activation>, mail: Vec<RoomMessage> },
    /// Its actor takes mail.
    Live { activation: Arc<Activation>, actor: ActorRef<RoomMessage>, used: u64 },
    /// Its actor finishes what it has; later mail waits for the next life.
    Draining { activation: Arc<Activation>, actor: ActorId, mail: Vec<RoomMessage> },
}

impl Slot {
    const fn activation(&self) -> &Arc<Activation> {
        match self {
            Self::Activating { activation, .. } | Self::Live { activation, .. } | Self::Draining { activation, .. } => {
                activation
            }
        }
    }
}

/// The rooms that are live or about to be.
#[derive(Default)]
pub(crate) struct Directory {
    slots: HashMap<RoomId, Slot>,
    actors: HashMap<ActorId, RoomId>,
    /// Counts deliveries: a logical clock of use, cheaper than reading a real one.
    clock: u64,
}

impl Directory {
    /// Gives a message to the room, made by `message` for the life that will get it. Answers whether the
    /// shard must activate the room.
    pub(crate) fn deliver(&mut self, room: RoomId, message: impl FnOnce(&Activation) -> RoomMessage) -> bool {
        self.clock += 1;
        let Some(slot) = self.slots.get_mut(&room) else {
            let activation = Arc::new(Activation::default());
            let mail = vec![message(&activation)];
            self.slots.insert(room, Slot::Activating { activation, mail });
            return true;
        };
        match slot {
            Slot::Activating { activation, mail } | Slot::Draining { activation, mail, .. } => {
                mail.push(message(activation));
            }
            Slot::Live { activation, actor, used } => {
                *used = self.clock;
                if let Err(MessagingErr::SendErr(message)) = actor.send_message(message(activation)) {
                    // It has just stopped and its supervisor has not heard yet: the next life gets it.
                    let (actor, activation) = (actor.get_id(), Arc::clone(activation));
                    *slot = Slot::Draining { activation, actor, mail: vec![message] };
                }
            }
        }
        false
    }

    /// How many commands of the room are in flight.
    pub(crate) fn places(&self, room: RoomId) -> u32 {
        self.slots.get(&room).map_or(0, |slot| slot.activation().places.load(Ordering::Acquire))
    }

    /// The life that is being prepared, if the room is activating.
    pub(crate) fn activating(&self, room: RoomId) -> Option<Arc<Activation>> {
        match self.slots.get(&room) {
            Some(Slot::Activating { activation, .. }) => Some(Arc::clone(activation)),
            _ => None,
        }
    }

    /// The actor has its state: it gets the mail that waited, in order.
    pub(crate) fn activated(&mut self, room: RoomId, actor: ActorRef<RoomMessage>) {
        let Some(Slot::Activating { activation, mail }) = self.slots.remove(&room) else { return };
        for message in mail {
            // A failure is heard by the shard as the actor's end; what is lost is told as unknown.
            actor.send_message(message).ok();
        }
        self.actors.insert(actor.get_id(), room);
        self.slots.insert(room, Slot::Live { activation, actor, used: self.clock });
    }

    /// The room could not be activated: its mail goes back to who asks.
    pub(crate) fn abandon(&mut self, room: RoomId) -> Vec<RoomMessage> {
        match self.slots.remove(&room) {
            Some(Slot::Activating { activation, mail }) => {
                activation.closed.store(true, Ordering::Release);
                mail
            }
            Some(other) => {
                self.slots.insert(room, other);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// An actor has ended: its life is closed, under the shard's lock, so that no push comes after it.
    /// Answers its room, and whether mail that came meanwhile waits for the next life.
    pub(crate) fn ended(&mut self, actor: ActorId) -> Option<(RoomId, bool)> {
        let room = self.actors.remove(&actor)?;
        let (ended, mail) = match self.slots.remove(&room)? {
            Slot::Live { activation, .. } => (activation, Vec::new()),
            Slot::Draining { activation, mail, .. } => (activation, mail),
            activating @ Slot::Activating { .. } => {
                self.slots.insert(room, activating);
                return None;
            }
        };
        ended.closed.store(true, Ordering::Release);
        let waits = !mail.is_empty();
        if waits {
            // Its commands hold places of the life before, which the next one has for its own.
            let activation = Arc::new(Activation { places: Arc::clone(&ended.places), ..Activation::default() });
            self.slots.insert(room, Slot::Activating { activation, mail });
        }
        Some((room, waits))
    }

    /// Starts to passivate rooms that were not used since `used_before` (see [`Self::clock`]), and the
    /// longest unused beyond `live_max`. Those with anything queued or asked stay.
    pub(crate) fn passivate(&mut self, used_before: u64, live_max: usize, durable: u64) {
        let mut idle: Vec<_> = (self.slots.iter())
            .filter_map(|(room, slot)| match slot {
                Slot::Live { activation, used, .. } if activation.is_idle(durable) => Some((*used, *room)),
                _ => None,
            })
            .collect();
        let surplus = self.slots.len().saturating_sub(live_max);
        // Oldest first, and in the same order whenever the same happens.
        idle.sort_unstable();
        for (place, (used, room)) in idle.into_iter().enumerate() {
            if used < used_before || place < surplus {
                self.drain(room);
            }
        }
    }

    fn drain(&mut self, room: RoomId) {
        let Some(slot) = self.slots.get_mut(&room) else { return };
        if let Slot::Live { activation, actor, .. } = slot {
            // An actor that is stopping already has the same outcome.
            actor.drain().ok();
            *slot = Slot::Draining { activation: Arc::clone(activation), actor: actor.get_id(), mail: Vec::new() };
        }
    }

    /// Whether the actor is one that is being drained.
    pub(crate) fn is_draining(&self, actor: ActorId) -> bool {
        self.actors.get(&actor).is_some_and(
            |room| matches!(self.slots.get(room), Some(Slot::Draining { actor: draining, .. }) if *draining == actor),
        )
    }

    /// The logical time of the last delivery.
    pub(crate) const fn clock(&self) -> u64 {
        self.clock
    }

    /// How many rooms are live or about to be.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}
