//! A device that follows its person's account, goes away and comes back.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use protocol::event::{EventName, TransactionNew};
use protocol::frame::server::{Message, Subscribed};
use protocol::frame::{Place, ServerFrame, StreamName, Subscription};
use protocol::json::Json;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::history::{Connection, Device, Heard, MessageSeen};
use super::world::World;
use crate::http::Client;
use crate::person::Person;
use crate::socket::{Ended, Socket, hello};

/// How long a device that has nothing to hear waits before it looks whether the run is over.
const LOOK: Duration = Duration::from_millis(200);
/// How long the subscription's answer may take.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_secs(10);
/// The most things that one device remembers; it leaves when it has heard so many.
const HEARD_MAX: usize = 200_000;

/// The offset each person's device must have heard, once it is known; the devices then end.
pub(crate) type Heads = watch::Receiver<Option<Arc<[u64]>>>;

/// A device at work.
pub(crate) struct Follower {
    world: Arc<World>,
    person: Person,
    rng: StdRng,
    heads: Heads,
    device: Device,
    /// Everything up to here is heard, or said to be missing.
    place: Option<Place>,
    acknowledged: u64,
    heard: usize,
    deadline: Duration,
}

impl Follower {
    /// Device `number` of person `who`.
    pub(crate) fn new(
        world: Arc<World>,
        who: usize,
        number: usize,
        person: Person,
        seed: u64,
        heads: Heads,
        deadline: Duration,
    ) -> Self {
        let name = format!("{}-{who}-{number}", world.run);
        let mixed = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add((who * 16 + number) as u64);
        let device = Device { person: who, name, connections: Vec::new(), finished: false };
        let rng = StdRng::seed_from_u64(mixed);
        Self { world, person, rng, heads, device, place: None, acknowledged: 0, heard: 0, deadline }
    }

    /// Follows until it has heard everything, or until it should have.
    pub(crate) async fn follow(mut self) -> Device {
        let mut ended_at = None;
        while !self.is_done() && self.heard < HEARD_MAX {
            if self.heads.borrow().is_some() {
                let since = *ended_at.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() > self.deadline {
                    break;
                }
            }
            if self.connect().await.is_err() {
                // The server is away, or the token has ended.
                sleep(Duration::from_millis(self.rng.random_range(20..200))).await;
                let mut client = Client::new(self.world.target.clone(), SUBSCRIBE_PATIENCE);
                _ = self.person.sign_in(&mut client).await;
            }
            sleep(Duration::from_millis(self.rng.random_range(0..100))).await;
        }
        // One that left early owes nothing; one that stayed must have heard all.
        self.device.finished = self.heard < HEARD_MAX && !self.device.connections.is_empty();
        self.device
    }

    fn head(&self) -> Option<u64> {
        self.heads.borrow().as_ref().and_then(|heads| heads.get(self.device.person).copied())
    }

    fn is_done(&self) -> bool {
        let place = self.place.as_ref().map(|place| place.offset);
        self.head().is_some_and(|head| place.is_some_and(|place| place >= head))
    }

    /// One connection: from the place it holds, or from what the server remembers.
    async fn connect(&mut self) -> anyhow::Result<()> {
        let after = if self.rng.random_bool(0.5) { self.place.clone() } else { None };
        let subscription = Subscription { stream: StreamName::Account, after: after.clone(), last: None };
        let said = hello(&self.person.token, Some(&self.device.name), vec![subscription]);
        let mut socket = Socket::open(&self.world.live, said).await?;
        let subscribed = match timeout(SUBSCRIBE_PATIENCE, socket.next()).await {
            Ok(Ok(ServerFrame::Subscribed(subscribed))) => subscribed,
            Ok(Ok(other)) => {
                self.world.foreign(format!("{other:?} where `subscribed` is due"));
                anyhow::bail!("not subscribed");
            }
            Ok(Err(ended)) => return self.ended(&ended),
            Err(_) => anyhow::bail!("not subscribed in time"),
        };
        let Subscribed { epoch, from, .. } = subscribed;
        self.device.connections.push(Connection {
            after: after.map(|after| after.offset),
            acknowledged: self.acknowledged,
            from,
            heard: Vec::new(),
        });
        if self.place.is_none() {
            // Where a device begins is its place from then on, acknowledged or not.
            self.acknowledged = from;
        }
        self.place = Some(Place { epoch, offset: from });
        self.listen(socket).await
    }

