//! Holds: money set aside for a payee.

use domain::ids::{HoldId, TransferId};
use domain::money::Minor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::amount::{Amount, Major};
use crate::http::transaction::Transaction;
use crate::http::user::Party;
use crate::value::{CurrencyCode, Time};

/// How far a hold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HoldStatus {
    /// Set aside.
    Held,
    /// Taken by the payee, in part or whole; the rest was released.
    Captured,
    /// Given up by payer or payee.
    Released,
    /// Ran out.
    Expired,
}

/// Money set aside for a payee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// The id.
    #[schema(value_type = uuid::Uuid)]
    pub id: HoldId,
    /// How far it is.
    pub status: HoldStatus,
    /// How much was set aside.
    pub amount: Major,
    /// `amount` in minor units.
    #[schema(value_type = i64)]
    pub amount_minor: Minor,
    /// How much the payee took, in minor units.
    #[schema(value_type = i64)]
    pub captured_minor: Minor,
    /// The account's currency.
    pub currency: CurrencyCode,
    /// Whose money it is.
    pub payer: Party,
    /// Who may take it.
    pub payee: Party,
    /// When it runs out.
    pub expires_at: Time,
    /// What for; null if nothing was said or its writer was erased.
    pub description: Option<String>,
}

/// `POST /account/holds`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldRequest {
    /// The payee: QuickPe id, e-mail or user id.
    #[schema(max_length = 254)]
    pub to: String,
    /// How much.
    pub amount: Amount,
    /// How long, in milliseconds: 1 second to 30 days; 7 days if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1_000, maximum = 2_592_000_000_u64)]
    pub expires_in_ms: Option<u64>,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 280)]
    pub description: Option<String>,
}

/// The answer to `POST /account/holds`: the hold and what it leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldResponse {
    /// The hold.
    pub hold: Hold,
    /// What stands in the account.
    pub balance: Major,
    /// `balance` in minor units.
    #[schema(value_type = i64)]
    pub balance_minor: Minor,
    /// What can be spent.
    pub available: Major,
    /// `available` in minor units.
    #[schema(value_type = i64)]
    pub available_minor: Minor,
    /// What open holds set aside.
    pub held: Major,
    /// `held` in minor units.
    #[schema(value_type = i64)]
    pub held_minor: Minor,
}

/// `POST /account/holds/{id}/capture`, by the payee.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaptureRequest {
    /// How much; all of it if absent. The rest is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

/// The answer to a capture: 201, or 202 while the credit is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaptureResponse {
    /// The hold, resolved.
    pub hold: Hold,
    /// The id of the transfer that the capture made.
    #[schema(value_type = uuid::Uuid)]
    pub transfer_id: TransferId,
    /// What the payee got: the caller's credit; null while it is on its way.
    pub transaction: Option<Transaction>,
}

/// The answer to `POST /account/holds/{id}/release`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseResponse {
    /// The hold, resolved.
    pub hold: Hold,
}
