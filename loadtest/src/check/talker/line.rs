//! A WebSocket over which things are said one after the other, without waiting for answers in between.

use std::collections::HashMap;
use std::sync::Arc;

use protocol::frame::ServerFrame;
use protocol::frame::client::{ClientFrame, Publish, Published};
use tokio::time::{Instant, timeout_at};

use crate::check::history::Talked;
use crate::check::words;
use crate::check::worker::PATIENCE;
use crate::check::world::World;
use crate::http::Client;
use crate::person::Person;
use crate::socket::{Socket, hello};

/// What is known of something that was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    /// What was answered; nothing if that is not known, or is to be asked again.
    pub(super) outcome: Option<Talked>,
    /// The connection, and the turn on it.
    pub(super) turn: Option<(u64, u64)>,
    /// When it was answered.
    pub(super) answered: Option<u64>,
}

/// The connection, while there is one.
pub(super) struct Line {
    world: Arc<World>,
    socket: Option<Socket>,
    websocket: bool,
    /// How many connections there were, and what was said on this one.
    opened: u64,
    turns: u64,
}

impl Line {
    pub(super) fn new(world: Arc<World>, websocket: bool) -> Self {
        Self { world, socket: None, websocket, opened: 0, turns: 0 }
    }

    /// Says a message of each tag. Answers what is known of each, in order.
    pub(super) async fn say(
        &mut self,
        person: &mut Person,
        client: &mut Client,
        room: &str,
        tags: &[String],
        through_proxy: bool,
    ) -> Vec<Sent> {
        let mut sent = vec![Sent::default(); tags.len()];
        let Some(mut socket) = self.open(person, client, through_proxy).await else { return sent };
        let mut waiting = HashMap::new();
        for (index, tag) in tags.iter().enumerate() {
            let (Ok(room), Ok(body)) = (room.parse(), words::write(tag, 0)) else { continue };
            self.turns += 1;
            let id: Box<str> = self.turns.to_string().into();
            if let Some(sent) = sent.get_mut(index) {
                sent.turn = Some((self.opened, self.turns));
            }
            waiting.insert(id.clone(), index);
            let said = Publish { id, room, key: Some(tag.as_str().into()), body, ttl_ms: None };
            if socket.say(&ClientFrame::Publish(said)).await.is_err() {
                return sent;
            }
        }
        let until = Instant::now() + PATIENCE;
        while !waiting.is_empty() {
            let Ok(Ok(frame)) = timeout_at(until, socket.next()).await else { return sent };
            let (id, outcome) = match frame {
                ServerFrame::Reply(reply) => (Some(reply.id), self.published(&reply.result)),
                ServerFrame::Error(error) => {
                    // What may succeed later is asked again, by its key.
                    let is_final = !matches!(error.code.status(), 401 | 429 | 500..);
                    (error.id, is_final.then(|| Talked::Refused(error.code.as_str().into())))
                }
                _ => continue,
            };
            let Some(index) = id.and_then(|id| waiting.remove(&id)) else {
                self.world.foreign("an answer to nothing that was said".into());
                return sent;
            };
            if let Some(sent) = sent.get_mut(index) {
                (sent.outcome, sent.answered) = (outcome, Some(self.world.now()));
            }
        }
        self.socket = Some(socket);
        sent
    }

    fn published(&self, result: &protocol::json::Json) -> Option<Talked> {
        match result.read::<Published>() {
            Ok(published) => Some(Talked::Done(vec![published.offset])),
            Err(error) => {
                self.world.foreign(format!("a publication was answered with {}: {error}", result.get()));
                None
            }
        }
    }

    /// The connection that there is, or a new one. Nothing if none can be had now.
    async fn open(&mut self, person: &mut Person, client: &mut Client, through_proxy: bool) -> Option<Socket> {
        if !self.websocket {
            return None;
        }
        if let Some(socket) = self.socket.take() {
            return Some(socket);
        }
        let target = if through_proxy { &self.world.live } else { &self.world.target };
        if let Ok(socket) = Socket::open(target, hello(&person.token, None, Vec::new())).await {
            (self.opened, self.turns) = (self.opened + 1, 0);
            return Some(socket);
        }
        _ = person.sign_in(client).await;
        None
    }
}
