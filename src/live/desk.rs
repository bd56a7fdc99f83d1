//! What sessions need of the node: tokens, and the commands that HTTP has as well.

use std::sync::Arc;

use actors::session::{Calling, Desk, Rights};
use async_trait::async_trait;
use domain::ids::OperationId;
use domain::ledger::{By, Origin, Principal, Trace, Via};
use protocol::code::Code;
use protocol::frame::client::{Call, Method};
use protocol::frame::server::ErrorFrame;
use protocol::json::Json;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::check;
use crate::http::body;
use crate::trace;
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
        self.done(calling, &call).await.map_err(|failure| Box::new(failure.frame()))
    }
}

impl AppDesk {
    async fn done(&self, calling: Calling, call: &Call) -> Result<Json, Failure> {
        let app = &self.0;
        let caller = self.caller(calling, call.traceparent.as_deref().and_then(trace::read)).await?;
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
    async fn caller(&self, calling: Calling, trace: Option<Trace>) -> Result<Caller, Failure> {
        let Calling { rights, session, device } = calling;
        let person = self.0.identity.person(rights.user).await.map_err(|error| {
            tracing::error!(%error, "a caller cannot be read");
            Failure::of(Code::Busy)
        })?;
        let user = person.and_then(storage::identity::Person::live).ok_or_else(|| Failure::of(Code::TokenInvalid))?;
        let by = By { principal: Principal::Person(rights.user), session: Some(session), device, via: Via::WebSocket };
        let origin = Origin { operation: OperationId(Uuid::new_v4()), by, trace };
        Ok(Caller { user: rights.user, role: user.role, login: rights.login, expires_at: rights.expires_at, origin })
    }
}

/// What the call is about, read as the body of its HTTP request is; nothing is an empty object.
fn params<T: DeserializeOwned>(call: &Call) -> Result<T, Failure> {
    body::parse(call.params.as_ref().map_or("{}", Json::get).as_bytes())
}

fn result<T: Serialize>(body: &T) -> Result<Json, Failure> {
    Json::of(body).map_err(|error| {
        tracing::error!(%error, "an answer cannot be encoded");
        Failure::of(Code::Internal)
    })
}
