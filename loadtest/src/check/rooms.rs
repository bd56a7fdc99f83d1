//! The rooms of a run: who is in them, how they are made, and what stands in them at the end.

use std::time::Duration;

use anyhow::Context;
use protocol::event::EventName;
use protocol::event::room::{MessageNew, MessageUpdate};
use protocol::http::room::{CreateRoomRequest, HistoryResponse, MadeKind, RoomHistoryEvent, RoomOffset};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use uuid::Uuid;

use super::history::{RoomEventSeen, RoomSeen, What};
use super::words;
use super::worker::PATIENCE;
use super::world::World;
use crate::http::{Client, Target};
use crate::person::Person;

/// The most people that one group begins with.
const MEMBERS_MAX: usize = 6;
/// The most rooms of one run: a person may be in all of them, and one `hello` names 32 streams.
const ROOMS_MAX: usize = 24;
/// How long to wait before asking a busy server again.
const AGAIN: Duration = Duration::from_millis(200);

/// A room of this run.
#[derive(Clone, Debug)]
pub(crate) struct RoomPlan {
    /// Its id.
    pub(crate) id: Uuid,
    /// Who is in it from beginning to end; the first made it.
    pub(crate) members: Vec<usize>,
    /// Whether others may come and go.
    pub(crate) open: bool,
}

/// Makes a room for every four people, and one of two for every six. The first is open to visitors.
pub(crate) async fn make(target: &Target, run: &str, people: &[Person], seed: u64) -> anyhow::Result<Vec<RoomPlan>> {
    let mut rng = StdRng::seed_from_u64(seed.rotate_left(17));
    let mut client = Client::new(target.clone(), PATIENCE);
    let groups = people.len().div_ceil(4).min(ROOMS_MAX * 2 / 3);
    let pairs = (people.len() / 6).min(ROOMS_MAX / 3);
    let mut rooms = Vec::with_capacity(groups + pairs);
    for number in 0..groups {
        // Whoever visits the first room is not in it.
        let size = rng.random_range(2..=MEMBERS_MAX).min(people.len() - usize::from(number == 0)).max(1);
        let members = some(&mut rng, people.len(), size);
        let name = Some(format!("Room {number} of {run}"));
        let request = CreateRoomRequest { kind: MadeKind::Group, name, open: true, with: None };
        let id = create(&mut client, people, &members, &request).await?;
        for member in members.iter().skip(1) {
            let path = format!("/api/v1/rooms/{id}/join");
            let answer = client.post(&path, Some(&people[*member].token), None, &()).await?;
            answer.read::<RoomOffset>().context("joining a room")?;
        }
        rooms.push(RoomPlan { id, members, open: number == 0 });
    }
    for _ in 0..pairs {
        let members = some(&mut rng, people.len(), 2);
        let with = members.get(1).map(|other| people[*other].handle.clone());
        let request = CreateRoomRequest { kind: MadeKind::Direct, name: None, open: false, with };
        let id = create(&mut client, people, &members, &request).await?;
        // Two people have one room, however often it is made.
        if rooms.iter().all(|room| room.id != id) {
            rooms.push(RoomPlan { id, members, open: false });
        }
    }
    Ok(rooms)
}

async fn create(
    client: &mut Client,
    people: &[Person],
    members: &[usize],
    request: &CreateRoomRequest,
) -> anyhow::Result<Uuid> {
    let maker = members.first().and_then(|maker| people.get(*maker)).context("a room of nobody")?;
    let answer = client.post("/api/v1/rooms", Some(&maker.token), None, request).await?;
    Ok(answer.read::<RoomOffset>().context("making a room")?.room.0)
}

fn some(rng: &mut StdRng, among: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..among).collect();
    (0..count.min(among)).map(|_| all.swap_remove(rng.random_range(0..all.len()))).collect()
}

/// Reads every room from its beginning to its end, each by its maker.
pub(crate) async fn collect(world: &World, people: &[Person]) -> anyhow::Result<Vec<RoomSeen>> {
    let mut client = Client::new(world.target.clone(), PATIENCE);
    let mut rooms = Vec::with_capacity(world.rooms.len());
    for room in &world.rooms {
        let maker = room.members.first().and_then(|maker| people.get(*maker)).context("a room of nobody")?;
        let mut seen = RoomSeen { members: room.members.clone(), ..RoomSeen::default() };
        loop {
            let after = seen.events.last().map_or(0, |event| event.offset);
            let path = format!("/api/v1/rooms/{}/messages?limit=100&after={after}", room.id);
            let page: HistoryResponse = read(&mut client, &path, maker).await?;
            (seen.floor, seen.head) = (page.floor, page.offset);
            let count = page.events.len();
            seen.events.extend(page.events.iter().map(|event| event_of(world, event)));
            if count == 0 {
                break;
            }
        }
        rooms.push(seen);
    }
    Ok(rooms)
}

async fn read<T: serde::de::DeserializeOwned>(client: &mut Client, path: &str, person: &Person) -> anyhow::Result<T> {
    let mut last = None;
    for _ in 0..50 {
        match client.get(path, &person.token).await.and_then(|answer| answer.read()) {
            Ok(body) => return Ok(body),
            Err(error) => last = Some(error),
        }
        sleep(AGAIN).await;
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("never asked"))).with_context(|| format!("GET {path}"))
}

/// An event as the history shows it.
pub(crate) fn event_of(world: &World, event: &RoomHistoryEvent) -> RoomEventSeen {
    let read = match event.event {
        EventName::MessageNew => event.data.read::<MessageNew>().map(|new| {
            let by = new.from.as_ref().and_then(|from| world.person_of(from));
            (What::Message, by, Some(words::of_new(&new)))
        }),
        EventName::MessageUpdate => event.data.read::<MessageUpdate>().map(|update| {
            let what = if update.deleted { What::Deleted(update.of) } else { What::Edited(update.of) };
            let by = update.by.as_ref().and_then(|by| world.person_of(by));
            (what, by, Some(words::of_update(&update)))
        }),
        _ => Ok((What::Other, None, None)),
    };
    let (what, by, shows) = read.unwrap_or_else(|error| {
        world.foreign(format!("{} in a history: {error}", event.id));
        (What::Other, None, None)
    });
    RoomEventSeen { offset: event.offset, what, by, shows }
}
