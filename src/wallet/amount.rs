//! Amounts of requests, read exactly.

use domain::money::{Currency, Minor};
use protocol::amount::Amount;
use protocol::problem::FieldError;

use crate::failure::Failure;

/// The amount of a request.
///
/// # Errors
/// It is no amount in the account's currency, or not more than zero.
pub fn parse(amount: &Amount, currency: Currency) -> Result<Minor, Failure> {
    amount.parse(currency).map_err(|refused| FieldError::of("amount", refused.code(), refused.to_string()).into())
}

/// The amount of a request that may leave it out.
///
/// # Errors
/// As [`parse`].
pub fn parse_optional(amount: Option<&Amount>, currency: Currency) -> Result<Option<Minor>, Failure> {
    amount.map(|amount| parse(amount, currency)).transpose()
}
