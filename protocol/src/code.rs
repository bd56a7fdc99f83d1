//! Every error a client can meet, by its stable code.
//!
//! One list for HTTP problems and for WebSocket `error` frames. A code, once published, keeps its
//! meaning; a new refusal gets a new code. `docs/protocol.md` has a paragraph on each.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Declares the codes: variant, code, HTTP status, title, default message.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $title:literal, $message:literal;)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, by status and topic.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status of a problem with this code.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What kind of problem it is, in a few words; the same at every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What to tell the caller if there is nothing more precise to say.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }
        }
    };
}

codes! {
    // 400: the request cannot be understood.
    /// Not JSON, or not of this shape.
    Malformed = "malformed", 400, "Malformed request", "The request is not valid JSON of the expected shape.";
    /// Understood, but fields are missing or out of range; they are listed.
    ValidationFailed = "validation_failed", 400, "Invalid fields", "Some fields are missing or not valid.";
    /// No `Idempotency-Key` where one is needed.
    IdempotencyKeyRequired = "idempotency_key_required", 400, "Idempotency key required", "This request moves money and needs an Idempotency-Key.";
    /// An `Idempotency-Key` that is not 1 to 128 visible ASCII characters.
    IdempotencyKeyInvalid = "idempotency_key_invalid", 400, "Idempotency key not valid", "An Idempotency-Key is 1 to 128 visible ASCII characters.";
    /// `page` together with a filter.
    PageWithFilter = "page_with_filter", 400, "Page with a filter", "Pages are numbered only without filters. Use cursor.";
    /// A cursor that this list did not give.
    CursorInvalid = "cursor_invalid", 400, "Cursor not valid", "The cursor is not one that this list gave.";
    /// A frame of a type that nobody knows.
    FrameUnknown = "frame_unknown", 400, "Unknown frame", "There is no frame of this type.";
    /// A `call` of a method that nobody knows.
    MethodUnknown = "method_unknown", 400, "Unknown method", "There is no method of this name.";
    /// Something else before `hello`. The reason of a close, never an answer.
    HelloExpected = "hello_expected", 400, "Hello expected", "The first frame is hello, alone.";
    /// A WebSocket client that speaks subprotocols, and none of ours.
    SubprotocolUnknown = "subprotocol_unknown", 400, "Unknown subprotocol", "The subprotocol spoken here is quickpe.v1.";

    // 401: who are you?
    /// No token.
    Unauthenticated = "unauthenticated", 401, "Sign in first", "This needs an access token.";
    /// A token that ran out.
    TokenExpired = "token_expired", 401, "Token expired", "The token has expired. Refresh it.";
    /// A token that was not made here, was changed, or belongs to a login that ended.
    TokenInvalid = "token_invalid", 401, "Token not valid", "The token is not valid.";
    /// A refresh token used a second time: the login was ended.
    TokenReused = "token_reused", 401, "Refresh token reused", "This refresh token was used before. The login was ended; sign in again.";
    /// Unknown e-mail or wrong password.
    BadCredentials = "bad_credentials", 401, "Wrong e-mail or password", "The e-mail or the password is wrong.";

    // 403: not yours to do.
    /// The caller may not do this.
    Forbidden = "forbidden", 403, "Not allowed", "You may not do this.";
    /// People may not deposit themselves here.
    FundingDisabled = "funding_disabled", 403, "Self-service funding is off", "Deposits are made by the treasury here.";
    /// The caller is not in the room.
    NotAMember = "not_a_member", 403, "Not a member", "You are not a member of this room.";
    /// The caller may not write in the room for a while.
    Muted = "muted", 403, "Muted", "You may not write here for a while.";
    /// The other person wants to hear no more of the caller.
    Blocked = "blocked", 403, "Blocked", "This person does not want to hear from you.";
    /// The origin of a WebSocket is not one of ours.
    OriginForbidden = "origin_forbidden", 403, "Origin not allowed", "This origin may not connect.";

    // 404, 405: not there.
    /// Nothing here, or nothing the caller may see.
    NotFound = "not_found", 404, "Not found", "There is no such thing, or you may not see it.";
    /// No such payee.
    PayeeNotFound = "payee_not_found", 404, "Payee not found", "Nobody has this QuickPe id, e-mail or user id.";
    /// No such hold.
    HoldNotFound = "hold_not_found", 404, "Hold not found", "There is no such hold, or you are no party to it.";
    /// A stream that does not exist, or not for this caller.
    StreamUnknown = "stream_unknown", 404, "Unknown stream", "There is no such stream, or you may not follow it.";
    /// A route without this method.
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed", "This route has no such method.";

    // 409: the state of things is against it.
    /// Somebody has this e-mail.
    EmailTaken = "email_taken", 409, "E-mail taken", "There is a user with this e-mail.";
    /// The account is closed.
    AccountClosed = "account_closed", 409, "Account closed", "The account is closed.";
    /// An account that still holds money, holds or unsettled transfers cannot be closed.
    AccountNotEmpty = "account_not_empty", 409, "Account not empty", "The account holds money, open holds or unsettled transfers.";
    /// The hold was captured or released before.
    HoldResolved = "hold_resolved", 409, "Hold already resolved", "The hold was captured or released before.";
    /// The hold ran out.
    HoldExpired = "hold_expired", 409, "Hold expired", "The hold has expired.";
    /// The room is closed.
    RoomClosed = "room_closed", 409, "Room closed", "The room is closed: it can be read and not written.";
    /// The message was deleted.
    MessageDeleted = "message_deleted", 409, "Message deleted", "The message was deleted.";
    /// Somebody else changed it meanwhile.
    Conflict = "conflict", 409, "Changed meanwhile", "It was changed meanwhile. Read it again.";
    /// A dead letter that is resolved in another way.
    NotRedrivable = "not_redrivable", 409, "Cannot be redriven", "This dead letter is resolved in another way, or was resolved already.";

    // 413, 415: not like this.
    /// A body, frame or field over its limit.
    TooLarge = "too_large", 413, "Too large", "The request is larger than allowed.";
    /// Not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", 415, "Unsupported media type", "Send application/json.";

    // 422: understood, and refused by a rule.
    /// Less available than the command needs.
    InsufficientFunds = "insufficient_funds", 422, "Insufficient funds", "The available balance is less than the amount.";
    /// Above the limit of one transfer or of the business day.
    LimitExceeded = "limit_exceeded", 422, "Limit exceeded", "The amount is above the limit of a transfer or of the day.";
    /// The account would hold more than an account may.
    BalanceLimit = "balance_limit", 422, "Balance limit", "The account would hold more than an account may.";
    /// The account is frozen in this direction.
    AccountFrozen = "account_frozen", 422, "Account frozen", "The account is frozen.";
    /// The same key came with another body before.
    IdempotencyKeyReused = "idempotency_key_reused", 422, "Idempotency key reused", "This Idempotency-Key was used with another request.";
    /// Paying oneself.
    PayeeIsSelf = "payee_is_self", 422, "Payee is yourself", "You cannot pay yourself.";
    /// More open holds than an account may have.
    TooManyHolds = "too_many_holds", 422, "Too many holds", "The account has as many open holds as it may have.";
    /// A capture above the hold.
    CaptureExceedsHold = "capture_exceeds_hold", 422, "Capture exceeds the hold", "The amount is more than the hold.";
    /// Refunds above the original.
    RefundExceedsOriginal = "refund_exceeds_original", 422, "Refund exceeds the original", "Refunds would be more than the original amount.";
    /// Deposits, withdrawals, refunds, returns and unsettled transfers cannot be refunded.
    NotRefundable = "not_refundable", 422, "Not refundable", "This transaction cannot be refunded.";
    /// Rooms of this kind know no such command.
    RoomKind = "room_kind", 422, "Another kind of room", "Rooms of this kind know no such command.";
    /// The room has as many members as it may have.
    RoomFull = "room_full", 422, "Room full", "The room has as many members as it may have.";
    /// The connection follows as many streams as it may.
    TooManyStreams = "too_many_streams", 422, "Too many streams", "This connection follows as many streams as it may.";

    // 426: not in this protocol.
    /// The address of the WebSocket, without a handshake of its version 13.
    UpgradeRequired = "upgrade_required", 426, "Upgrade required", "WebSocket is spoken here, version 13.";

    // 429: too much.
    /// Too many requests.
    RateLimited = "rate_limited", 429, "Too many requests", "Too many requests. Come back later.";
    /// Too many sign-ins that failed.
    SignInLocked = "sign_in_locked", 429, "Too many failed sign-ins", "Too many failed sign-ins of this account. Come back later.";

    // 500, 503: our fault.
    /// A fault of the server; nothing was moved unless it says so.
    Internal = "internal", 500, "Internal error", "Something went wrong here. The request id finds it in the logs.";
    /// The command may or may not have happened; the same key tells the truth later.
    OutcomeUnknown = "outcome_unknown", 503, "Outcome unknown", "Whether this happened is not known yet. Ask again with the same key.";
    /// At a limit: nothing was done.
    Busy = "busy", 503, "Busy", "The node is at its limit. Nothing was done; come back later.";
    /// An address holds as many connections as it may.
    TooManyConnections = "too_many_connections", 503, "Too many connections", "This address holds as many connections as it may.";
    /// The payee's side does not take transfers now: nothing was done.
    PayeeUnavailable = "payee_unavailable", 503, "Payee unavailable", "The payee's side is behind. Nothing was done; come back later.";
    /// The account is quarantined until an operator has looked at it.
    AccountUnavailable = "account_unavailable", 503, "Account unavailable", "The account is out of service until an operator has looked at it.";
    /// The room is quarantined until an operator has looked at it.
    RoomUnavailable = "room_unavailable", 503, "Room unavailable", "The room is out of service until an operator has looked at it.";
    /// The node writes nothing, for want of disk space.
    ReadOnly = "read_only", 503, "Read only", "The node takes no writes now.";
    /// The node is stopping.
    Draining = "draining", 503, "Draining", "The node is stopping. Go to another, or come back.";
}

impl Code {
    /// The code of this text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// Whether the same request may succeed later without any change by the caller.
    pub const fn is_retryable(self) -> bool {
        matches!(self.status(), 429 | 503)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| serde::de::Error::custom("is not a known code"))
    }
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .description(Some("Stable; `docs/protocol.md` explains each."))
            .into()
    }
}

impl ToSchema for Code {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_snake_case_and_read_back() {
        let mut seen = HashSet::new();
        for &code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code} twice");
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
            assert!((400..600).contains(&code.status()), "{code}");
            assert!(!code.title().is_empty() && code.message().ends_with('.'), "{code}");
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), code);
        }
        assert_eq!(Code::from_text("no_such_code"), None);
    }

    #[test]
    fn codes_stand_by_status() {
        assert!(Code::ALL.is_sorted_by_key(|code| code.status()));
    }
}
