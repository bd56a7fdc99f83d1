//! What is too much goes: rooms stay as they are, streams begin later, and a replay of what is left is
//! what there was.

use std::sync::Arc;

use actors::room_projector::rebuild::RoomRebuilder;
use actors::rooms::config::{RetentionConfig, RoomsConfig};
use actors::rooms::retention::sweep;
use domain::ids::RoomId;
use domain::ledger::Principal;
use domain::room::{RoomKind, RoomRequest};
use storage::embedded::journal::SEGMENT_BYTES_MIN;
use storage::journal::{JournalKey, Place, Retention, Space};
use storage::views::{Table, Views};

use crate::node::{ANNA, BEN, Node, message, shards, stores};

fn config() -> RoomsConfig {
    let retention = RetentionConfig { log_bytes_max: SEGMENT_BYTES_MIN, ..RetentionConfig::default() };
    RoomsConfig { retention, projection_bytes: 1, ..RoomsConfig::default() }
}

/// Rooms that begin in the first segment, and talk that fills three.
async fn talk(node: &Node) -> Vec<RoomId> {
    let quiet = node.group("quiet").await;
    node.person(BEN, quiet, message(quiet, "once", 200)).await.unwrap();
    node.person(BEN, quiet, RoomRequest::Delete { of: 3 }).await.unwrap();
    let busy = node.group("busy").await;
    let own = RoomKind::User(ANNA).room().unwrap();
    for number in 0..130 {
        node.person(BEN, busy, message(busy, &number.to_string(), 10_000)).await.unwrap();
        if number % 40 == 0 {
            let notice = message(own, &number.to_string(), 50);
            node.ask(Principal::System, own, Some(RoomKind::User(ANNA)), notice).await.unwrap();
        }
    }
    vec![quiet, busy, own]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_goes_and_what_is_needed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(dir.path(), config()).await;
    let rooms = talk(&node).await;
    let (quiet, busy) = (rooms[0], rooms[1]);
    let mut before = Vec::new();
    for room in &rooms {
        before.push(node.chat.state(*room).await.unwrap());
    }
    let log: Arc<dyn Retention> = Arc::clone(&node.journal) as _;
    let removed = sweep(node.chat.hall(), &log).await.unwrap();
    assert!(removed >= 1, "{removed} segments went");
    assert_eq!(sweep(node.chat.hall(), &log).await.unwrap(), 0);
    drop(log);

    for (room, before) in rooms.iter().zip(&before) {
        assert_eq!(&node.chat.state(*room).await.unwrap(), before, "retention changes no room");
    }
    // Nothing is left to read of the quiet room, and its stream goes on where it was.
    assert_eq!(node.chat.floor(quiet).await.unwrap(), before[0].head);
    assert_eq!(node.chat.events_after(quiet, 0, 10).await.unwrap(), []);
    let floor = node.chat.floor(busy).await.unwrap();
    assert!(floor > 10 && floor < before[1].head, "{floor}");
    let kept = node.chat.events_after(busy, 0, 1_000).await.unwrap();
    assert_eq!(kept.first().unwrap().offset, floor + 1, "a cursor below the floor hears a gap");
    assert_eq!(kept.len() as u64, before[1].head - floor);
    assert_eq!(node.chat.events_before(busy, u64::MAX, 1_000).await.unwrap().len(), kept.len());
    let unread = node.chat.unread(&before[1], 5).await.unwrap();
    assert_eq!(unread, kept.iter().filter(|event| event.change.is_message()).count() as u64);
    assert_eq!(node.views.cells(Table::RoomRedactions, quiet.0, &[], 10).await.unwrap(), []);

    // A key is known as long as its message is kept.
    let replayed = node.person(BEN, busy, message(busy, "129", 10_000)).await.unwrap();
    assert_eq!((replayed.replayed, replayed.offset), (true, before[1].head));
    let again = node.person(BEN, quiet, message(quiet, "once", 200)).await.unwrap();
    assert_eq!((again.replayed, again.offset), (false, before[0].head + 1));
    node.close().await;

    let node = Node::open(dir.path(), config()).await;
    assert_eq!(node.chat.head(quiet).await.unwrap(), before[0].head + 1);
    assert_eq!(node.chat.floor(busy).await.unwrap(), floor);
    assert!(node.person(BEN, busy, message(busy, "129", 10_000)).await.unwrap().replayed);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_made_from_what_is_left_are_those_that_were() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(dir.path(), config()).await;
    let rooms = talk(&node).await;
    let log: Arc<dyn Retention> = Arc::clone(&node.journal) as _;
    assert!(sweep(node.chat.hall(), &log).await.unwrap() >= 1);
    drop(log);
    for room in &rooms {
        node.chat.catch_up(*room).await;
    }
    let mut expected = Vec::new();
    for room in &rooms {
        let state = node.chat.state(*room).await.unwrap();
        expected.push((state, node.chat.events_after(*room, 0, 1_000).await.unwrap()));
    }
    let of_ben = node.chat.rooms_of(BEN, None, 10).await.unwrap();
    assert_eq!(of_ben.len(), 2);
    let keys = node.views.cells(Table::RoomKeys, rooms[1].0, &[], 1_000).await.unwrap();
    node.close().await;

    let (journal, views) = stores(dir.path(), "rebuilt");
    let mut rebuilder = RoomRebuilder::new(Arc::clone(&views) as _, Vec::new()).unwrap();
    for stored in journal.scan(Place(0)).unwrap() {
        rebuilder.record(stored.unwrap()).await.unwrap();
    }
    rebuilder.finish().await.unwrap();
    for shard in shards().shards() {
        let key = JournalKey { space: Space::Rooms, shard };
        assert!(views.position(key).await.unwrap().is_some());
    }
    assert_eq!(views.cells(Table::RoomKeys, rooms[1].0, &[], 1_000).await.unwrap(), keys);
    drop((journal, views));
    std::fs::remove_dir_all(dir.path().join("views-rooms")).unwrap();
    std::fs::rename(dir.path().join("rebuilt"), dir.path().join("views-rooms")).unwrap();

    let node = Node::open(dir.path(), config()).await;
    for (room, (state, events)) in rooms.iter().zip(&expected) {
        assert_eq!(&node.chat.state(*room).await.unwrap(), state);
        assert_eq!(&node.chat.events_after(*room, 0, 1_000).await.unwrap(), events);
    }
    assert_eq!(node.chat.rooms_of(BEN, None, 10).await.unwrap(), of_ben);
    node.close().await;
}
