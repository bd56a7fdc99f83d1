//! Why something that was asked from outside was not done: one type for HTTP and WebSocket.
//!
//! Owns the translation of what the ledger and the stores answer into the stable codes of the protocol. What is
//! translated is not logged here but for what a person must look at.

use std::borrow::Cow;
use std::time::Duration;

use actors::call::CommandError;
use domain::ids::TransferId;
use domain::ledger::Refusal;
use protocol::code::Code;
use protocol::frame::server::ErrorFrame;
use protocol::problem::{FieldCode, FieldError, Problem};

/// When a caller should come back if nobody said.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why something was not done, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// What happened, if there is more to say than the code's own words.
    pub message: Option<Cow<'static, str>>,
    /// What is wrong with which field.
    pub errors: Vec<FieldError>,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// The transfer whose outcome is not known.
    pub transfer: Option<TransferId>,
}

impl Failure {
    /// A failure with the code's own words, and with a time to come back if that may help.
    pub fn of(code: Code) -> Self {
        let retry_after = code.is_retryable().then_some(RETRY_AFTER);
        Self { code, message: None, errors: Vec::new(), retry_after, transfer: None }
    }

    /// The same with these words.
    #[must_use]
    pub fn saying(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The same with a time to come back.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The same about a transfer, if its outcome is what is not known.
    #[must_use]
    pub fn about(mut self, transfer: TransferId) -> Self {
        if self.code == Code::OutcomeUnknown {
            self.transfer = Some(transfer);
        }
        self
    }

    /// Fields that are missing or not valid.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::of(Code::ValidationFailed) }
    }

    /// One field that is missing or not valid.
    pub fn field(field: &'static str, code: FieldCode, message: &'static str) -> Self {
        Self::fields(vec![FieldError::of(field, code, message)])
    }

    /// When to come back, in whole milliseconds.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
    }

    /// The body of the answer to the request of this id.
    pub fn problem(&self, request_id: &str) -> Problem {
        let mut problem = Problem::of(self.code, request_id);
        if let Some(message) = &self.message {
            problem.message.clone_from(message);
        }
        problem.errors.clone_from(&self.errors);
        problem.retry_after_ms = self.retry_after_ms();
        problem.transfer_id = self.transfer;
        problem
    }

    /// The same for a WebSocket.
    pub fn frame(self) -> ErrorFrame {
        ErrorFrame {
            message: self.message.as_deref().unwrap_or(self.code.message()).into(),
            retry_after_ms: self.retry_after_ms(),
            errors: self.errors,
            transfer_id: self.transfer,
            ..ErrorFrame::of(self.code)
        }
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::of(code)
    }
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Self {
        Self::fields(vec![error])
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::KeyReused => Code::IdempotencyKeyReused.into(),
            Refusal::HoldNotFound => Code::HoldNotFound.into(),
            Refusal::HoldForbidden => Code::Forbidden.into(),
            Refusal::HoldExpired => Code::HoldExpired.into(),
            Refusal::HoldResolved => Code::HoldResolved.into(),
            Refusal::OriginalNotFound => Code::NotFound.into(),
            Refusal::NotRefundable => Code::NotRefundable.into(),
            Refusal::AccountClosed => Code::AccountClosed.into(),
            Refusal::AccountFrozen => Code::AccountFrozen.into(),
            Refusal::AmountOutOfRange => Self::field("amount", FieldCode::TooLarge, "is out of range"),
            Refusal::PayeeIsSelf => Code::PayeeIsSelf.into(),
            Refusal::ExpiryOutOfRange => {
                Self::field("expiresInMs", FieldCode::TooLarge, "must be between 1 second and 30 days")
            }
            Refusal::CaptureExceedsHold => Code::CaptureExceedsHold.into(),
            Refusal::RefundExceedsOriginal => Code::RefundExceedsOriginal.into(),
            Refusal::TransactionLimit => {
                Self::of(Code::LimitExceeded).saying("The amount is above the account's limit for one transaction.")
            }
            Refusal::DayLimit => {
                Self::of(Code::LimitExceeded).saying("The amount is above what is left of the account's limit today.")
            }
            Refusal::TooManyHolds => Code::TooManyHolds.into(),
            Refusal::InsufficientFunds => Code::InsufficientFunds.into(),
            Refusal::BalanceLimit => Code::BalanceLimit.into(),
            Refusal::NotEmpty => Self::of(Code::AccountNotEmpty).saying("The account still holds money."),
            Refusal::HasHolds => Self::of(Code::AccountNotEmpty).saying("The account still has open holds."),
            Refusal::HasUnsettled => {
                Self::of(Code::AccountNotEmpty).saying("Transfers of the account are still on their way.")
            }
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused(refusal) => refusal.into(),
            CommandError::PayeeUnavailable { retry_after } => Self::of(Code::PayeeUnavailable).retry_after(retry_after),
            CommandError::Busy { retry_after } => Self::of(Code::Busy).retry_after(retry_after),
            CommandError::Unavailable => Code::AccountUnavailable.into(),
            CommandError::ReadOnly => Code::ReadOnly.into(),
            CommandError::Unknown => Code::OutcomeUnknown.into(),
        }
    }
}

