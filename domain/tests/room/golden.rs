//! The journal's encoding of rooms, byte by byte.
//!
//! Every event ever written must read as what it was. A row that fails here means that stores in the
//! field no longer open: variants and fields are only added at the end, under a new number of the
//! encoding, and the rows that stand here stay as they are.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fmt::Write;
use std::sync::Arc;

use domain::ids::{RoomId, UserId};
use domain::ledger::{Fingerprint, Meta, Principal};
use domain::room::{Access, LeaveCause, MessageKey, RoomChange, RoomClass, RoomEvent, RoomKind, RoomShardEvent};
use domain::sealed::Sealed;
use domain::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::people::{Hall, by};

const ONE: UserId = UserId(Uuid::from_bytes([0x01; 16]));
const TWO: UserId = UserId(Uuid::from_bytes([0x02; 16]));
const ROOM: RoomId = RoomId(Uuid::from_bytes([0x4a; 16]));

fn sealed() -> Sealed {
    Sealed { owner: ONE, bytes: Box::new([0xee; 3]) }
}

fn opened(kind: RoomKind, class: RoomClass, access: Access, name: Option<Sealed>) -> RoomChange {
    RoomChange::Opened { kind, class, access, name }
}

/// One of each. A new variant does not compile until it has a row below.
fn changes() -> Vec<(RoomChange, &'static str)> {
    let label = || "in-mh".parse().unwrap();
    vec![
        (opened(RoomKind::User(ONE), RoomClass::Notice, Access::Invited, None), "00 00 <1> 00 01 00"),
        (opened(RoomKind::Role(label()), RoomClass::Chat, Access::Open, None), "00 01 05696e2d6d68 01 00 00"),
        (opened(RoomKind::Region(label()), RoomClass::Chat, Access::Open, None), "00 02 05696e2d6d68 01 00 00"),
        (opened(RoomKind::Group, RoomClass::Chat, Access::Open, Some(sealed())), "00 03 01 00 01 <s>"),
        (opened(RoomKind::Direct(ONE, TWO), RoomClass::Chat, Access::Open, None), "00 04 <1> <2> 01 00 00"),
        (opened(RoomKind::Broadcast, RoomClass::Notice, Access::Open, None), "00 05 00 00 00"),
        (RoomChange::Renamed { name: sealed() }, "01 <s>"),
        (RoomChange::Invited { user: TWO }, "02 <2>"),
        (RoomChange::Joined { user: TWO }, "03 <2>"),
        (RoomChange::Left { user: TWO, cause: LeaveCause::Left, heir: None }, "04 <2> 00 00"),
        (RoomChange::Left { user: TWO, cause: LeaveCause::Kicked, heir: Some(ONE) }, "04 <2> 01 01 <1>"),
        (RoomChange::RankChanged { user: TWO, moderates: true }, "05 <2> 01"),
        (RoomChange::Muted { user: TWO, until: Timestamp(300) }, "06 <2> ac02"),
        (RoomChange::Unmuted { user: TWO }, "07 <2>"),
        (RoomChange::Closed, "08"),
        (RoomChange::Published { body: sealed(), key: None, fingerprint: None, expires_at: None }, "09 <s> 00 00 00"),
        (
            RoomChange::Published {
                body: sealed(),
                key: Some(MessageKey([0x0c; 16])),
                fingerprint: Some(Fingerprint([0xf1; 16])),
                expires_at: Some(Timestamp(300)),
            },
            "09 <s> 01 0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c 01 f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1 01 ac02",
        ),
        (RoomChange::Edited { of: 300, body: sealed() }, "0a ac02 <s>"),
        (RoomChange::Deleted { of: 300 }, "0b ac02"),
        (RoomChange::Blocked { by: ONE }, "0c <1>"),
        (RoomChange::Unblocked { by: ONE }, "0d <1>"),
    ]
}

/// Every variant is in the table: this does not compile when one is added.
const fn number(change: &RoomChange) -> u8 {
    match change {
        RoomChange::Opened { .. } => 0,
        RoomChange::Renamed { .. } => 1,
        RoomChange::Invited { .. } => 2,
        RoomChange::Joined { .. } => 3,
        RoomChange::Left { .. } => 4,
        RoomChange::RankChanged { .. } => 5,
        RoomChange::Muted { .. } => 6,
        RoomChange::Unmuted { .. } => 7,
        RoomChange::Closed => 8,
        RoomChange::Published { .. } => 9,
        RoomChange::Edited { .. } => 10,
        RoomChange::Deleted { .. } => 11,
        RoomChange::Blocked { .. } => 12,
        RoomChange::Unblocked { .. } => 13,
    }
}

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, golden: &str) {
    let golden = golden
        .replace("<s>", "<1> 03eeeeee")
        .replace("<1>", &("10".to_owned() + &"01".repeat(16)))
        .replace("<2>", &("10".to_owned() + &"02".repeat(16)));
    let golden: String = golden.split_whitespace().collect();
    let bytes = postcard::to_stdvec(value).unwrap();
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    assert_eq!(hex, golden, "{value:?}");
    assert_eq!(&postcard::from_bytes::<T>(&bytes).unwrap(), value);
}

#[test]
fn changes_keep_their_bytes() {
    let changes = changes();
    for (change, golden) in &changes {
        check(change, golden);
        assert!(golden.starts_with(&format!("{:02x}", number(change))));
    }
    let seen: BTreeSet<_> = changes.iter().map(|(change, _)| number(change)).collect();
    assert_eq!(seen, (0..14).collect());
}

#[test]
fn an_event_keeps_its_bytes() {
    let origin = by(Principal::System);
    let meta = Meta { at: Timestamp(300), origin };
    let event = Arc::new(RoomEvent { room: ROOM, offset: 129, messages: 5, meta, change: RoomChange::Closed });
    let room = "10".to_owned() + &"4a".repeat(16);
    let operation = "10".to_owned() + &format!("{:032x}", 9);
    check(&event, &format!("{room} 8101 05 ac02 {operation} 01 00 00 03 00 08"));
}

#[test]
fn events_of_the_shard_keep_their_bytes() {
    let room = "10".to_owned() + &"4a".repeat(16);
    let quarantined = BTreeSet::from([ROOM]);
    check(&RoomShardEvent::TermBegan { term: 300 }, "00 ac02");
    check(&RoomShardEvent::Quarantined { room: ROOM, at: Timestamp(7) }, &format!("01 {room} 07"));
    check(&RoomShardEvent::Kept { quarantined, at: Timestamp(7) }, &format!("03 01 {room} 07"));
}

#[test]
fn a_checkpoint_keeps_its_bytes() {
    let hall = Hall::group();
    let bytes = postcard::to_stdvec(&hall.room).unwrap();
    assert_eq!(postcard::from_bytes::<domain::room::Room>(&bytes).unwrap(), hall.room);
    assert_eq!(
        blake3::hash(&bytes).to_hex().as_str(),
        "4f985111eb8653f1f7fd4118a6d06a5ae0d52af9f829a89f97d225a095c5d6a0"
    );
}
