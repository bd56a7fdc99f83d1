//! What administrators do and see.

use domain::delivery::Class;
use domain::ids::UserId;
use domain::money::Minor;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::value::{CurrencyCode, FreezeScope, Time};

/// `POST /admin/accounts/{userId}/freeze` and `…/unfreeze`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreezeRequest {
    /// Which direction to stop, or to let go again.
    pub scope: FreezeScope,
    /// Why, for the record.
    #[schema(min_length = 1, max_length = 280)]
    pub reason: String,
}

/// The answer to a freeze and an unfreeze: what is frozen now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreezeResponse {
    /// Whose account.
    #[schema(value_type = uuid::Uuid)]
    pub user_id: UserId,
    /// Whether the account is frozen in any direction.
    pub frozen: bool,
    /// In which direction; absent if it is not frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_scope: Option<FreezeScope>,
}

/// `PUT /admin/users/{userId}/region`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionRequest {
    /// A country (ISO 3166-1, `IN`) or a part of one (ISO 3166-2, `IN-MH`); null for nowhere.
    #[schema(max_length = 6, pattern = "^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$")]
    pub region: Option<String>,
}

/// The answer to it: where somebody is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionResponse {
    /// Who.
    #[schema(value_type = uuid::Uuid)]
    pub user_id: UserId,
    /// Where, in upper case.
    pub region: Option<String>,
}

/// What could not be delivered, and why. Listed as [`Items`](crate::http::page::Items).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The id.
    pub id: String,
    /// What kind of thing failed.
    pub kind: DeadLetterKind,
    /// Why, as a stable code.
    pub reason: String,
    /// For a person to read.
    pub message: String,
    /// What it is about: the id of an account, a transfer or a person.
    pub subject: String,
    /// How much money is in it, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    pub amount_minor: Option<Minor>,
    /// The currency of that money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<CurrencyCode>,
    /// Whom a delivery was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Which of their devices; absent where it is dead for the person, or the device said no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// How the stream is delivered: `money`, `notice` or `chat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub class: Option<Class>,
    /// The stream: an account's or a room's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The first and last offset in the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offsets: Option<Offsets>,
    /// What the last attempt met, as a code; of a client's refusal, the client's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Whether its messages are to be offered again when a device of the person comes back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redrive: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// When it first failed.
    pub first_at: Time,
    /// When it last failed.
    pub last_at: Time,
    /// When it was resolved; null while it is open.
    pub resolved_at: Option<Time>,
}

/// What kind of thing failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeadLetterKind {
    /// Money that could be neither credited nor returned.
    Suspense,
    /// An account that failed again and again.
    Quarantine,
    /// A command that could not be served.
    Command,
    /// A message that a person or device did not take.
    Delivery,
    /// Somebody else who could not be told of it.
    Escalation,
}

/// A run of messages in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Offsets {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// Which dead letters. All that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DeadLettersQuery {
    /// With this reason: `suspense`, `quarantined`, `unserved`, `refused`, `unacknowledged`, `deadline` or
    /// `escalation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(pattern = "^(suspense|quarantined|unserved|refused|unacknowledged|deadline|escalation)$")]
    pub reason: Option<String>,
    /// Of deliveries of this class: `money`, `notice` or `chat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(pattern = "^(money|notice|chat)$")]
    pub class: Option<String>,
    /// For this person, by their id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<uuid::Uuid>)]
    pub user: Option<String>,
    /// `true`: those that are open only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// Items a page, 1 to 100; 20 if absent.
    #[param(minimum = 1, maximum = 100)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before ended: its `nextCursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `POST /admin/dead-letters/redrive`: which open dead letters of deliveries to offer again, and how fast.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedriveRequest {
    /// With this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(suspense|quarantined|unserved|refused|unacknowledged|deadline|escalation)$")]
    pub reason: Option<String>,
    /// Of this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(money|notice|chat)$")]
    pub class: Option<String>,
    /// For this person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    pub user: Option<String>,
    /// How many a second, 1 to 1,000; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub rate_per_second: Option<u32>,
}

/// How far a job that redrives dead letters is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedriveResponse {
    /// The job's id.
    pub job: String,
    /// Dead letters that were offered again.
    pub redriven: u64,
    /// Dead letters that were passed over: of another kind, or resolved meanwhile.
    pub skipped: u64,
    /// Whether all were looked at.
    pub done: bool,
    /// Whether the job gave up because the store did not answer.
    pub failed: bool,
}

/// `GET /admin/cache`: how often what this node reads was remembered, since it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheResponse {
    /// Each cache, and each of its levels.
    pub caches: Vec<CacheLevel>,
}

/// One level of a cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheLevel {
    /// What is cached.
    pub name: String,
    /// 1 in the node's memory, 2 shared by all nodes.
    pub level: u8,
    /// About how many entries there are; null where the node cannot know.
    pub entries: Option<u64>,
    /// How often it was there.
    pub hits: u64,
    /// How often it was not.
    pub misses: u64,
    /// Of 10,000 times, how often it was there; null while nothing was asked for.
    pub hits_per_10k: Option<u64>,
}

/// `GET /admin/delivery`: what deliveries of this node came to since it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryResponse {
    /// By class.
    pub classes: Vec<ClassDelivery>,
    /// Streams that are followed, a connection each.
    pub followers: u64,
    /// Dead letters of the last minute.
    pub dead_letters_per_minute: u64,
}

/// What deliveries of one class came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassDelivery {
    /// Which.
    #[schema(value_type = String)]
    pub class: Class,
    /// Messages that were sent, a connection each, without those sent again.
    pub sent: u64,
    /// Messages that were applied.
    pub delivered: u64,
    /// Messages that were sent again.
    pub retried: u64,
    /// Messages that were let go under pressure, with a said gap.
    pub shed: u64,
    /// Messages that were dead for a device.
    pub dead: u64,
    /// Of 10,000 messages that were delivered or dead, how many were delivered; null while there are none.
    pub success_per_10k: Option<u64>,
    /// Milliseconds from sending to `applied` for half of them; null where none is measured.
    pub p50_ms: Option<u64>,
    /// Milliseconds for 99 of 100.
    pub p99_ms: Option<u64>,
}
