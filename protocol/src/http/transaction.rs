//! Transactions: one person's side of money that moved.

use domain::ids::TransferId;
use domain::money::Minor;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::amount::{Amount, Major};
use crate::http::user::Party;
use crate::value::{CurrencyCode, Time};

/// Why money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransactionKind {
    /// From outside into the account.
    Deposit,
    /// From the account to outside.
    Withdrawal,
    /// Person to person.
    Transfer,
    /// A hold that its payee took.
    Capture,
    /// Back to the payer, by the payee.
    Refund,
    /// Back to the payer, because it could not be credited.
    Return,
}

/// In or out, for whoever reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// In.
    Credit,
    /// Out.
    Debit,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransactionStatus {
    /// Debited; not known to be credited yet.
    Pending,
    /// Debited and credited.
    Completed,
    /// Debited and given back.
    Returned,
}

/// One person's side of money that moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// The same for both sides.
    #[schema(value_type = uuid::Uuid)]
    pub id: TransferId,
    /// Why it moved.
    pub kind: TransactionKind,
    /// In or out.
    #[serde(rename = "type")]
    pub direction: Direction,
    /// How far it is. Absent in the live message of a debit: without an update it completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TransactionStatus>,
    /// How much.
    pub amount: Major,
    /// `amount` in minor units.
    #[schema(value_type = i64)]
    pub amount_minor: Minor,
    /// The account's currency.
    pub currency: CurrencyCode,
    /// The balance after this entry.
    pub balance_after: Major,
    /// `balanceAfter` in minor units: the sum of the entries up to this one.
    #[schema(value_type = i64)]
    pub balance_after_minor: Minor,
    /// The entry's number in the account, dense from 1.
    pub entry: u64,
    /// The entry's offset in the account's stream.
    pub offset: u64,
    /// The other person; null for deposits and withdrawals.
    pub counterparty: Option<Party>,
    /// What for; null if nothing was said or its writer was erased.
    pub description: Option<String>,
    /// The payer's own label.
    pub category: Option<String>,
    /// When it was decided.
    pub timestamp: Time,
    /// The transfer that this one gives back, in part or whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub reverses: Option<TransferId>,
    /// How much of it was refunded, in minor units; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    pub refunded_minor: Option<Minor>,
    /// The entries it is made of, as far as the caller may see them; only where one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legs: Option<Vec<Leg>>,
}

/// One entry of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    /// In or out of that account.
    #[serde(rename = "type")]
    pub direction: Direction,
    /// How much, in minor units.
    #[schema(value_type = i64)]
    pub amount_minor: Minor,
    /// Whose account; null for the world outside.
    pub party: Option<Party>,
    /// The entry's number, in the caller's own account only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// When it was booked.
    pub timestamp: Time,
    /// The message that tells its party of it, whose timeline both may see; absent for the world outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// `GET /account/transactions`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct TransactionsQuery {
    /// A page by number, from 1; only without filters.
    #[param(minimum = 1, maximum = 4_294_967_295_u64, format = Int64)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Transactions a page, 1 to 100; 20 if absent.
    #[param(minimum = 1, maximum = 100)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before ended: its `nextCursor`.
    #[param(min_length = 1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only in, or only out.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub direction: Option<Direction>,
    /// Only of this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<TransactionStatus>,
    /// Only with this label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Only at or after this time, of 1970 or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub from: Option<Time>,
    /// Only before this time, of 1970 or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub to: Option<Time>,
}

impl TransactionsQuery {
    /// Whether anything narrows the list: then pages have no numbers and no total.
    pub const fn is_filtered(&self) -> bool {
        self.direction.is_some()
            || self.status.is_some()
            || self.category.is_some()
            || self.from.is_some()
            || self.to.is_some()
    }
}

/// A page of `GET /account/transactions`, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionsResponse {
    /// The transactions.
    pub transactions: Vec<Transaction>,
    /// What to send as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// The page's number, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Transactions a page.
    pub limit: u32,
    /// How many there are in all, if a page was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// `POST /account/transactions/{id}/refund`, by the payee.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefundRequest {
    /// How much; all that was not refunded yet if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

/// The answer to a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefundResponse {
    /// The refund, as its maker's debit.
    pub transaction: Transaction,
}
