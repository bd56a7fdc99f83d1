//! What sessions need of the node: tokens, and the commands that HTTP has as well.

use std::sync::Arc;

use actors::session::{Calling, Desk, Published, Rights};
use async_trait::async_trait;
use domain::ids::OperationId;
use domain::ledger::{By, Origin, Principal, Via};
use protocol::code::Code;
use protocol::frame::client::{Call, Method, Publish};
use protocol::frame::server::ErrorFrame;
use protocol::json::Json;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::check;
use crate::rooms::talking;
use crate::wallet::{self, Caller};

/// A node's own.
pub(super) struct AppDesk(pub(super) Arc<App>);

#[async_trait]
impl Desk for AppDesk {
    async fn rights(&self, token: &str) -> Result<Rights, Code> {
        let granted = check(&self.0, token).await.map_err(|failure| failure.code)?;
        Ok(Rights {
            user: granted.user,
            account: self.0.account_of(granted.user),
            login: granted.login,
            expires_at: granted.expires_at,
        })
    }

    async fn call(&self, calling: Calling, call: Call) -> Result<Json, Box<ErrorFrame>> {
        self.done(calling, &call).await.map_err(|failure| refused(&failure))
    }

    async fn publish(&self, calling: Calling, publish: Publish) -> Result<Published, Box<ErrorFrame>> {
        let handed = async {
            let caller = self.caller(calling).await?;
            let room = talking::room_of(&publish.room)?;
            talking::hand(&self.0, &caller, room, &publish.body, publish.ttl_ms, Some(&publish.key)).await
        };
        let handed = handed.await.map_err(|failure| refused(&failure))?;
        Ok(Box::pin(async move {
            let done = handed.await.map_err(|failure| refused(&failure))?;
            result(&done.body).map_err(|failure| refused(&failure))
        }))
    }
}

/// A failure as a frame.
fn refused(failure: &Failure) -> Box<ErrorFrame> {
    Box::new(ErrorFrame {
        id: None,
        stream: None,
        code: failure.code,
        message: failure.message.as_deref().unwrap_or(failure.code.message()).into(),
        retry_after_ms: failure.retry_after_ms(),
    })
}

impl AppDesk {
    async fn done(&self, calling: Calling, call: &Call) -> Result<Json, Failure> {
        let app = &self.0;
        let caller = self.caller(calling).await?;
        let key = call.key.as_deref();
        match call.method {
            Method::Balance => result(&wallet::balance::balance(app, &caller).await?),
            Method::Deposit => result(&wallet::funding::deposit(app, &caller, &params(call)?, key).await?.body),
            Method::Withdraw => result(&wallet::funding::withdraw(app, &caller, &params(call)?, key).await?.body),
            Method::Transfer => result(&wallet::transfer::transfer(app, &caller, &params(call)?, key).await?.body),
            Method::Transactions => result(&wallet::statement::statement(app, &caller, &params(call)?).await?),
        }
    }

    /// Who calls. Their role is read anew: a session may live longer than it.
    async fn caller(&self, calling: Calling) -> Result<Caller, Failure> {
        let Calling { rights, session, device } = calling;
        let person = self.0.identity.person(rights.user).await.map_err(|error| {
            tracing::error!(%error, "a caller cannot be read");
            Failure::of(Code::Busy)
        })?;
        let user = person.and_then(storage::identity::Person::live).ok_or_else(|| Failure::of(Code::TokenInvalid))?;
        let by = By { principal: Principal::Person(rights.user), session: Some(session), device, via: Via::WebSocket };
        let origin = Origin { operation: OperationId(Uuid::new_v4()), by, trace: None };
        Ok(Caller { user: rights.user, role: user.role, login: rights.login, expires_at: rights.expires_at, origin })
    }
}

/// What the call is about; nothing is an empty object.
fn params<T: DeserializeOwned>(call: &Call) -> Result<T, Failure> {
    let text = call.params.as_ref().map_or("{}", Json::get);
    serde_json::from_str(text).map_err(|error| Failure::of(Code::Malformed).saying(format!("params: {error}")))
}

fn result<T: Serialize>(body: &T) -> Result<Json, Failure> {
    Json::of(body).map_err(|error| {
        tracing::error!(%error, "an answer cannot be encoded");
        Failure::of(Code::Internal)
    })
}
