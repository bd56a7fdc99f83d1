//! One attempt at a command, over HTTP or over a WebSocket, and what it tells.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use protocol::amount::Amount;
use protocol::code::Code;
use protocol::frame::Method;
use protocol::http::account::{FundingRequest, TransactionResponse, TransferRequest};
use protocol::http::admin::FreezeRequest;
use protocol::http::hold::{CaptureRequest, CaptureResponse, HoldRequest, HoldResponse, ReleaseResponse};
use protocol::http::transaction::{RefundRequest, RefundResponse, Transaction};
use protocol::json::Json;
use protocol::value::FreezeScope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::history::{Acknowledged, Kind};
use crate::http::{Answer, Ask, Client};
use crate::socket::Socket;

/// A command as it is sent, the same at every attempt.
pub(crate) struct Command {
    /// What to do.
    pub(crate) kind: Kind,
    /// How much.
    pub(crate) amount: Amount,
    /// To whom: a handle, or for a freeze the user's id.
    pub(crate) payee: String,
    /// For a hold that is to run out soon.
    pub(crate) expires_in: Option<Duration>,
    /// The idempotency key, and the description where there is one.
    pub(crate) tag: String,
}

/// What an attempt told.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It happened.
    Done {
        /// What the answer says.
        answer: Acknowledged,
        /// Whether the answer is marked as one that was given before; None where nobody promised a mark.
        replayed: Option<bool>,
    },
    /// It did not, and will not under this key.
    Refused(String),
    /// Not known, or not now: ask again, after this long if the server said so.
    Again(Option<Duration>),
    /// The token has ended.
    SignIn,
    /// What came is not of the protocol.
    Foreign(String),
}

impl Command {
    /// The method of a WebSocket call that does it, if there is one.
    pub(crate) fn method(&self) -> Option<Method> {
        match self.kind {
            Kind::Deposit => Some(Method::Deposit),
            Kind::Withdraw => Some(Method::Withdraw),
            Kind::Transfer(_) => Some(Method::Transfer),
            _ => None,
        }
    }

    /// Whether its answer is marked when it is given again.
    fn moves_money(&self) -> bool {
        !matches!(self.kind, Kind::Hold(_) | Kind::Release(_) | Kind::Freeze(_) | Kind::Unfreeze(_))
    }

    fn path(&self) -> String {
        match self.kind {
            Kind::Deposit => "/api/v1/account/deposit".into(),
            Kind::Withdraw => "/api/v1/account/withdraw".into(),
            Kind::Transfer(_) => "/api/v1/account/transfer".into(),
            Kind::Hold(_) => "/api/v1/account/holds".into(),
            Kind::Capture(hold) => format!("/api/v1/account/holds/{hold}/capture"),
            Kind::Release(hold) => format!("/api/v1/account/holds/{hold}/release"),
            Kind::Refund(transfer) => format!("/api/v1/account/transactions/{transfer}/refund"),
            Kind::Freeze(_) => format!("/api/v1/admin/accounts/{}/freeze", self.payee),
            Kind::Unfreeze(_) => format!("/api/v1/admin/accounts/{}/unfreeze", self.payee),
        }
    }

    fn body(&self) -> serde_json::Result<String> {
        let amount = self.amount.clone();
        let description = Some(self.tag.clone());
        match self.kind {
            Kind::Deposit | Kind::Withdraw => json(&FundingRequest { amount, description }),
            Kind::Transfer(_) => {
                let to = Some(self.payee.clone());
                json(&TransferRequest { to, recipient: None, amount, description, category: None })
            }
            Kind::Hold(_) => {
                let to = self.payee.clone();
                let expires_in_ms = self.expires_in.and_then(|lasts| u64::try_from(lasts.as_millis()).ok());
                json(&HoldRequest { to, amount, expires_in_ms, description })
            }
            Kind::Capture(_) => json(&CaptureRequest { amount: Some(amount) }),
            Kind::Refund(_) => json(&RefundRequest { amount: Some(amount) }),
            Kind::Release(_) => Ok("{}".into()),
            Kind::Freeze(_) | Kind::Unfreeze(_) => {
                json(&FreezeRequest { scope: FreezeScope::Debit, reason: self.tag.clone() })
            }
        }
    }

