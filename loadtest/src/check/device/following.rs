//! One stream that a device follows: what came, what was said, and how far it is.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use protocol::event::room::{MessageNew, MessageUpdate};
use protocol::event::{EventName, TransactionNew};
use protocol::frame::client::{Ack, ClientFrame, Nack};
use protocol::frame::server::{Gap, Message, Subscribed};
use protocol::frame::{Place, Stage, StreamName, Subscription};
use protocol::json::Json;

use crate::check::history::{Connection, Device, MessageSeen, Said, Step, Stream, refusal};
use crate::check::words;
use crate::check::world::World;

/// The most single offsets that are acknowledged at once.
const ALSO_MAX: usize = 200;

/// A stream that a device follows.
pub(super) struct Following {
    pub(super) device: Device,
    pub(super) name: StreamName,
    /// Everything up to here is heard, or said to be missing.
    place: Option<Place>,
    /// What was heard on this connection and not answered.
    open: BTreeSet<u64>,
    /// Everything up to here was heard, and acknowledged as applied, on this connection.
    acknowledged: u64,
    /// How far the connection before this one had come.
    before: u64,
    /// What is asked for at the next `hello`.
    asked: (Option<u64>, Option<u32>),
    is_live: bool,
}

impl Following {
    pub(super) fn new(person: usize, name: &str, number: usize, stream: Stream, followed: StreamName) -> Self {
        let device = Device { person, name: name.to_owned(), number, stream, connections: Vec::new(), finished: false };
        Self {
            device,
            name: followed,
            place: None,
            open: BTreeSet::new(),
            acknowledged: 0,
            before: 0,
            asked: (None, None),
            is_live: false,
        }
    }

    pub(super) fn is_tracked(&self) -> bool {
        self.device.stream.is_tracked()
    }

    /// What to ask for: to go on after what was heard, the newest so many, or what the server remembers.
    pub(super) fn ask(&mut self, after: bool, last: Option<u32>) -> Subscription {
        self.is_live = false;
        self.before = self.heard();
        let after = self.place.clone().filter(|_| after);
        let last = last.filter(|_| self.place.is_some() && after.is_none());
        self.asked = (after.as_ref().map(|place| place.offset), last);
        Subscription { stream: self.name.clone(), after, last }
    }

    pub(super) fn subscribed(&mut self, subscribed: &Subscribed) {
        let (after, last) = self.asked;
        let Subscribed { epoch, head, from, .. } = subscribed;
        let connection = Connection { after, last, from: *from, head: *head, ..Connection::default() };
        self.device.connections.push(connection);
        self.place = Some(Place { epoch: epoch.clone(), offset: *from });
        self.open.clear();
        self.acknowledged = *from;
        self.is_live = true;
    }

    /// Whether it was answered on this connection.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// The last offset that was heard, or said to be missing.
    pub(super) fn heard(&self) -> u64 {
        self.place.as_ref().map_or(0, |place| place.offset)
    }

    /// Where the server had it go on, if it was to remember.
    pub(super) fn remembered(&self) -> Option<u64> {
        let last = self.device.connections.last().filter(|_| self.is_live)?;
        (last.after.is_none() && last.last.is_none()).then_some(last.from)
    }

    /// Whether nothing is left to be answered.
    pub(super) fn is_answered(&self) -> bool {
        self.open.is_empty() && self.acknowledged >= self.heard()
    }

    /// What was heard and not answered.
    pub(super) fn open(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.open.iter().copied()
    }

    pub(super) fn note(&mut self, step: Step) {
        if let Some(connection) = self.device.connections.last_mut().filter(|_| self.is_live) {
            connection.steps.push(step);
        }
    }

    pub(super) fn overstays(&mut self) {
        if let Some(connection) = self.device.connections.last_mut() {
            connection.overstayed = true;
        }
    }

    /// Takes a gap.
    pub(super) fn gap(&mut self, gap: &Gap) {
        self.note(Step::Gap { from: gap.from, to: gap.to, reason: gap.reason });
        self.reached(gap.to);
    }

    /// Takes a message.
    pub(super) fn message(&mut self, message: &Message, world: &World) {
        if let Stream::Account(person) = self.device.stream {
            world.told(person, message.offset);
        }
        let (data, said) = Self::read(message, world);
        self.note(Step::Message(MessageSeen {
            offset: message.offset,
            id: message.id.clone(),
            event: message.event,
            attempt: message.attempt.unwrap_or(1),
            data,
            entry: entry(message, world),
            said,
        }));
        self.open.insert(message.offset);
        self.reached(message.offset);
    }

    /// What comes next is due after this offset. What was skipped is the judge's to find.
    fn reached(&mut self, offset: u64) {
        if let Some(place) = &mut self.place {
            place.offset = place.offset.max(offset);
        }
    }

