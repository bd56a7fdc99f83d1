//! What administrators do and see.

use domain::ids::UserId;
use domain::money::Minor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
}
