//! Why an account refuses a command.

/// The rule that a command broke. Nothing moved, and an idempotency key is as good as before.
///
/// Listed in the order in which [`decide`](crate::ledger::decide()) looks: of several rules broken,
/// the first is named. A table in the tests pins the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Refusal {
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// There is no such hold, or none that the caller may see.
    #[error("there is no such hold")]
    HoldNotFound,
    /// Only the payee captures; only payer or payee release.
    #[error("the hold is not the caller's to resolve")]
    HoldForbidden,
    /// The hold's time is over.
    #[error("the hold has expired")]
    HoldExpired,
    /// The hold was captured or released before.
    #[error("the hold is resolved")]
    HoldResolved,
    /// There is no such entry in the caller's account.
    #[error("there is no such transfer")]
    OriginalNotFound,
    /// It was no payment to the caller, or was itself a reversal.
    #[error("the transfer cannot be refunded")]
    NotRefundable,
    /// The account has ended.
    #[error("the account is closed")]
    AccountClosed,
    /// The account is frozen for this direction.
    #[error("the account is frozen")]
    AccountFrozen,
    /// The amount is zero, negative or above what one command may move.
    #[error("the amount is out of range")]
    AmountOutOfRange,
    /// Payer and payee are one account.
    #[error("payer and payee are the same")]
    PayeeIsSelf,
    /// A hold may last 1 second to 30 days.
    #[error("the hold's time is out of range")]
    ExpiryOutOfRange,
    /// More than was held.
    #[error("the capture exceeds the hold")]
    CaptureExceedsHold,
    /// More than is left to refund.
    #[error("the refund exceeds what is left of the original")]
    RefundExceedsOriginal,
    /// Above the account's limit for one transaction.
    #[error("the amount exceeds the limit of one transaction")]
    TransactionLimit,
    /// Above what is left of the account's limit for the day.
    #[error("the amount exceeds what is left of the day's limit")]
    DayLimit,
    /// The account has as many open holds as it may.
    #[error("the account has too many open holds")]
    TooManyHolds,
    /// Less is available.
    #[error("the available balance does not suffice")]
    InsufficientFunds,
    /// The balance would be larger than any may be.
    #[error("the balance would be too large")]
    BalanceLimit,
    /// The account still holds money.
    #[error("the account holds money")]
    NotEmpty,
    /// The account still has open holds.
    #[error("the account has open holds")]
    HasHolds,
    /// Transfers of the account are still on their way.
    #[error("the account has unsettled transfers")]
    HasUnsettled,
}
