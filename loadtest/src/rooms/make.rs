//! Making rooms over HTTP.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::http::{Client, Target};
use crate::who::Bearer;

/// How long making a room may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `POST /api/v1/rooms`
#[derive(Serialize)]
struct RoomRequest<'a> {
    kind: &'a str,
    name: &'a str,
    members: Vec<Uuid>,
}

/// What is answered; only the id matters here, wherever it stands.
#[derive(Deserialize)]
#[serde(untagged)]
enum RoomResponse {
    Bare { id: String },
    Within { room: Room },
}

#[derive(Deserialize)]
struct Room {
    id: String,
}

/// Makes rooms.
pub(crate) struct Maker {
    client: Client,
    run: String,
    made: usize,
}

impl Maker {
    /// At a server.
    pub(crate) fn of(target: &Target, run: &str) -> Self {
        Self { client: Client::new(target.clone(), PATIENCE), run: run.to_owned(), made: 0 }
    }

    /// Makes a room of these people; the first of them makes it. Answers its stream's name.
    pub(crate) async fn make(&mut self, kind: &str, people: impl Iterator<Item = &Bearer>) -> anyhow::Result<String> {
        let mut people = people;
        let first = people.next().context("a room of nobody")?;
        // A person may be there with several sessions, and is a member once.
        let members: BTreeSet<_> = people.map(|person| person.id).filter(|id| *id != first.id).collect();
        self.made += 1;
        let name = format!("Load {} {}", self.run, self.made);
        let body = RoomRequest { kind, name: &name, members: members.into_iter().collect() };
        let answer = self.client.post("/api/v1/rooms", Some(&first.token), None, &body).await?;
        let (RoomResponse::Bare { id } | RoomResponse::Within { room: Room { id } }) = answer.read()?;
        Ok(format!("room:{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        for text in [r#"{"id":"r1","kind":"group"}"#, r#"{"room":{"id":"r1","kind":"group"}}"#] {
            let (RoomResponse::Bare { id } | RoomResponse::Within { room: Room { id } }) =
                serde_json::from_str(text).unwrap();
            assert_eq!(id, "r1");
        }
        let body = RoomRequest { kind: "group", name: "n", members: vec![Uuid::nil()] };
        let text = serde_json::to_string(&body).unwrap();
        assert_eq!(text, r#"{"kind":"group","name":"n","members":["00000000-0000-0000-0000-000000000000"]}"#);
    }
}
