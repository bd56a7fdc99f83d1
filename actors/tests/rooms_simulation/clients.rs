//! Clients who make, join and leave rooms and talk in them, and ask again under the same key until they
//! know what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actors::rooms::call::RoomCallError;
use actors::rooms::chat::Chat;
use domain::ids::{OperationId, RoomId, UserId};
use domain::ledger::{By, Fingerprint, Origin, Principal, Via};
use domain::room::{Access, MessageKey, RoomClass, RoomCommand, RoomKind, RoomRefused, RoomRequest};
use domain::sealed::Sealed;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::world::Chance;

/// What all clients together know for certain.
#[derive(Default)]
pub(crate) struct Known {
    /// The offset that each key was acknowledged with.
    pub published: BTreeMap<(RoomId, MessageKey), u64>,
    /// Keys of messages that were handed over one after another in one life and acknowledged at once.
    pub in_order: Vec<Vec<(RoomId, MessageKey)>>,
    pub replayed: u32,
    pub refused: u32,
    pub wrong: Vec<String>,
}

/// One client: what it still has to do survives crashes.
pub(crate) struct Client {
    pub user: UserId,
    pub rooms: Vec<RoomId>,
    chance: Chance,
    errands_left: u64,
    sent: u64,
    /// What it has asked and does not know the outcome of.
    pending: Vec<(RoomId, RoomRequest)>,
    /// What it was told of before.
    done: Vec<(RoomId, RoomRequest, u64)>,
}

impl Client {
    pub(crate) fn new(number: u64, seed: u64, rooms: &[RoomId], errands: u64) -> Self {
        Self {
            user: UserId(Uuid::from_u128(u128::from(number) + 1)),
            rooms: rooms.to_vec(),
            chance: Chance(seed ^ (number + 1).wrapping_mul(0x9e37_79b9)),
            errands_left: errands,
            sent: 0,
            // The first makes the rooms; whoever comes too early to join tries again some time.
            pending: rooms.iter().map(|room| (*room, if number == 0 { create() } else { RoomRequest::Join })).collect(),
            done: Vec::new(),
        }
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.errands_left == 0 && self.pending.is_empty()
    }

    fn command(&mut self, request: RoomRequest) -> RoomCommand {
        self.sent += 1;
        let by = By { principal: Principal::Person(self.user), session: None, device: None, via: Via::WebSocket };
        let operation = OperationId(Uuid::from_u64_pair(self.user.0.as_u128() as u64, self.sent));
        let kind = matches!(request, RoomRequest::Create { .. }).then_some(RoomKind::Group);
        RoomCommand { origin: Origin { operation, by, trace: None }, kind, request }
    }

    fn publish(&mut self, room: RoomId) -> RoomRequest {
        self.sent += 1;
        let key = MessageKey::of(room, self.user.0, &format!("{}", self.sent));
        RoomRequest::Publish {
            body: Sealed { owner: self.user, bytes: vec![1; 29 + self.chance.below(600) as usize].into() },
            key: Some(key),
            fingerprint: Some(Fingerprint(key.0)),
            lasts: None,
        }
    }

    /// What to do next: one thing, or several messages one after another.
    fn errand(&mut self) -> Vec<(RoomId, RoomRequest)> {
        let room = self.chance.pick(&self.rooms);
        let of = self.done.iter().rev().find(|(at, ..)| *at == room).map_or(1, |(_, _, offset)| *offset);
        let body = Sealed { owner: self.user, bytes: vec![2; 40].into() };
        match self.chance.below(20) {
            0 => vec![(room, create())],
            1..=3 => vec![(room, RoomRequest::Join)],
            5 => vec![(room, RoomRequest::Leave)],
            6 => vec![(room, RoomRequest::Edit { of, body })],
            7 => vec![(room, RoomRequest::Delete { of })],
            8..=10 => match self.chance.below(self.done.len() as u64) as usize {
                at if at < self.done.len() => vec![(self.done[at].0, self.done[at].1.clone())],
                _ => vec![(room, RoomRequest::Join)],
            },
            _ => (0..=self.chance.below(4)).map(|_| (room, self.publish(room))).collect(),
        }
    }

    /// Does one errand, or goes on with what is pending.
    async fn work(&mut self, chat: &Chat, known: &Mutex<Known>) {
        let fresh = self.pending.is_empty();
        if fresh {
            self.pending = self.errand();
            self.errands_left -= 1;
        }
        let mut handed = Vec::new();
        for (room, request) in self.pending.clone() {
            let command = self.command(request);
            handed.push(chat.hand(room, command).await);
        }
        let all = handed.len();
        let mut pending = Vec::new();
        let mut told = Vec::new();
        for (handed, (room, request)) in handed.into_iter().zip(self.pending.clone()) {
            let outcome = match handed {
                Ok(handed) => handed.outcome().await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(effect) => {
                    if let Some(key) = request.key() {
                        let mut known = known.lock();
                        known.replayed += u32::from(effect.replayed);
                        let before = *known.published.entry((room, key)).or_insert(effect.offset);
                        if before != effect.offset {
                            known.wrong.push(format!("a key was told {before} and {}", effect.offset));
                        }
                        if !effect.replayed {
                            told.push((room, key));
                        }
                        drop(known);
                        if !self.done.iter().any(|(_, done, _)| done.key() == Some(key)) {
                            self.done.push((room, request, effect.offset));
                        }
                    }
                }
                Err(RoomCallError::Refused(refused)) => {
                    let mut known = known.lock();
                    known.refused += 1;
                    if refused == RoomRefused::KeyReused {
                        known.wrong.push(format!("{request:?} was refused as another"));
                    }
                }
                Err(
                    RoomCallError::Busy { .. }
                    | RoomCallError::Unknown
                    | RoomCallError::ReadOnly
                    | RoomCallError::Unavailable,
                ) => pending.push((room, request)),
            }
        }
        if fresh && told.len() == all && all > 1 {
            known.lock().in_order.push(told);
        }
        self.pending = pending;
    }
}

const fn create() -> RoomRequest {
    RoomRequest::Create { class: RoomClass::Chat, access: Access::Open, name: None }
}

/// Works off all that a client has to do; a crash may come at any await.
pub(crate) async fn serve(client: Arc<tokio::sync::Mutex<Client>>, chat: Chat, known: Arc<Mutex<Known>>) {
    loop {
        let pause = {
            let mut client = client.lock().await;
            if client.is_done() {
                return;
            }
            // A crash drops this future at any await; what was asked stays pending in the client.
            client.work(&chat, &known).await;
            if client.pending.is_empty() { client.chance.below(20) } else { 50 }
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}
