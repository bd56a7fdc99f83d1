//! Somebody who comes to an open room, listens, leaves it or is put out, and must hear nothing more.

use std::sync::Arc;
use std::time::Duration;

use protocol::frame::client::{ClientFrame, Ping};
use protocol::frame::{ServerFrame, StreamName, Subscription};
use protocol::http::room::{MemberRequest, MessageRequest, RoomOffset};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::history::Visit;
use super::words;
use super::worker::PATIENCE;
use super::world::World;
use crate::http::Client;
use crate::person::Person;
use crate::socket::{Socket, hello};

/// How long a visitor goes on listening after they left: others say things every few milliseconds.
const LISTENS: Duration = Duration::from_millis(700);

/// Somebody who visits the room, and somebody who may put them out.
pub(crate) struct Visitor {
    world: Arc<World>,
    room: usize,
    id: String,
    person: Person,
    owner: Person,
    client: Client,
    rng: StdRng,
    visits: Vec<Visit>,
}

impl Visitor {
    /// One of those who are not in the first open room, if there is such a room and somebody.
    pub(crate) fn of(world: &Arc<World>, people: &[Person], seed: u64) -> Option<Self> {
        let (room, plan) = world.rooms.iter().enumerate().find(|(_, room)| room.open)?;
        let (_, person) = people.iter().enumerate().find(|(number, _)| !plan.members.contains(number))?;
        let owner = people.get(*plan.members.first()?)?;
        Some(Self {
            world: Arc::clone(world),
            room,
            id: plan.id.to_string(),
            person: person.clone(),
            owner: owner.clone(),
            client: Client::new(world.target.clone(), PATIENCE),
            rng: StdRng::seed_from_u64(seed.rotate_left(33)),
            visits: Vec::new(),
        })
    }

    /// Comes and goes until the run stops.
    pub(crate) async fn work(mut self) -> Vec<Visit> {
        while !self.world.stopping() {
            // What breaks off because the server is away is begun anew.
            if self.visit().await.is_err() {
                sleep(Duration::from_millis(100)).await;
                _ = self.person.sign_in(&mut self.client).await;
                _ = self.owner.sign_in(&mut self.client).await;
            }
            sleep(Duration::from_millis(self.rng.random_range(50..500))).await;
        }
        self.visits
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        let token = self.person.token.clone();
        let mut visit = Visit { room: self.room, ..Visit::default() };
        visit.came = self.ask("join", &token, &()).await?;
        let follow = vec![Subscription { stream: self.stream(), after: None, last: Some(20) }];
        let mut socket = Socket::open(&self.world.target, hello(&token, None, follow.clone())).await?;
        let stays = Duration::from_millis(self.rng.random_range(50..800));
        self.listen(&mut socket, &mut visit, stays).await?;
        // A connection that begins while they leave is a connection of theirs as well.
        let again = hello(&token, None, follow);
        let second = self.world.target.clone();
        let second = tokio::spawn(async move { Socket::open(&second, again).await });
        visit.went = if self.rng.random_bool(0.5) {
            self.ask("leave", &token, &()).await?
        } else {
            let request = MemberRequest { user: self.person.handle.clone() };
            let owner = self.owner.token.clone();
            self.ask("kick", &owner, &request).await?
        };
        let heard = self.listen(&mut socket, &mut visit, LISTENS).await;
        if let Ok(Ok(mut second)) = second.await {
            _ = self.listen(&mut second, &mut visit, LISTENS).await;
        }
        self.tries(&mut visit).await;
        self.visits.push(visit);
        heard
    }

    fn stream(&self) -> StreamName {
        StreamName::Room(self.id.as_str().into())
    }

    /// Does something in the room; answers the offset that says so.
    async fn ask<T: Serialize>(&mut self, what: &str, token: &str, body: &T) -> anyhow::Result<u64> {
        let path = format!("/api/v1/rooms/{}/{what}", self.id);
        let answer = self.client.post(&path, Some(token), None, body).await?;
        Ok(answer.read::<RoomOffset>()?.offset)
    }

    async fn listen(&mut self, socket: &mut Socket, visit: &mut Visit, stays: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + stays;
        loop {
            match timeout_at(until, socket.next()).await {
                Ok(Ok(ServerFrame::Message(message))) => visit.heard.push(message.offset),
                Ok(Ok(_)) => {}
                Ok(Err(ended)) => anyhow::bail!("{ended}"),
                Err(_) => return Ok(()),
            }
        }
    }

    /// Tries what only members may. What the server does not answer proves nothing.
    async fn tries(&mut self, visit: &mut Visit) {
        let token = self.person.token.clone();
        let path = format!("/api/v1/rooms/{}/messages", self.id);
        if let Ok(answer) = self.client.get(&path, &token).await
            && !answer.status.is_server_error()
        {
            visit.tried.push(("a reading", answer.status.is_client_error()));
        }
        let Ok(body) = words::write("nobody", 0) else { return };
        let request = MessageRequest { body, ttl_ms: None };
        if let Ok(answer) = self.client.post(&path, Some(&token), None, &request).await
            && !answer.status.is_server_error()
        {
            visit.tried.push(("a message", answer.status.is_client_error()));
        }
        let follow = vec![Subscription { stream: self.stream(), after: None, last: Some(5) }];
        let Ok(mut socket) = Socket::open(&self.world.target, hello(&token, None, follow)).await else { return };
        if socket.say(&ClientFrame::Ping(Ping { id: Some("end".into()) })).await.is_err() {
            return;
        }
        let until = Instant::now() + PATIENCE;
        while let Ok(Ok(frame)) = timeout_at(until, socket.next()).await {
            match frame {
                ServerFrame::Subscribed(_) | ServerFrame::Message(_) => {
                    visit.tried.push(("a subscription", false));
                    return;
                }
                ServerFrame::Pong(_) => {
                    visit.tried.push(("a subscription", true));
                    return;
                }
                _ => {}
            }
        }
    }
}
