//! What servers ask, with keys of their own that open no more than their scopes say.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::ids::{RoomId, UserId};
use domain::room::{Label, RoomClass, RoomKind};
use protocol::code::Code;
use protocol::http::KeyHeader;
use protocol::http::presence::{PresenceResponse, RoomPresenceResponse};
use protocol::http::room::RoomOffset;
use protocol::http::server::{CreateBroadcastRequest, NotifyRequest, ServerMessageRequest};
use protocol::problem::{FieldCode, Problem};
use serde::{Deserialize, Serialize};
use storage::presence::Present;
use uuid::Uuid;

use crate::app::App;
use crate::config::ConfigError;
use crate::failure::Failure;
use crate::http::answer::Answer;
use crate::http::auth::caller::bearer;
use crate::http::body::{Json, OptionalJson};
use crate::http::context::Context;
use crate::http::extract::{Id, Key, Known};
use crate::revoking;
use crate::rooms::notices::{self, Notice};
use crate::rooms::presence;
use crate::rooms::serving::{self, Saying};

/// The fewest characters of a key: 32 of base64 are 192 bits.
const SECRET_CHARS_MIN: usize = 32;

/// The keys of servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Each with what it opens. Default none.
    pub keys: Vec<ServerKeyConfig>,
}

/// The key of a server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerKeyConfig {
    /// Its name, for the log and to tell idempotency keys of two servers apart.
    pub name: String,
    /// The key: at least 32 characters.
    pub secret: String,
    /// What it opens.
    pub scopes: Vec<Scope>,
}

/// Logs get no secret.
impl std::fmt::Debug for ServerKeyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerKeyConfig({}, {:?})", self.name, self.scopes)
    }
}

/// What a server may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Make broadcasts, and say something in a room.
    Publish,
    /// Say something to a role or region.
    Broadcast,
    /// Tell one person something.
    Notify,
    /// End a person's connections.
    Disconnect,
    /// See who is online, and who is in a room.
    Presence,
}

impl ServerConfig {
    /// Whether it can be used.
    ///
    /// # Errors
    /// A name that is given twice or empty, or a key that is too short.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (at, key) in self.keys.iter().enumerate() {
            if key.name.is_empty() || self.keys.iter().take(at).any(|other| other.name == key.name) {
                return Err(ConfigError::new("`server.keys`: each key needs a `name` of its own"));
            }
            if key.secret.chars().count() < SECRET_CHARS_MIN {
                return Err(ConfigError::new(format!(
                    "`server.keys`: the secret of `{}` has fewer than {SECRET_CHARS_MIN} characters",
                    key.name
                )));
            }
        }
        Ok(())
    }

    /// The key of this secret. Hashes are compared, all of them and each in constant time: how long it takes says
    /// nothing of how much of a secret was right.
    fn key(&self, secret: &str) -> Option<&ServerKeyConfig> {
        let hash = blake3::hash(secret.as_bytes());
        self.keys.iter().fold(None, |found, key| {
            let is_it = blake3::hash(key.secret.as_bytes()) == hash;
            if is_it { Some(key) } else { found }
        })
    }
}

/// A server that proved who it is.
pub struct Server {
    name: String,
    scopes: Vec<Scope>,
    context: Arc<Context>,
}

impl FromRequestParts<Arc<App>> for Server {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Known(context) = <Known as FromRequestParts<_>>::from_request_parts(parts, app).await?;
        let secret = bearer(parts).ok_or_else(|| Failure::of(Code::Unauthenticated))?;
        let key = app.config.server.key(secret).ok_or_else(|| Failure::of(Code::TokenInvalid))?;
        Ok(Self { name: key.name.clone(), scopes: key.scopes.clone(), context })
    }
}

impl Server {
    /// Refuses what the key does not open.
    fn may(&self, scope: Scope) -> Result<(), Failure> {
        if self.scopes.contains(&scope) { Ok(()) } else { Err(Code::Forbidden.into()) }
    }