    /// What a success says.
    fn acknowledged(&self, body: &[u8]) -> serde_json::Result<Acknowledged> {
        Ok(match self.kind {
            Kind::Deposit | Kind::Withdraw | Kind::Transfer(_) => {
                let body: TransactionResponse = read(body)?;
                Acknowledged { balance: Some(body.balance_minor.get()), ..booked(&body.transaction) }
            }
            Kind::Refund(_) => booked(&read::<RefundResponse>(body)?.transaction),
            Kind::Hold(_) => bare(read::<HoldResponse>(body)?.hold.id.0),
            Kind::Release(_) => bare(read::<ReleaseResponse>(body)?.hold.id.0),
            Kind::Capture(_) => {
                let body: CaptureResponse = read(body)?;
                body.transaction.as_ref().map_or_else(|| bare(body.transfer_id.0), booked)
            }
            Kind::Freeze(_) | Kind::Unfreeze(_) => bare(uuid::Uuid::nil()),
        })
    }
}

fn json<T: Serialize>(body: &T) -> serde_json::Result<String> {
    serde_json::to_string(body)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(body)
}

fn booked(transaction: &Transaction) -> Acknowledged {
    Acknowledged {
        id: transaction.id.0,
        entry: Some((transaction.entry, transaction.offset)),
        balance: Some(transaction.balance_after_minor.get()),
    }
}

fn bare(id: uuid::Uuid) -> Acknowledged {
    Acknowledged { id, entry: None, balance: None }
}

/// Tries over HTTP.
pub(crate) async fn by_http(client: &mut Client, token: &str, command: &Command) -> Attempt {
    let body = match command.body() {
        Ok(body) => Bytes::from(body),
        Err(error) => return Attempt::Foreign(error.to_string()),
    };
    let path = command.path();
    let ask =
        Ask { method: http::Method::POST, path: &path, token: Some(token), key: Some(&command.tag), body: Some(body) };
    match client.ask(ask).await {
        Ok(answer) => told(command, &answer),
        Err(_) => Attempt::Again(None),
    }
}

fn told(command: &Command, answer: &Answer) -> Attempt {
    let foreign = |error: &dyn std::fmt::Display| {
        let body: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
        Attempt::Foreign(format!("{} answered {}: {error}: {body}", command.path(), answer.status))
    };
    match answer.status {
        StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED => match command.acknowledged(&answer.body) {
            Ok(acknowledged) => {
                let replayed = command.moves_money().then_some(answer.replayed);
                Attempt::Done { answer: acknowledged, replayed }
            }
            Err(error) => foreign(&error),
        },
        status => match answer.problem() {
            Some(problem) if problem.status == status.as_u16() => refused(problem.code, problem.retry_after_ms),
            Some(_) => foreign(&"the problem has another status"),
            None => foreign(&"no problem"),
        },
    }
}

/// Tries over a WebSocket. The second answer: whether the session can be used again.
pub(crate) async fn by_socket(socket: &mut Socket, command: &Command, patience: Duration) -> (Attempt, bool) {
    let params = command.body().and_then(Json::from_text);
    let (Some(method), Ok(params)) = (command.method(), params) else {
        return (Attempt::Foreign(format!("{} cannot be called", command.path())), true);
    };
    match timeout(patience, socket.call(method, Some(params), Some(&command.tag))).await {
        Ok(Ok(Ok(result))) => match command.acknowledged(result.get().as_bytes()) {
            Ok(answer) => (Attempt::Done { answer, replayed: None }, true),
            Err(error) => (Attempt::Foreign(format!("{}: {error}: {}", method.as_str(), result.get())), true),
        },
        Ok(Ok(Err(error))) => (refused(error.code, error.retry_after_ms), true),
        Ok(Err(_)) | Err(_) => (Attempt::Again(None), false),
    }
}

fn refused(code: Code, retry_after_ms: Option<u64>) -> Attempt {
    match code.status() {
        401 => Attempt::SignIn,
        // A fault of the server tells nothing: the key will.
        429 | 500.. => Attempt::Again(retry_after_ms.map(Duration::from_millis)),
        _ => Attempt::Refused(code.as_str().into()),
    }
}
