//! The handshake: who may turn a request into a WebSocket connection, and how the socket comes back from HTTP.
//!
//! The handshake's crate computes the answer and checks the key and the version only; the rest of RFC 6455, 4.2 is
//! checked here. Cross-site pages are kept out by `Origin`: a browser sends it truthfully and lets any page connect
//! anywhere. A client that offers subprotocols must offer ours; one that offers none is taken to speak it, because
//! many simple clients cannot offer any, and the first frame tells anyway.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    ALLOW, CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    USER_AGENT,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fastwebsockets::upgrade::{IncomingUpgrade, UpgradeFut};
use hyper_util::rt::TokioIo;
use metrics::counter;
use protocol::code::Code;
use tokio::net::TcpStream;

use super::connection;
use super::door::{Client, Door};
use super::{WebSocketConfig, WebSockets};
use crate::edge::client_address::{ForwardedHeader, TrustedProxies};
use crate::edge::gate::{self, AddressPermit, Permit};
use crate::edge::listener::PeerAddr;
use crate::edge::metrics::HANDSHAKES_REFUSED;
use crate::edge::request_id;
use crate::failure::Failure;
use crate::http::problem;
use crate::trace;

/// The subprotocol spoken here.
pub const SUBPROTOCOL: &str = "quickpe.v1";

/// When who finds no place should come back at the earliest: nodes are stopped and connections are closed in seconds.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What is kept of a `User-Agent` and a `traceparent`.
const CLIENT_TEXT_BYTES_MAX: usize = 256;

/// Whose word on a client's address is taken.
pub(super) struct ProxyTrust {
    pub(super) proxies: TrustedProxies,
    pub(super) header: ForwardedHeader,
}

/// Why a handshake is refused, in the order it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Stopping,
    Method,
    NoUpgrade,
    Version,
    Key,
    Origin,
    Subprotocol,
    Address,
    Unsupported,
}

impl Refused {
    /// A stable name, for metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Method => "method",
            Self::NoUpgrade => "no_upgrade",
            Self::Version => "version",
            Self::Key => "key",
            Self::Origin => "origin",
            Self::Subprotocol => "subprotocol",
            Self::Address => "too_many_connections",
            Self::Unsupported => "unsupported",
        }
    }

    fn failure(self) -> Failure {
        match self {
            Self::Stopping => Failure::of(Code::Draining).retry_after(gate::retry_after(RETRY_AFTER)),
            Self::Method => Code::MethodNotAllowed.into(),
            Self::NoUpgrade | Self::Version => Code::UpgradeRequired.into(),
            Self::Key => Failure::of(Code::Malformed).saying("Sec-WebSocket-Key is missing or malformed."),
            Self::Origin => Code::OriginForbidden.into(),
            Self::Subprotocol => Code::SubprotocolUnknown.into(),
            Self::Address => Failure::of(Code::TooManyConnections).retry_after(gate::retry_after(RETRY_AFTER)),
            Self::Unsupported => Failure::of(Code::Internal).saying("The connection cannot be upgraded."),
        }
    }

    /// The answer to a request with these headers. It does not pass what other answers pass: see [`crate::http::envelope`].
    fn answer(self, asked: &HeaderMap) -> Response {
        counter!(HANDSHAKES_REFUSED, "reason" => self.name()).increment(1);
        let id = request_id::of(asked).unwrap_or_else(request_id::made);
        let mut response = self.failure().into_response();
        problem::render(&mut response, &id);
        let headers = response.headers_mut();
        request_id::write(&id, headers);
        trace::write(trace::span(trace::of(asked)), headers);
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            Self::NoUpgrade | Self::Version => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
        response
    }
}

/// `GET /ws`.
pub(super) async fn upgrade<D: Door>(State(edge): State<Arc<WebSockets<D>>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match accept(&edge, &mut parts).await {
        Ok(accepted) => accepted.answer(edge, &parts.headers),
        Err(refused) => refused.answer(&parts.headers),
    }
}

/// A handshake that passed.
struct Accepted {
    upgrade: IncomingUpgrade,
    echo_subprotocol: bool,
    client: Box<Client>,
    held: Held,
}

