//! What sessions need of the node: tokens, and the commands that HTTP has as well.

use std::sync::Arc;

use actors::outbox::frame;
use actors::session::{Answering, Calling, Desk, Rights};
use actors::streams::Streams;
use async_trait::async_trait;
use domain::ids::OperationId;
use domain::ledger::{By, Origin, Principal, Trace, Via};
use protocol::code::Code;
use protocol::frame::client::{Call, Method, Publish, Published, Signal};
use protocol::frame::server::{ErrorFrame, SignalFrame};
use protocol::frame::{ServerFrame, StreamName};
use protocol::json::Json;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::check;
use crate::http::body;
use crate::rooms::talking;
use crate::trace;
use crate::wallet::{self, Caller};

/// A node's own.
pub(super) struct AppDesk {
    pub(super) app: Arc<App>,
    pub(super) streams: Arc<Streams>,
}

#[async_trait]
impl Desk for AppDesk {
    async fn rights(&self, token: &str) -> Result<Rights, Code> {
        let granted = check(&self.app, token).await.map_err(|failure| failure.code)?;
        Ok(Rights {
            user: granted.user,
            account: self.app.account_of(granted.user),
            login: granted.login,
            expires_at: granted.expires_at,
        })
    }

    async fn call(&self, calling: Calling, call: Call) -> Result<Json, Box<ErrorFrame>> {
        self.done(calling, &call).await.map_err(|failure| Box::new(failure.frame()))
    }

    async fn publish(&self, calling: Calling, publish: Publish) -> Answering {
        match self.handed(calling, publish).await {
            Ok(outcome) => Box::pin(async move {
                let published = outcome.await.and_then(|published| result(&published));
                published.map_err(|failure| Box::new(failure.frame()))
            }),
            Err(failure) => Box::pin(std::future::ready(Err(Box::new(failure.frame())))),
        }
    }

    async fn signal(&self, calling: Calling, signal: Signal) -> Result<(), Code> {
        let Signal { room, kind, data } = signal;
        let busy = |error: storage::Error| {
            tracing::warn!(%error, "who signals cannot be read");
            Code::Busy
        };
        let user = calling.rights.user;
        let state = self.app.chat.state(room).await.map_err(busy)?;
        let profile = state.profile.as_ref().ok_or(Code::NotFound)?;
        if !profile.kind.is_of_people() || !profile.has(user) {
            return Err(Code::Forbidden);
        }
        let from = self.app.people.party(user).await.map_err(busy)?;
        let stream = StreamName::Room(room.to_string().into());
        let signal = ServerFrame::Signal(SignalFrame { stream, from, kind, data });
        self.streams.signal(room.0, &frame::text(&signal.encode())).await;
        Ok(())
    }
}

impl AppDesk {
    async fn done(&self, calling: Calling, call: &Call) -> Result<Json, Failure> {
        let app = &self.app;
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

    async fn handed(
        &self,
        calling: Calling,
        said: Publish,
    ) -> Result<impl Future<Output = Result<Published, Failure>> + Send + use<>, Failure> {
        let caller = self.caller(calling, None).await?;
        let (body, key) = (&said.body, said.key.as_deref());
        let outcome = talking::hand(&self.app, &caller, said.room, body, said.ttl_ms, key).await?;
        Ok(async move {
            let done = outcome.await?;
            Ok(Published { offset: done.body.offset, replayed: done.replayed })
        })
    }

    /// Who calls. Their role is as it is now: a session may live longer than it.
    async fn caller(&self, calling: Calling, trace: Option<Trace>) -> Result<Caller, Failure> {
        let Calling { rights, session, device } = calling;
        let card = self.app.people.card(rights.user).await.map_err(|error| {
            tracing::error!(%error, "a caller cannot be read");
            Failure::of(Code::Busy)
        })?;
        let standing = card.standing.ok_or_else(|| Failure::of(Code::TokenInvalid))?;
        let by = By { principal: Principal::Person(rights.user), session: Some(session), device, via: Via::WebSocket };
        let origin = Origin { operation: OperationId(Uuid::new_v4()), by, trace };
        let Rights { user: id, login, expires_at, .. } = rights;
        Ok(Caller { user: id, role: standing.role, region: standing.region, login, expires_at, origin })
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
