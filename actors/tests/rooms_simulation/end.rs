//! What must hold when all clients are done: the journal is what they were told, and what is read is the
//! journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actors::rooms::chat::{Chat, Showing};
use domain::ids::{RoomId, UserId};
use domain::room::{Rank, Room, RoomChange, RoomEvent};
use parking_lot::Mutex;
use storage::encoding::{self, RoomItem};

use crate::clients::Known;
use crate::world::World;

/// Each room's events in the journal, in order.
fn journal(world: &World) -> Result<BTreeMap<RoomId, Vec<Arc<RoomEvent>>>, String> {
    let mut events: BTreeMap<RoomId, Vec<Arc<RoomEvent>>> = BTreeMap::new();
    for stored in world.lock().logs.iter().flat_map(|log| &log.records) {
        for (_, item) in encoding::read_items::<RoomItem>(&stored.record.payload).map_err(|error| error.to_string())? {
            if let RoomItem::Event(event) = item {
                events.entry(event.room).or_default().push(event);
            }
        }
    }
    Ok(events)
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

/// Checks everything.
pub(crate) async fn check(
    world: &World,
    chat: &Chat,
    rooms: &[RoomId],
    known: &Mutex<Known>,
    shards: u16,
) -> Result<(), String> {
    let mut opening = chat.hall().opening.subscribe();
    opening.wait_for(|opening| opening.open == usize::from(shards)).await.map_err(|error| error.to_string())?;
    let journal = journal(world)?;
    let mut states = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for (room, events) in &journal {
        let mut state = Room::new(*room);
        for event in events {
            state.apply(event).map_err(|broken| broken.to_string())?;
            if let RoomChange::Published { key: Some(key), .. } = event.change
                && let Some(before) = keys.insert((*room, key), event.offset)
            {
                return Err(format!("a key published {before} and {} in {room}", event.offset));
            }
        }
        states.insert(*room, state);
    }
    {
        let known = known.lock();
        if let Some(wrong) = known.wrong.first() {
            return Err(wrong.clone());
        }
        for (key, offset) in &known.published {
            equal("an acknowledged message", &keys.get(key), &Some(offset))?;
        }
        for in_order in &known.in_order {
            let offsets: Vec<_> = in_order.iter().map(|key| keys.get(key)).collect();
            if !offsets.windows(2).all(|pair| pair[0] < pair[1]) {
                return Err(format!("handed over in order, and published at {offsets:?}"));
            }
        }
    }
    for room in rooms {
        let events = journal.get(room).cloned().unwrap_or_default();
        let state = states.get(room).cloned().unwrap_or_else(|| Room::new(*room));
        read_back(chat, *room, &events, &state).await.map_err(|error| format!("{room}: {error}"))?;
        chat.catch_up(*room).await;
        read_back(chat, *room, &events, &state).await.map_err(|error| format!("{room}, projected: {error}"))?;
    }
    members(chat, &states).await
}

/// What is read of a room is what the journal says.
async fn read_back(chat: &Chat, room: RoomId, events: &[Arc<RoomEvent>], state: &Room) -> Result<(), String> {
    let text = |error: storage::Error| error.to_string();
    equal("the state", &*chat.state(room).await.map_err(text)?, state)?;
    let mut read = Vec::new();
    loop {
        let after = read.last().map_or(0, |last: &Arc<RoomEvent>| last.offset);
        let page = chat.events_after(room, after, 7).await.map_err(text)?;
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    equal("events after", &read, &events.to_vec())?;
    let mut read = Vec::new();
    loop {
        let before = read.last().map_or(u64::MAX, |last: &Arc<RoomEvent>| last.offset);
        let page = chat.events_before(room, before, 5).await.map_err(text)?;
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    read.reverse();
    equal("events before", &read, &events.to_vec())?;
    for read in [0, state.head / 2, state.head] {
        let expected = events.iter().filter(|event| event.offset > read && event.change.is_message()).count();
        equal("unread", &chat.unread(state, read).await.map_err(text)?, &(expected as u64))?;
    }
    let deleted: BTreeSet<_> = events
        .iter()
        .filter_map(|event| match event.change {
            RoomChange::Deleted { of } => Some(of),
            _ => None,
        })
        .collect();
    let edited: BTreeMap<_, _> = events
        .iter()
        .filter_map(|event| match event.change {
            RoomChange::Edited { of, .. } => Some((of, event.offset)),
            _ => None,
        })
        .collect();
    let now = chat.hall().clock.now();
    for shown in chat.shown(room, events.to_vec(), now).await.map_err(text)? {
        let offset = shown.event.offset;
        // The words of an edit go with the message that it edited.
        let of = match shown.event.change {
            RoomChange::Edited { of, .. } => of,
            _ => offset,
        };
        let is_deleted = deleted.contains(&offset) || deleted.contains(&of);
        let expected = (is_deleted, edited.get(&offset).filter(|_| !is_deleted));
        let found = match &shown.now {
            Showing::AsSaid => (false, None),
            Showing::Deleted => (true, None),
            Showing::Edited(by) => (false, Some(&by.offset)),
            Showing::Expired => return Err(format!("{offset} has expired")),
        };
        equal("what became of a message", &found, &expected)?;
    }
    Ok(())
}

/// Everybody finds the rooms that they are in, and no others.
async fn members(chat: &Chat, states: &BTreeMap<RoomId, Room>) -> Result<(), String> {
    for number in 0..8 {
        let user = UserId(uuid::Uuid::from_u128(number + 1));
        let found = chat.rooms_of(user, None, 100).await.map_err(|error| error.to_string())?;
        let found: BTreeSet<_> = found.iter().map(|membership| (membership.room, membership.invited)).collect();
        let expected: BTreeSet<_> = states
            .values()
            .filter_map(|room| {
                let member = room.profile.as_ref()?.members.get(&user)?;
                Some((room.id, member.rank == Rank::Invited))
            })
            .collect();
        equal("the rooms of somebody", &found, &expected)?;
    }
    Ok(())
}

/// What was published is durable, and was so in the order of offsets in each life.
pub(crate) fn check_heard(
    world: &World,
    heard: &[BTreeMap<RoomId, Vec<Arc<RoomEvent>>>],
    wrong: &[String],
) -> Result<(), String> {
    if let Some(wrong) = wrong.first() {
        return Err(wrong.clone());
    }
    let journal = journal(world)?;
    for (room, events) in heard.iter().flatten() {
        let durable = journal.get(room).cloned().unwrap_or_default();
        for event in events {
            let at = event.offset as usize - 1;
            equal("a published event", &durable.get(at), &Some(event))?;
        }
    }
    Ok(())
}