/// A store that does not keep its promise is for a person to look at, and for the caller to ask again.
impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        tracing::error!(%error, "a store failed a request");
        match error {
            storage::Error::Unavailable(_) => Code::Busy.into(),
            _ => Code::Internal.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_code() {
        for (refusal, code) in [
            (Refusal::KeyReused, Code::IdempotencyKeyReused),
            (Refusal::HoldNotFound, Code::HoldNotFound),
            (Refusal::HoldForbidden, Code::Forbidden),
            (Refusal::HoldExpired, Code::HoldExpired),
            (Refusal::HoldResolved, Code::HoldResolved),
            (Refusal::OriginalNotFound, Code::NotFound),
            (Refusal::NotRefundable, Code::NotRefundable),
            (Refusal::AccountClosed, Code::AccountClosed),
            (Refusal::AccountFrozen, Code::AccountFrozen),
            (Refusal::AmountOutOfRange, Code::ValidationFailed),
            (Refusal::PayeeIsSelf, Code::PayeeIsSelf),
            (Refusal::ExpiryOutOfRange, Code::ValidationFailed),
            (Refusal::CaptureExceedsHold, Code::CaptureExceedsHold),
            (Refusal::RefundExceedsOriginal, Code::RefundExceedsOriginal),
            (Refusal::TransactionLimit, Code::LimitExceeded),
            (Refusal::DayLimit, Code::LimitExceeded),
            (Refusal::TooManyHolds, Code::TooManyHolds),
            (Refusal::InsufficientFunds, Code::InsufficientFunds),
            (Refusal::BalanceLimit, Code::BalanceLimit),
            (Refusal::NotEmpty, Code::AccountNotEmpty),
            (Refusal::HasHolds, Code::AccountNotEmpty),
            (Refusal::HasUnsettled, Code::AccountNotEmpty),
        ] {
            let failure = Failure::from(CommandError::Refused(refusal));
            assert_eq!(failure.code, code, "{refusal:?}");
            assert_eq!(failure.retry_after, None, "{refusal:?}: asking again changes nothing");
        }
    }

    #[test]
    fn every_command_error_has_its_code_and_time() {
        let retry_after = Duration::from_millis(2_500);
        for (error, code, after_ms) in [
            (CommandError::PayeeUnavailable { retry_after }, Code::PayeeUnavailable, 2_500),
            (CommandError::Busy { retry_after }, Code::Busy, 2_500),
            (CommandError::Unavailable, Code::AccountUnavailable, 1_000),
            (CommandError::ReadOnly, Code::ReadOnly, 1_000),
            (CommandError::Unknown, Code::OutcomeUnknown, 1_000),
        ] {
            let failure = Failure::from(error);
            assert_eq!((failure.code, failure.retry_after_ms()), (code, Some(after_ms)), "{error:?}");
        }
    }

    #[test]
    fn only_an_unknown_outcome_names_its_transfer() {
        let transfer = TransferId(uuid::Uuid::from_u128(8));
        assert_eq!(Failure::of(Code::OutcomeUnknown).about(transfer).problem("r").transfer_id, Some(transfer));
        assert_eq!(Failure::of(Code::Busy).about(transfer).problem("r").transfer_id, None);
    }

    #[test]
    fn a_problem_has_the_failures_words_and_the_requests_id() {
        let failure = Failure::field("amount", FieldCode::NotPositive, "must be more than zero").saying("No.");
        let problem = failure.problem("abc");
        assert_eq!((problem.status, &*problem.message, &*problem.request_id), (400, "No.", "abc"));
        assert_eq!(problem.errors[0].field, "amount");
    }
}
