//! What is known of a request before it is understood: its id, its trace, its client.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::http::Request;
use domain::ids::OperationId;
use domain::ledger::{By, Origin, Principal, Trace, Via};
use parking_lot::Mutex;
use storage::rate_limits::{Decision, Limit};
use uuid::Uuid;

use crate::app::App;
use crate::edge::listener::PeerAddr;
use crate::edge::request_id;
use crate::trace;

/// One request from outside. In the extensions of every request as `Arc<Context>`.
#[derive(Debug)]
pub struct Context {
    /// The id by which it is found in the logs: the sender's, or the operation's.
    pub id: Box<str>,
    /// The id by which its events are found.
    pub operation: OperationId,
    /// The trace that it came in.
    trace: Option<Trace>,
    /// Its own span, in that trace or in a new one.
    pub span: Trace,
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
        let trace = trace::of(headers);
        let listener = &app.config.edge.listener;
        // Without an address, as in a test without a socket, all are one client.
        let peer = request.extensions().get::<PeerAddr>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        Arc::new(Self {
            id: request_id::of(headers).unwrap_or_else(|| operation.to_string().into()),
            operation: OperationId(operation),
            trace,
            span: trace::span(trace),
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
    pub fn trace_id(&self) -> String {
        Uuid::from_bytes(self.span.id).simple().to_string()
    }
}
