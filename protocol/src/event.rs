//! What `message` frames carry: the events of a stream.

pub mod room;

pub use domain::delivery::Class;
use domain::ids::HoldId;
use domain::money::Minor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::amount::Major;
use crate::http::hold::Hold;
use crate::http::transaction::Transaction;
use crate::value::{CurrencyCode, FreezeScope, Time};

/// The name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum EventName {
    /// An entry: [`TransactionNew`].
    #[serde(rename = "transaction:new")]
    TransactionNew,
    /// A debit that settled late or came back: [`TransactionUpdate`].
    #[serde(rename = "transaction:update")]
    TransactionUpdate,
    /// A hold that was made or resolved: [`BalanceUpdate`].
    #[serde(rename = "balance:update")]
    BalanceUpdate,
    /// The account was opened, frozen, limited or closed: [`AccountUpdate`].
    #[serde(rename = "account:update")]
    AccountUpdate,
    /// A message in a room: [`room::MessageNew`].
    #[serde(rename = "message:new")]
    MessageNew,
    /// A message was edited or deleted: [`room::MessageUpdate`].
    #[serde(rename = "message:update")]
    MessageUpdate,
    /// Somebody came, went, or may do something else than before: [`room::MemberUpdate`].
    #[serde(rename = "member:update")]
    MemberUpdate,
    /// A room began, has another name, or is closed: [`room::RoomUpdate`].
    #[serde(rename = "room:update")]
    RoomUpdate,
    /// A notice to a person: [`room::NotificationNew`].
    #[serde(rename = "notification:new")]
    NotificationNew,
    /// Notices were read: [`room::NotificationUpdate`].
    #[serde(rename = "notification:update")]
    NotificationUpdate,
    /// Something about who may sign in as a person: [`room::SecurityNew`].
    #[serde(rename = "security:new")]
    SecurityNew,
}

impl EventName {
    /// The name as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransactionNew => "transaction:new",
            Self::TransactionUpdate => "transaction:update",
            Self::BalanceUpdate => "balance:update",
            Self::AccountUpdate => "account:update",
            Self::MessageNew => "message:new",
            Self::MessageUpdate => "message:update",
            Self::MemberUpdate => "member:update",
            Self::RoomUpdate => "room:update",
            Self::NotificationNew => "notification:new",
            Self::NotificationUpdate => "notification:update",
            Self::SecurityNew => "security:new",
        }
    }
}

/// `transaction:new`: an entry of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionNew {
    /// The entry; a debit's carries no `status`.
    pub transaction: Transaction,
    /// What stands in the account after it.
    pub balance: Major,
    /// `balance` in minor units.
    pub balance_minor: Minor,
    /// What can be spent after it.
    pub available: Major,
    /// `available` in minor units.
    pub available_minor: Minor,
    /// What open holds set aside after it.
    pub held: Major,
    /// `held` in minor units.
    pub held_minor: Minor,
    /// The notice that a credit makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification: Option<Notification>,
}

/// A notice to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// The id.
    pub id: String,
    /// What it is about: `credit`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// One line.
    pub title: String,
    /// The text.
    pub message: String,
    /// When it was made.
    pub timestamp: Time,
    /// Whether it was read.
    pub read: bool,
}

/// `transaction:update`: a debit that settled late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionUpdate {
    /// The debit, with its status of now.
    pub transaction: Transaction,
}

/// Why what can be spent changed without an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BalanceReason {
    /// A hold was made.
    Held,
    /// A hold was released, or the rest of it at its capture.
    Released,
    /// A hold ran out.
    Expired,
}

/// `balance:update`: what can be spent changed without an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BalanceUpdate {
    /// What stands in the account.
    pub balance: Major,
    /// `balance` in minor units.
    pub balance_minor: Minor,
    /// What can be spent.
    pub available: Major,
    /// `available` in minor units.
    pub available_minor: Minor,
    /// What open holds set aside.
    pub held: Major,
    /// `held` in minor units.
    pub held_minor: Minor,
    /// Why.
    pub reason: BalanceReason,
    /// Which hold.
    pub hold_id: HoldId,
    /// The hold, where the server has it whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
}

/// `account:update`: the account was opened, frozen, limited or closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountUpdate {
    /// Whether the account is frozen in any direction.
    pub frozen: bool,
    /// In which direction; absent if it is not frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_scope: Option<FreezeScope>,
    /// What the account may spend.
    pub limits: Limits,
    /// Whether the account is closed.
    pub closed: bool,
}

/// What an account may spend. Null: no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The account's currency.
    pub currency: CurrencyCode,
    /// The most in one transaction, in minor units.
    pub per_transaction_minor: Option<Minor>,
    /// The most in one business day, in minor units.
    pub per_day_minor: Option<Minor>,
}