/// What a connection holds at the gate.
struct Held {
    _permit: Arc<Permit>,
    _address: Option<AddressPermit>,
}

async fn accept<D: Door>(edge: &WebSockets<D>, parts: &mut Parts) -> Result<Accepted, Refused> {
    if edge.stop.is_cancelled() {
        return Err(Refused::Stopping);
    }
    let echo_subprotocol = check(parts, &edge.config)?;
    let (Some(PeerAddr(peer)), Some(permit)) =
        (parts.extensions.get::<PeerAddr>().copied(), parts.extensions.get::<Arc<Permit>>().cloned())
    else {
        return Err(Refused::Unsupported);
    };
    let address = edge.proxies.proxies.client_address(peer.ip(), &parts.headers, edge.proxies.header);
    // A proxy's connection was not counted against an address when it was accepted.
    let address_permit = if edge.proxies.proxies.contain(peer.ip()) {
        Some(edge.gate.admit_address(address).map_err(|_| Refused::Address)?)
    } else {
        None
    };
    let client = Box::new(Client {
        address,
        user_agent: text_of(&parts.headers, &USER_AGENT),
        trace_parent: text_of(&parts.headers, &trace::HEADER),
    });
    let upgrade = IncomingUpgrade::from_request_parts(parts, &()).await.map_err(|_| Refused::Unsupported)?;
    Ok(Accepted { upgrade, echo_subprotocol, client, held: Held { _permit: permit, _address: address_permit } })
}

/// Checks the headers; answers whether the client offered our subprotocol.
fn check(parts: &Parts, config: &WebSocketConfig) -> Result<bool, Refused> {
    let headers = &parts.headers;
    if parts.method != Method::GET {
        return Err(Refused::Method);
    }
    if !lists(headers, &CONNECTION, "upgrade") || !lists(headers, &UPGRADE, "websocket") {
        return Err(Refused::NoUpgrade);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refused::Version);
    }
    // Sixteen bytes in base64.
    if headers.get(SEC_WEBSOCKET_KEY).is_none_or(|key| key.len() != 24 || !key.as_bytes().ends_with(b"==")) {
        return Err(Refused::Key);
    }
    if !origin_is_allowed(headers, &parts.uri, &config.allowed_origins) {
        return Err(Refused::Origin);
    }
    if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Ok(false);
    }
    if tokens(headers, &SEC_WEBSOCKET_PROTOCOL).any(|token| token == SUBPROTOCOL) {
        Ok(true)
    } else {
        Err(Refused::Subprotocol)
    }
}

impl Accepted {
    /// The answer to the handshake. The connection's task starts when it is written.
    fn answer<D: Door>(self, edge: Arc<WebSockets<D>>, asked: &HeaderMap) -> Response {
        let Self { upgrade, echo_subprotocol, client, held } = self;
        let Ok((mut response, upgraded)) = upgrade.upgrade() else { return Refused::Unsupported.answer(asked) };
        trace::write(trace::span(trace::of(asked)), response.headers_mut());
        if echo_subprotocol {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        tokio::spawn(async move {
            let Some((stream, leftover)) = leave_http(upgraded).await else { return };
            // A task of its own: this one's memory is sized for what HTTP needed.
            tokio::spawn(async move {
                connection::run(&edge, stream, leftover, client).await;
                drop(held);
            });
        });
        response.into_response()
    }
}

/// Takes the socket back from HTTP, with the bytes that were read behind the handshake: a client need not wait for
/// the answer before it says hello. HTTP's buffer of 8 KiB a connection stays behind.
async fn leave_http(upgraded: UpgradeFut) -> Option<(TcpStream, Bytes)> {
    let upgraded = match upgraded.await {
        Ok(websocket) => websocket.into_inner().into_inner(),
        Err(error) => {
            tracing::debug!(%error, "the client left during the handshake");
            return None;
        }
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("the router of /ws is not served by the edge's listener");
        return None;
    };
    Some((parts.io.into_inner(), parts.read_buf))
}

/// Whether a page of this request's `Origin` may connect.
fn origin_is_allowed(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return false };
    if !allowed.is_empty() {
        return allowed.iter().any(|one| one.trim_end_matches('/').eq_ignore_ascii_case(origin));
    }
    let host = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST).and_then(|host| host.to_str().ok()),
    };
    let same_host = |host: &str| {
        let (scheme, origin_host) = origin.split_once("://")?;
        let default_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return None,
        };
        let bare = |host: &str| host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase();
        Some(bare(origin_host) == bare(host))
    };
    host.and_then(same_host).unwrap_or(false)
}