    /// An idempotency key as this server's alone.
    fn key(&self, key: &Key) -> Option<String> {
        key.text().map(|key| format!("{} {key}", self.name))
    }
}

/// Makes a room that only servers write in and anybody reads.
#[utoipa::path(post, path = "/server/rooms", tag = "server", request_body = Option<CreateBroadcastRequest>,
    params(KeyHeader), responses(
    (status = 201, description = "Made.", body = RoomOffset),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn create(
    State(app): State<Arc<App>>,
    server: Server,
    key: Key,
    OptionalJson(request): OptionalJson<CreateBroadcastRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    server.may(Scope::Publish)?;
    let class = if request.notices { RoomClass::Notice } else { RoomClass::Chat };
    serving::create(&app, server.context.operation, class, server.key(&key).as_deref()).await.map(Answer)
}

/// Says something in a room.
#[utoipa::path(post, path = "/server/rooms/{id}/messages", tag = "server", request_body = ServerMessageRequest,
    params(("id" = uuid::Uuid, Path, description = "The room."),
        KeyHeader), responses(
    (status = 201, description = "Said.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn publish(
    State(app): State<Arc<App>>,
    server: Server,
    Id(room): Id<RoomId>,
    key: Key,
    Json(request): Json<ServerMessageRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    server.may(Scope::Publish)?;
    let key = server.key(&key);
    let saying = Saying { body: &request.body, ttl_ms: request.ttl_ms, key: key.as_deref() };
    serving::publish(&app, server.context.operation, room, saying).await.map(Answer)
}

/// Says something to all who have a role.
#[utoipa::path(post, path = "/server/roles/{role}/messages", tag = "server", request_body = ServerMessageRequest,
    params(("role" = String, Path, description = "The role."),
        KeyHeader), responses(
    (status = 201, description = "Said.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn to_role(
    State(app): State<Arc<App>>,
    server: Server,
    Id(role): Id<Label>,
    key: Key,
    Json(request): Json<ServerMessageRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    broadcast(&app, &server, RoomKind::Role(role), &key, &request).await
}

/// Says something to all who are in a region.
#[utoipa::path(post, path = "/server/regions/{region}/messages", tag = "server", request_body = ServerMessageRequest,
    params(("region" = String, Path, description = "The region."),
        KeyHeader), responses(
    (status = 201, description = "Said.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn to_region(
    State(app): State<Arc<App>>,
    server: Server,
    Id(region): Id<Label>,
    key: Key,
    Json(request): Json<ServerMessageRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    broadcast(&app, &server, RoomKind::Region(region), &key, &request).await
}

async fn broadcast(
    app: &App,
    server: &Server,
    kind: RoomKind,
    key: &Key,
    request: &ServerMessageRequest,
) -> Result<Answer<RoomOffset>, Failure> {
    server.may(Scope::Broadcast)?;
    let key = server.key(key);
    let saying = Saying { body: &request.body, ttl_ms: request.ttl_ms, key: key.as_deref() };
    serving::broadcast(app, server.context.operation, kind, saying).await.map(Answer)
}

/// Tells one person something.
#[utoipa::path(post, path = "/server/users/{id}/notices", tag = "server", request_body = NotifyRequest,
    params(("id" = uuid::Uuid, Path, description = "The person."),
        KeyHeader), responses(
    (status = 201, description = "Told.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn notify(
    State(app): State<Arc<App>>,
    server: Server,
    Id(user): Id<UserId>,
    key: Key,
    Json(request): Json<NotifyRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    server.may(Scope::Notify)?;
    let within = |text: &str, least: usize, most: usize| (least..=most).contains(&text.chars().count());
    for (field, fits) in [
        ("type", within(&request.kind, 1, 32)),
        ("title", within(&request.title, 1, 128)),
        ("message", within(&request.message, 0, 1024)),
    ] {
        if !fits {
            return Err(Failure::field(field, FieldCode::TooLong, "has too few or too many characters"));
        }
    }
    if !app.people.card(user).await?.payable {
        return Err(Code::NotFound.into());
    }
    let NotifyRequest { kind, title, message } = request;
    let notice = Notice { kind, title, message };
    notices::tell(&app, server.context.operation, user, &notice, server.key(&key).as_deref()).await.map(Answer)
}

/// Ends a person's connections.
#[utoipa::path(delete, path = "/server/users/{id}/sessions", tag = "server",
    params(("id" = uuid::Uuid, Path, description = "The person.")), responses(
    (status = 204, description = "They are ended."),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn disconnect(
    State(app): State<Arc<App>>,
    server: Server,
    Id(user): Id<UserId>,
) -> Result<StatusCode, Failure> {
    server.may(Scope::Disconnect)?;
    revoking::disconnected(&app, user, None).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one of a person's connections, or all of one sign-in.
#[utoipa::path(delete, path = "/server/users/{id}/sessions/{session}", tag = "server",
    params(("id" = uuid::Uuid, Path, description = "The person."),
        ("session" = uuid::Uuid, Path, description = "The connection, or the sign-in.")), responses(
    (status = 204, description = "It is ended."),
), security(("bearer" = [])))]
pub async fn disconnect_one(
    State(app): State<Arc<App>>,
    server: Server,
    Path((user, session)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    server.may(Scope::Disconnect)?;
    let (Ok(user), Ok(session)) = (user.parse::<UserId>(), session.parse::<Uuid>()) else {
        return Err(Code::NotFound.into());
    };
    if app.sessions.close_one(user, session).await == 0 {
        let is_it = |there: &Present| there.session.0 == session || there.login.is_some_and(|login| login.0 == session);
        if !presence::sessions(&app, user).await?.iter().any(is_it) {
            return Err(Code::NotFound.into());
        }
        // It is another node's, or ends just now.
        revoking::disconnected(&app, user, Some(session)).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a person is online, and with which connections.
#[utoipa::path(get, path = "/server/users/{id}/presence", tag = "server",
    params(("id" = uuid::Uuid, Path, description = "The person.")), responses(
    (status = 200, description = "As it is now.", body = PresenceResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn user_presence(
    State(app): State<Arc<App>>,
    server: Server,
    Id(user): Id<UserId>,
) -> Result<axum::Json<PresenceResponse>, Failure> {
    server.may(Scope::Presence)?;
    presence::of_anybody(&app, user).await.map(axum::Json)
}

/// Who follows a room now.
#[utoipa::path(get, path = "/server/rooms/{id}/presence", tag = "server",
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 200, description = "As it is now.", body = RoomPresenceResponse),
    (status = 403, description = "`forbidden` or `blocked`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn room_presence(
    State(app): State<Arc<App>>,
    server: Server,
    Id(room): Id<RoomId>,
) -> Result<axum::Json<RoomPresenceResponse>, Failure> {
    server.may(Scope::Presence)?;
    presence::any_room(&app, room).await.map(axum::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str) -> ServerKeyConfig {
        ServerKeyConfig { name: name.to_owned(), secret: secret.to_owned(), scopes: vec![Scope::Notify] }
    }

    #[test]
    fn a_secret_finds_its_key_and_no_other() {
        let (one, two) = ("a".repeat(32), "b".repeat(32));
        let config = ServerConfig { keys: vec![key("one", &one), key("two", &two)] };
        config.check().unwrap();
        assert_eq!(config.key(&two).map(|key| &*key.name), Some("two"));
        for wrong in ["", "a", &"a".repeat(31), &"a".repeat(33)] {
            assert_eq!(config.key(wrong), None);
        }
        assert!(!format!("{config:?}").contains(&one), "logs get no secret");
    }

    #[test]
    fn keys_are_named_and_long() {
        let long = "a".repeat(32);
        for keys in [vec![key("", &long)], vec![key("one", &long), key("one", &long)], vec![key("one", "short")]] {
            assert!(ServerConfig { keys }.check().is_err());
        }
    }
}
