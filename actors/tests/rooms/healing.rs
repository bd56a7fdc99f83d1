//! Panics at every place: what was acknowledged stays, and the room goes on.

use actors::rooms::call::RoomCallError;
use actors::rooms::chat::Fault;
use actors::rooms::config::RoomsConfig;
use domain::ids::OperationId;
use domain::ledger::{By, Origin};
use domain::room::RoomRequest;
use uuid::Uuid;

use crate::node::{BEN, Node, message};

/// Asks until the outcome is known, as a client with a key does.
async fn insist(node: &Node, room: domain::ids::RoomId, key: &str) -> u64 {
    loop {
        match node.person(BEN, room, message(room, key, 100)).await {
            Ok(effect) => return effect.offset,
            Err(RoomCallError::Busy { .. } | RoomCallError::Unknown) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_its_shard_and_its_projector_fail_and_heal() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(dir.path(), RoomsConfig { projection_bytes: 1, ..RoomsConfig::default() }).await;
    let room = node.group("healing").await;
    let mut offsets = Vec::new();
    for (round, fault) in [Fault::Room, Fault::Shard, Fault::Projector, Fault::Room].into_iter().enumerate() {
        offsets.push(insist(&node, room, &format!("before {round}")).await);
        node.chat.fail(room, fault);
        offsets.push(insist(&node, room, &format!("after {round}")).await);
    }
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
    assert_eq!(insist(&node, room, "before 0").await, offsets[0], "a key says the same after every failure");
    let events = node.chat.events_after(room, 0, 1_000).await.unwrap();
    let head = node.chat.head(room).await.unwrap();
    assert_eq!(events.iter().map(|event| event.offset).collect::<Vec<_>>(), (1..=head).collect::<Vec<_>>());
    assert_eq!(events.iter().filter(|event| event.change.is_message()).count(), offsets.len());
    let mut last = 0;
    for event in node.ear.0.lock().iter().filter(|event| event.room == room) {
        assert!(event.offset <= last + 1, "{} was published after {last}", event.offset);
        last = last.max(event.offset);
    }
    assert_eq!(last, head, "each was published once it was durable");
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_fails_again_and_again_is_quarantined_until_somebody_looks() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(dir.path(), RoomsConfig::default()).await;
    let (room, other) = (node.group("failing").await, node.group("other").await);
    for _ in 0..3 {
        node.chat.fail(room, Fault::Room);
    }
    let refused = loop {
        match node.person(BEN, room, RoomRequest::Leave).await {
            Err(RoomCallError::Unavailable) => break true,
            Err(RoomCallError::Busy { .. } | RoomCallError::Unknown) => tokio::task::yield_now().await,
            // It was let in between two failures: it comes back, and the failures go on.
            Ok(_) => {
                insist_joined(&node, room).await;
                node.chat.fail(room, Fault::Room);
            }
            Err(RoomCallError::Refused(_)) => insist_joined(&node, room).await,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(refused);
    insist(&node, other, "others go on").await;
    assert_eq!(node.dead_letters.per_minute(node.chat.hall().clock.now()), 1, "a person must look at it");
    node.close().await;

    // It is journalled: another life of the node does not ask the room either.
    let node = Node::open(dir.path(), RoomsConfig::default()).await;
    assert!(matches!(node.person(BEN, room, RoomRequest::Join).await, Err(RoomCallError::Unavailable)));
    let origin = Origin { operation: OperationId(Uuid::from_u128(1)), by: By::SYSTEM, trace: None };
    assert!(node.chat.end_quarantine(room, origin.clone()).await.unwrap());
    loop {
        match node.person(BEN, room, RoomRequest::Join).await {
            Ok(_) => break,
            Err(RoomCallError::Unavailable) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!node.chat.end_quarantine(room, origin).await.unwrap());
    node.close().await;
}

async fn insist_joined(node: &Node, room: domain::ids::RoomId) {
    while let Err(RoomCallError::Busy { .. } | RoomCallError::Unknown) = node.person(BEN, room, RoomRequest::Join).await
    {
        tokio::task::yield_now().await;
    }
}
