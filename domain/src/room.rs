//! The rules of rooms: who may say what where, and what becomes of it.
//!
//! A room *decides* as an account does: [`decide()`] takes its state, a command and the time and
//! answers events or one named refusal; [`Room::apply`] replays an event and sees no time. Its events
//! are its stream: what people read is nothing but them. A room knows no other room, so there is
//! nothing to settle between them.

pub mod command;
pub mod decide;
pub mod event;
pub mod key;
pub mod kind;
pub mod refused;
pub mod region;
pub mod shard;
pub mod state;

pub use command::{Original, Past, RoomCommand, RoomFacts, RoomRequest};
pub use decide::{RoomAnswer, RoomDecided, decide};
pub use event::{LeaveCause, RoomChange, RoomEvent};
pub use key::MessageKey;
pub use kind::{Access, Label, RoomClass, RoomKind};
pub use refused::RoomRefused;
pub use region::{NotARegion, Region};
pub use shard::{RoomShard, RoomShardEvent};
pub use state::{BrokenRoom, Member, Profile, Rank, Room};
