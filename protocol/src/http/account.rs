//! One's own account: balance, deposit, withdraw, transfer.

use domain::money::Minor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::amount::{Amount, Major};
use crate::http::transaction::Transaction;
use crate::problem::{FieldCode, FieldError};
use crate::value::{CurrencyCode, FreezeScope};

/// The most characters a description may have.
pub const DESCRIPTION_CHARS_MAX: usize = 280;
/// The most characters a category may have.
pub const CATEGORY_CHARS_MAX: usize = 64;

/// `GET /account/balance`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalanceResponse {
    /// What stands in the account.
    pub balance: Major,
    /// `balance` in minor units.
    #[schema(value_type = i64)]
    pub balance_minor: Minor,
    /// What can be spent: `balance` less `held`.
    pub available: Major,
    /// `available` in minor units.
    #[schema(value_type = i64)]
    pub available_minor: Minor,
    /// What open holds set aside.
    pub held: Major,
    /// `held` in minor units.
    #[schema(value_type = i64)]
    pub held_minor: Minor,
    /// The account's currency.
    pub currency: CurrencyCode,
    /// Whether the account is frozen in any direction.
    pub frozen: bool,
    /// In which direction; absent if it is not frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_scope: Option<FreezeScope>,
    /// The life of the store's streams that `offset` belongs to.
    pub epoch: String,
    /// The account's stream up to which this answer reflects everything.
    pub offset: u64,
}

/// `POST /account/deposit` and `POST /account/withdraw`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FundingRequest {
    /// How much.
    pub amount: Amount,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 280)]
    pub description: Option<String>,
}

/// `POST /account/transfer`: either `to` or `recipient`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransferRequest {
    /// The payee: QuickPe id, e-mail or user id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 254)]
    pub to: Option<String>,
    /// Another name for `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 254)]
    pub recipient: Option<String>,
    /// How much.
    pub amount: Amount,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 280)]
    pub description: Option<String>,
    /// The payer's own label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub category: Option<String>,
}

impl TransferRequest {
    /// The payee as written, from whichever of the two fields has it.
    pub fn payee(&self) -> Result<&str, FieldError> {
        match (self.to.as_deref(), self.recipient.as_deref()) {
            (Some(payee), None) | (None, Some(payee)) => Ok(payee),
            (None, None) => Err(FieldError::of("to", FieldCode::Required, "is missing")),
            (Some(_), Some(_)) => {
                Err(FieldError::of("recipient", FieldCode::Conflicting, "is another name for `to`; send one of them"))
            }
        }
    }
}

/// The answer to a deposit, a withdrawal and a transfer: 201, or 202 while it is pending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionResponse {
    /// The balance as of the entry.
    pub balance: Major,
    /// `balance` in minor units.
    #[schema(value_type = i64)]
    pub balance_minor: Minor,
    /// The caller's side of what was moved.
    pub transaction: Transaction,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_has_one_payee() {
        let read = |json: &str| serde_json::from_str::<TransferRequest>(json).unwrap();
        assert_eq!(read(r#"{"to":"QP1","amount":1}"#).payee(), Ok("QP1"));
        assert_eq!(read(r#"{"recipient":"a@b","amount":"1","newer":[]}"#).payee(), Ok("a@b"));
        assert_eq!(read(r#"{"amount":1}"#).payee().unwrap_err().code, FieldCode::Required);
        assert_eq!(read(r#"{"to":"a","recipient":"a","amount":1}"#).payee().unwrap_err().code, FieldCode::Conflicting);
    }
}
