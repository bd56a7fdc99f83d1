//! Making rooms over HTTP.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use protocol::http::room::{CreateRoomRequest, MadeKind, RoomOffset};

use crate::http::{Client, Target};
use crate::who::Bearer;

/// How long making a room, or joining one, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections over which people join at a time.
const JOINING: usize = 16;

/// The most people a room has.
pub(crate) const MEMBERS_MAX: usize = 1_000;

/// Makes rooms.
pub(crate) struct Maker {
    clients: Vec<Client>,
    run: String,
    made: usize,
}

impl Maker {
    /// At a server.
    pub(crate) fn of(target: &Target, run: &str) -> Self {
        let clients = (0..JOINING).map(|_| Client::new(target.clone(), PATIENCE)).collect();
        Self { clients, run: run.to_owned(), made: 0 }
    }

    /// Makes a group of these people, whom the first of them makes and the others join. Answers its stream's name.
    pub(crate) async fn make(&mut self, people: impl Iterator<Item = &Bearer>) -> anyhow::Result<String> {
        let mut people = people;
        let first = people.next().context("a room of nobody")?;
        let mut known = BTreeSet::from([first.id]);
        // A person may be there with several sessions, and is a member once.
        let others: Vec<_> = people.filter(|person| known.insert(person.id)).collect();
        self.made += 1;
        let name = Some(format!("Load {} {}", self.run, self.made));
        let body = CreateRoomRequest { kind: MadeKind::Group, name, open: true, with: None };
        let client = self.clients.first_mut().context("no connection")?;
        let answer = client.post("/api/v1/rooms", Some(&first.token), None, &body).await?;
        let RoomOffset { room, .. } = answer.read()?;
        let lane = others.len().div_ceil(self.clients.len()).max(1);
        let path = format!("/api/v1/rooms/{room}/join");
        let joining = self.clients.iter_mut().zip(others.chunks(lane)).map(async |(client, people)| {
            for person in people {
                let answer = client.post(&path, Some(&person.token), None, &()).await?;
                answer.read::<RoomOffset>().context("joining")?;
            }
            anyhow::Ok(())
        });
        try_join_all(joining).await?;
        Ok(format!("room:{room}"))
    }
}