    /// What never changes of a message's data, as a digest; and what it says, if it is of a room.
    fn read(message: &Message, world: &World) -> (u64, Option<Said>) {
        let fixed = |fields: &[&str], inside: Option<&str>| digest(&message.data, fields, inside);
        match message.event {
            EventName::MessageNew => match message.data.read::<MessageNew>() {
                Ok(new) => {
                    let shows = words::of_new(&new);
                    let by = new.from.and_then(|from| world.person_of(&from));
                    (fixed(&["body", "edited", "gone"], None), Some(Said { of: None, by, shows }))
                }
                Err(error) => foreign(message, &error, world),
            },
            EventName::MessageUpdate => match message.data.read::<MessageUpdate>() {
                Ok(update) => {
                    let shows = words::of_update(&update);
                    (fixed(&["body"], None), Some(Said { of: Some(update.of), by: None, shows }))
                }
                Err(error) => foreign(message, &error, world),
            },
            EventName::NotificationNew => (fixed(&["read", "unread"], Some("notification")), None),
            _ => (fixed(&[], None), None),
        }
    }

    /// Acknowledges all that was heard.
    pub(super) fn ack_all(&mut self) -> Option<ClientFrame> {
        if !self.is_live || self.is_answered() {
            return None;
        }
        let also = if self.is_tracked() { self.open.iter().copied().take(ALSO_MAX).collect() } else { Vec::new() };
        self.ack(self.heard(), also, Stage::Applied)
    }

    /// Acknowledges.
    pub(super) fn ack(&mut self, upto: u64, also: Vec<u64>, stage: Stage) -> Option<ClientFrame> {
        if !self.is_live {
            return None;
        }
        if stage == Stage::Applied || !self.is_tracked() {
            let heard = upto.min(self.heard());
            // What was given up and came again is named by itself.
            let place = self.acknowledged;
            self.open.retain(|offset| (*offset > heard || *offset <= place) && !also.contains(offset));
            self.acknowledged = self.acknowledged.max(heard);
        }
        self.note(Step::Acked { upto, also: also.clone(), stage });
        Some(ClientFrame::Ack(Ack { stream: self.name.clone(), upto, also, stage }))
    }

    /// Says late what an earlier connection heard, or even what nobody did: it settles nothing that this one was not
    /// sent.
    pub(super) fn ack_late(&mut self, beyond: u64) -> Option<ClientFrame> {
        let upto = self.before.saturating_add(beyond);
        if !self.is_live || upto <= self.heard() {
            return None;
        }
        self.note(Step::Acked { upto, also: Vec::new(), stage: Stage::Applied });
        Some(ClientFrame::Ack(Ack { stream: self.name.clone(), upto, also: Vec::new(), stage: Stage::Applied }))
    }

    /// Refuses.
    pub(super) fn nack(&mut self, offset: u64, after_ms: Option<u64>, terminal: bool) -> Option<ClientFrame> {
        if !self.is_live {
            return None;
        }
        self.note(Step::Refused { offset });
        if terminal {
            self.open.remove(&offset);
        }
        let (stream, code) = (self.name.clone(), refusal(self.device.number).into());
        Some(ClientFrame::Nack(Nack { stream, offset, code, after_ms, terminal }))
    }
}

/// Tells of a message that cannot be read.
fn foreign(message: &Message, error: &serde_json::Error, world: &World) -> (u64, Option<Said>) {
    world.foreign(format!("{}: {error}: {}", message.event.as_str(), message.data.get()));
    (0, None)
}

/// For a new entry: the transfer, the amount and the balance after it.
fn entry(message: &Message, world: &World) -> Option<(uuid::Uuid, i64, i64)> {
    if message.event != EventName::TransactionNew {
        return None;
    }
    match message.data.read::<TransactionNew>() {
        Ok(new) => {
            let transaction = &new.transaction;
            if transaction.offset != message.offset {
                let (offset, inside) = (message.offset, transaction.offset);
                world.foreign(format!("a message of offset {offset} with an entry of offset {inside}"));
            }
            Some((transaction.id.0, transaction.amount_minor.get(), transaction.balance_after_minor.get()))
        }
        Err(error) => {
            world.foreign(format!("transaction:new: {error}: {}", message.data.get()));
            None
        }
    }
}

/// A digest of a JSON value without these fields, its own or those of one object inside; whatever their order.
fn digest(data: &Json, without: &[&str], inside: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match data.read::<serde_json::Value>() {
        Ok(mut value) => {
            for field in without {
                if let Some(object) = value.as_object_mut() {
                    object.remove(*field);
                }
                if let Some(object) = inside.and_then(|inside| value.get_mut(inside)).and_then(|it| it.as_object_mut())
                {
                    object.remove(*field);
                }
            }
            value.to_string().hash(&mut hasher);
        }
        Err(_) => data.get().hash(&mut hasher),
    }
    hasher.finish()
}
