//! The listener: accepts connections, has the gate admit or refuse them, and serves HTTP/1.1 on those that pass.
//!
//! It is its own accept loop because the one of the framework has no limits, does not end clients that send their
//! headers slowly, and leaves Nagle's algorithm on. What a request means is the router's; a request carries its
//! [`PeerAddr`] and its connection's [`Permit`] as extensions.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::counter;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::client_address::{ForwardedHeader, TrustedProxies};
use super::gate::{Gate, Permit};
use super::metrics::ACCEPT_ERRORS;
use super::socket;

mod refusal;

use refusal::Refusals;

/// The first pause after an accept that failed for want of descriptors or memory; it doubles up to
/// [`ACCEPT_PAUSE_MAX`]. Without it the loop would spin at full speed on the error.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How connections are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerConfig {
    /// Connections the system holds for us before they are accepted. Default 4,096: with 128 a herd of 15,000 that
    /// reconnected lost 10,228. The system may cap it (`net.core.somaxconn`).
    pub backlog: u16,
    /// Connections open at once. Default: as many as the descriptor limit leaves room for.
    pub connections_max: Option<u32>,
    /// Connections open at once from one address; an IPv6 /64 counts as one. Default 1,024.
    pub connections_per_address_max: u32,
    /// Milliseconds a client has for a request's headers, and a connection may be idle between requests. Default
    /// 10,000.
    pub header_timeout_ms: u32,
    /// Bytes of a request's line and headers. Default 16,384, at least 8,192.
    pub header_bytes_max: u32,
    /// Headers of a request. Default 64.
    pub headers_max: u16,
    /// Refusals that are answered at once; beyond them connections are dropped without a word. Default 256.
    pub refusals_max: u16,
    /// Seconds a refused client is told to wait. Default 5.
    pub retry_after_s: u16,
    /// Proxies whose word on the client's address is taken. Default none.
    pub trusted_proxies: TrustedProxies,
    /// The header those proxies write: `any`, `forwarded` or `x_forwarded_for`. Default `any`.
    pub forwarded_header: ForwardedHeader,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            backlog: 4_096,
            connections_max: None,
            connections_per_address_max: 1_024,
            header_timeout_ms: 10_000,
            header_bytes_max: 16 << 10,
            headers_max: 64,
            refusals_max: 256,
            retry_after_s: 5,
            trusted_proxies: TrustedProxies::default(),
            forwarded_header: ForwardedHeader::default(),
        }
    }
}

/// Who is at the other end of a request's socket: a client, or the proxy before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// A bound socket that is not served yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    gate: Arc<Gate>,
    config: ListenerConfig,
}

impl Listener {
    /// Binds `address`; port 0 picks one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(address: SocketAddr, gate: Arc<Gate>, config: ListenerConfig) -> io::Result<Self> {
        Ok(Self { socket: socket::listen(address, config.backlog)?, gate, config })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts and serves until `stop` is cancelled. Then the socket is closed and this returns; connections finish
    /// the request they are at. Wait for them by [`Gate::drained`].
    pub async fn serve(self, app: Router, stop: CancellationToken) {
        let http = Arc::new(http_builder(&self.config));
        let refusals = Refusals::new(self.config.refusals_max, self.config.retry_after_s);
        let mut pause = ACCEPT_PAUSE_MIN;
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    counter!(ACCEPT_ERRORS).increment(1);
                    // These say that one client gave up before it was accepted; the next may be well.
                    if !is_about_the_client(&error) {
                        tracing::warn!(%error, ?pause, "cannot accept connections");
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(pause) => pause = (pause * 2).min(ACCEPT_PAUSE_MAX),
                        }
                    }
                    continue;
                }
            };
            pause = ACCEPT_PAUSE_MIN;
            match self.gate.admit(self.counted_address(peer.ip())) {
                Ok(permit) => {
                    if socket::tune(&stream).is_ok() {
                        tokio::spawn(connection(http.clone(), stream, peer, permit, app.clone(), stop.clone()));
                    }
                }
                Err(why) => refusals.answer(stream, why),
            }
        }
    }

    /// Behind a proxy of ours every client has the proxy's address: they are counted once they are known.
    fn counted_address(&self, peer: IpAddr) -> Option<IpAddr> {
        (!self.config.trusted_proxies.contain(peer)).then_some(peer)
    }
}

fn http_builder(config: &ListenerConfig) -> http1::Builder {
    /// What the HTTP library takes at least as a buffer.
    const BUFFER_BYTES_MIN: usize = 8 << 10;
    let header_bytes_max = usize::try_from(config.header_bytes_max).unwrap_or(usize::MAX).max(BUFFER_BYTES_MIN);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.header_timeout_ms.into()))
        .max_buf_size(header_bytes_max)
        .max_headers(config.headers_max.into())
        .keep_alive(true);
    http
}

/// Serves one connection until it ends or becomes something else.
async fn connection(
    http: Arc<http1::Builder>,
    stream: TcpStream,
    peer: SocketAddr,
    permit: Permit,
    app: Router,
    stop: CancellationToken,
) {
    let permit = Arc::new(permit);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(PeerAddr(peer));
        request.extensions_mut().insert(permit.clone());
        let app = app.clone();
        async move {
            let response: Result<_, Infallible> = app.oneshot(request).await;
            response
        }
    });
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        // Clients that leave, are slow or send nonsense: theirs to mend, not ours to warn of.
        tracing::debug!(%peer, %error, "connection ended");
    }
}

fn is_about_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests;
