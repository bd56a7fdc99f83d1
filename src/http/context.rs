//! What is known of a request before it is understood: its id, its trace, its client.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Request};
use domain::ids::OperationId;
use domain::ledger::{By, Origin, Principal, Trace, Via};
use parking_lot::Mutex;
use protocol::http::REQUEST_ID;
use storage::rate_limits::{Decision, Limit};
use uuid::Uuid;

use crate::app::App;
use crate::edge::listener::PeerAddr;

/// The most characters of a request's id that is taken from its sender.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// One request from outside. In the extensions of every request as `Arc<Context>`.
#[derive(Debug)]
pub struct Context {
    /// The id by which it is found in the logs: the sender's, or the operation's.
    pub id: Box<str>,
    /// The id by which its events are found.
    pub operation: OperationId,
    /// The trace that it came in.
    pub trace: Option<Trace>,
    /// Whose it is, as far as trusted proxies tell.
    pub address: IpAddr,
    /// The tightest limit that it met.
    limit: Mutex<Option<(Limit, Decision)>>,
}

impl Context {
    /// What a request's head says.
    pub fn of<B>(app: &App, request: &Request<B>) -> Arc<Self> {
        let headers = request.headers();
        let operation = Uuid::new_v4();
        let listener = &app.config.edge.listener;
        // Without an address, as in a test without a socket, all are one client.
        let peer = request.extensions().get::<PeerAddr>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        Arc::new(Self {
            id: request_id(headers).unwrap_or_else(|| operation.to_string().into()),
            operation: OperationId(operation),
            trace: headers.get("traceparent").and_then(trace),
            address: listener.trusted_proxies.client_address(peer, headers, listener.forwarded_header),
            limit: Mutex::new(None),
        })
    }

    /// What a person's events of this request go back to.
    pub fn origin(&self, principal: Principal) -> Origin {
        let by = By { principal, session: None, device: None, via: Via::Http };
        Origin { operation: self.operation, by, trace: self.trace }
    }

    /// Notes a limit that the request met. The tightest is told.
    pub fn limited(&self, limit: Limit, decision: Decision) {
        let mut known = self.limit.lock();
        if known.is_none_or(|(_, other)| decision.remaining <= other.remaining) {
            *known = Some((limit, decision));
        }
    }

    /// The tightest limit that the request met.
    pub fn limit(&self) -> Option<(Limit, Decision)> {
        *self.limit.lock()
    }

    /// The trace's id in hexadecimal, for the logs.
    pub fn trace_id(&self) -> Option<String> {
        self.trace.map(|trace| Uuid::from_bytes(trace.id).simple().to_string())
    }
}

/// The sender's id of the request, if it can be put into a line of a log.
fn request_id(headers: &HeaderMap) -> Option<Box<str>> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let sound = (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    sound.then(|| id.into())
}

/// Reads a `traceparent` (W3C Trace Context, level 1). A later version is read as far as this one goes.
fn trace(value: &HeaderValue) -> Option<Trace> {
    parse_trace(value.to_str().ok()?)
}

/// Reads the text of a `traceparent`.
pub fn parse_trace(text: &str) -> Option<Trace> {
    let mut parts = text.split('-');
    let version: [u8; 1] = hex(parts.next()?)?;
    let id: [u8; 16] = hex(parts.next()?)?;
    let parent: [u8; 8] = hex(parts.next()?)?;
    let [flags] = hex(parts.next()?)?;
    let ends = parts.next().is_none();
    let sound = version != [0xff] && (ends || version != [0]) && id != [0; 16] && parent != [0; 8];
    sound.then_some(Trace { id, parent, flags })
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_to_the_letter() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = parse_trace(text).unwrap();
        assert_eq!((trace.id[0], trace.parent[1], trace.flags), (0x4b, 0xf0, 1));
        assert!(parse_trace(&text.replacen("00", "01", 1)).is_some(), "a later version");
        assert!(parse_trace(&format!("{}-more", text.replacen("00", "01", 1))).is_some());
        for wrong in [
            "",
            "00",
            &text.to_uppercase(),
            &text.replacen("00", "ff", 1),
            &format!("{text}-more"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse_trace(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_requests_id_is_bounded_and_visible() {
        let id = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            request_id(&headers)
        };
        assert_eq!(id("abc-1").as_deref(), Some("abc-1"));
        assert_eq!([id(""), id("a b"), id("é"), id(&"x".repeat(129))], [None, None, None, None]);
        assert_eq!(request_id(&HeaderMap::new()), None);
    }
}