/// Whether a list header names `token`, in any case.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|one| one.eq_ignore_ascii_case(token))
}

/// The elements of a list header, over all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<Box<str>> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(text[..text.floor_char_boundary(CLIENT_TEXT_BYTES_MAX)].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("host", "wallet.example"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    /// Changed headers and what the handshake comes to.
    type Row = (&'static [(&'static str, &'static str)], Result<bool, Refused>);

    /// Checks the good handshake with some headers replaced (or, when empty, left out).
    fn handshake(changes: &[(&str, &str)], allowed: &[&str]) -> Result<bool, Refused> {
        let mut request = Request::builder().uri("/ws");
        for (name, value) in GOOD.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name)) {
            request = request.header(*name, *value);
        }
        for (name, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let allowed_origins = allowed.iter().map(ToString::to_string).collect();
        check(&parts, &WebSocketConfig { allowed_origins, ..WebSocketConfig::default() })
    }

    #[test]
    fn the_handshake_is_checked_in_order() {
        let rows: &[Row] = &[
            (&[], Ok(false)),
            (&[("sec-websocket-protocol", "quickpe.v1")], Ok(true)),
            (&[("sec-websocket-protocol", "graphql-ws, quickpe.v1")], Ok(true)),
            (&[("sec-websocket-protocol", "a"), ("sec-websocket-protocol", "quickpe.v1")], Ok(true)),
            (&[("sec-websocket-protocol", "quickpe.v2")], Err(Refused::Subprotocol)),
            (&[("connection", "keep-alive")], Err(Refused::NoUpgrade)),
            (&[("upgrade", "h2c")], Err(Refused::NoUpgrade)),
            (&[("upgrade", ""), ("sec-websocket-version", "8")], Err(Refused::NoUpgrade)),
            (&[("sec-websocket-version", "8"), ("sec-websocket-key", "")], Err(Refused::Version)),
            (&[("sec-websocket-version", "")], Err(Refused::Version)),
            (&[("sec-websocket-key", ""), ("origin", "https://evil.example")], Err(Refused::Key)),
            (&[("sec-websocket-key", "short==")], Err(Refused::Key)),
            (&[("origin", "https://evil.example"), ("sec-websocket-protocol", "x")], Err(Refused::Origin)),
        ];
        for (changes, expected) in rows {
            assert_eq!(&handshake(changes, &[]), expected, "{changes:?}");
        }
    }

    #[test]
    fn a_page_may_connect_to_its_own_host_or_where_it_is_listed() {
        for (host, origin, allowed, expected) in [
            ("wallet.example", "https://wallet.example", &[][..], true),
            ("wallet.example", "https://Wallet.Example:443", &[], true),
            ("wallet.example:80", "http://wallet.example", &[], true),
            ("wallet.example:8080", "http://wallet.example:8080", &[], true),
            ("wallet.example:8080", "http://wallet.example", &[], false),
            ("wallet.example", "https://wallet.example.evil.example", &[], false),
            ("wallet.example", "https://evilwallet.example", &[], false),
            ("wallet.example", "null", &[], false),
            ("wallet.example", "file://wallet.example", &[], false),
            ("wallet.example", "https://wallet.example", &["https://app.example"], false),
            ("wallet.example", "https://app.example", &["https://app.example/"], true),
            ("wallet.example", "http://app.example", &["https://app.example"], false),
            ("wallet.example", "null", &["null"], true),
        ] {
            let passed = handshake(&[("host", host), ("origin", origin)], allowed);
            assert_eq!(passed.is_ok(), expected, "{host} {origin} {allowed:?}");
        }
    }
}