    /// Hears and acknowledges until the device leaves, or the connection ends.
    async fn listen(&mut self, mut socket: Socket) -> anyhow::Result<()> {
        let stays = self.rng.random_range(5..300);
        let mut waits = 0;
        for _ in 0..stays {
            let frame = match timeout(LOOK, socket.next()).await {
                Ok(Ok(frame)) => frame,
                Ok(Err(ended)) => return self.ended(&ended),
                Err(_) if self.head().is_some() && (self.is_done() || waits > 50) => break,
                Err(_) => {
                    waits += 1;
                    // What is left unacknowledged for long comes again, and in the end the session ends.
                    self.acknowledge(&mut socket).await?;
                    continue;
                }
            };
            match frame {
                ServerFrame::Message(message) => self.heard(&message),
                ServerFrame::Gap(gap) => {
                    self.note(Heard::Gap { from: gap.from, to: gap.to, reason: gap.reason });
                    self.reached(gap.to);
                }
                ServerFrame::Drain(_) => break,
                ServerFrame::Error(error) => {
                    self.world.foreign(format!("a device got {error:?}"));
                    break;
                }
                _ => {}
            }
            if self.rng.random_bool(0.4) {
                self.acknowledge(&mut socket).await?;
            }
        }
        if self.rng.random_bool(0.5) || self.head().is_some() {
            self.acknowledge(&mut socket).await?;
        }
        // Half of them say goodbye; the others are simply gone.
        if self.rng.random_bool(0.5) {
            socket.close().await;
        }
        Ok(())
    }

    fn heard(&mut self, message: &Message) {
        let entry = match (message.event, message.data.read::<TransactionNew>()) {
            (EventName::TransactionNew, Ok(new)) => {
                let transaction = &new.transaction;
                if transaction.offset != message.offset {
                    let (offset, inside) = (message.offset, transaction.offset);
                    self.world.foreign(format!("a message of offset {offset} with an entry of offset {inside}"));
                }
                Some((transaction.id.0, transaction.amount_minor.get(), transaction.balance_after_minor.get()))
            }
            (EventName::TransactionNew, Err(error)) => {
                self.world.foreign(format!("transaction:new: {error}: {}", message.data.get()));
                None
            }
            _ => None,
        };
        self.world.told(self.device.person, message.offset);
        self.note(Heard::Message(MessageSeen {
            offset: message.offset,
            id: message.id.clone(),
            event: message.event,
            attempt: message.attempt.unwrap_or(1),
            data: digest(&message.data),
            entry,
        }));
        self.reached(message.offset);
    }

    fn note(&mut self, heard: Heard) {
        self.heard += 1;
        if let Some(connection) = self.device.connections.last_mut() {
            connection.heard.push(heard);
        }
    }

    /// What comes next is due after this offset. What was skipped is the judge's to find.
    fn reached(&mut self, offset: u64) {
        if let Some(place) = &mut self.place {
            place.offset = place.offset.max(offset);
        }
    }

    async fn acknowledge(&mut self, socket: &mut Socket) -> anyhow::Result<()> {
        let Some(upto) = self.place.as_ref().map(|place| place.offset) else { return Ok(()) };
        // Before it is sent: the server may have it even if sending fails.
        self.acknowledged = self.acknowledged.max(upto);
        socket.ack(StreamName::Account, upto).await
    }

    fn ended(&mut self, ended: &Ended) -> anyhow::Result<()> {
        if !ended.may_reconnect() && !matches!(ended, Ended::Closed(4401)) {
            self.world.foreign(format!("device {}: {ended}", self.device.name));
        }
        anyhow::bail!("{ended}")
    }
}

/// A digest of a JSON value, whatever the order of its fields.
fn digest(data: &Json) -> u64 {
    let value: Result<serde_json::Value, _> = data.read();
    let mut hasher = DefaultHasher::new();
    value.map_or_else(|_| data.get().to_owned(), |value| value.to_string()).hash(&mut hasher);
    hasher.finish()
}
