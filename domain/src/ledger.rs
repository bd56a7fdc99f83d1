//! The ledger's rules: accounts, and the shard that holds them.
//!
//! An account *decides*: [`decide()`] takes its state, a command and the time and answers changes or a
//! named refusal. [`Account::apply`] replays a change and sees no time. What accounts have in common
//! on one shard (channels, system balances, timers, suspense) is [`Shard`], which is likewise nothing
//! but the fold of the shard's events. [`resharding`] carries all of it into another number of shards.

pub mod account;
pub mod command;
pub mod decide;
pub mod event;
pub mod refusal;
pub mod resharding;
pub mod shard;

pub use account::{Account, Freeze, Hold, Limits, Opening, Standing};
pub use command::{Command, Credit, Facts, Now, Original, Past, PastHold, Request};
pub use decide::{Answer, CreditDecided, Decided, credit, decide, late};
pub use event::{
    Balances, By, Change, ChannelNumber, Entry, Event, Fingerprint, LateOutcome, Meta, Movement, Origin, Party,
    Principal, Purpose, ReleaseCause, Trace, Via,
};
pub use refusal::Refusal;
pub use shard::{DivertReason, Resolution, Return, Shard, ShardEvent, Suspended};
