//! WebSocket connections: `/ws`, subprotocol `quickpe.v1`.
//!
//! [`upgrade`] checks the handshake and takes the socket back from HTTP. [`connection`] then runs one task a
//! connection: a guest first, who has a few seconds to say hello and for whom no actor exists; after it a reader and
//! a writer side by side. [`reader`] reads frames, the [`Outbox`](actors::outbox::Outbox) holds what is to be
//! written, [`heartbeat`] pings everybody and finds out who is silent. What messages mean is behind [`Door`].

#[cfg(test)]
mod client_frame;
mod connection;
pub mod door;
mod frame_header;
pub mod heartbeat;
mod outgoing;
pub mod reader;
pub mod upgrade;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use actors::outbox::CloseCode;
use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::gate::Gate;
use super::listener::ListenerConfig;
use super::metrics::FrameMeters;
pub use door::{Client, Door, Flow, Hello, Refusal, Session};
pub use frame_header::HeaderError;
use heartbeat::Heartbeats;
use upgrade::ProxyTrust;

/// How WebSocket connections are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSocketConfig {
    /// Milliseconds from the handshake to a complete `hello`. Default 10,000.
    pub hello_timeout_ms: u32,
    /// Clients whose `hello` is looked at at once. At least 1. Default 1,024.
    pub hellos_max: u32,
    /// Clients whose `hello` waits for that; beyond it they are sent away with 1013. Default 16,384.
    pub hellos_waiting_max: u32,
    /// Milliseconds that one waits at most before it is sent away. Default 5,000.
    pub hello_wait_ms: u32,
    /// Bytes of one message of a client, all fragments together. Default 65,536.
    pub message_bytes_max: u32,
    /// Frames that one client may send a second, after a burst of twice as many; beyond it nothing more is read from it
    /// until it may go on. At least 1. Default 500.
    pub frames_per_second: u32,
    /// Bytes waiting to be written to one client before it is closed as too slow. Default 262,144.
    pub outbox_bytes_max: u32,
    /// Milliseconds one batch of frames (at most 64, about 64 KiB) may take once a write blocks. Default 10,000.
    pub write_timeout_ms: u32,
    /// Milliseconds between pings, at least 250. Default 25,000.
    pub heartbeat_ms: u32,
    /// Milliseconds without a word from a client before it is closed as silent. Default 60,000.
    pub silence_ms: u32,
    /// Milliseconds a client has to leave after the close frame. Default 2,000.
    pub close_timeout_ms: u32,
    /// Origins (`https://wallet.example`) whose pages may connect. Default none: then a page may connect to the host
    /// it came from. Clients that send no `Origin`, as those outside browsers do, always may.
    pub allowed_origins: Vec<String>,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            hello_timeout_ms: 10_000,
            hellos_max: 1_024,
            hellos_waiting_max: 16_384,
            hello_wait_ms: 5_000,
            message_bytes_max: 64 << 10,
            frames_per_second: 500,
            outbox_bytes_max: 256 << 10,
            write_timeout_ms: 10_000,
            heartbeat_ms: 25_000,
            silence_ms: 60_000,
            close_timeout_ms: 2_000,
            allowed_origins: Vec::new(),
        }
    }
}

/// How often a drain looks whether anybody is left.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// A configuration that would close every client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// Clients would be taken for silent before they could answer a ping.
    #[error("silence_ms ({silence_ms}) must be more than heartbeat_ms ({heartbeat_ms})")]
    SilenceBelowHeartbeat {
        /// The time without a word.
        silence_ms: u32,
        /// The time between pings.
        heartbeat_ms: u32,
    },
    /// Nobody would ever come in.
    #[error("hellos_max must be at least 1")]
    NoHellos,
    /// Nothing would ever be read.
    #[error("frames_per_second must be at least 1")]
    NoFrames,
    /// Not even one message of the size clients may send would fit.
    #[error("outbox_bytes_max ({outbox_bytes_max}) must be at least twice message_bytes_max ({message_bytes_max})")]
    OutboxTooSmall {
        /// The outbox's bound.
        outbox_bytes_max: u32,
        /// The messages' bound.
        message_bytes_max: u32,
    },
}

impl WebSocketConfig {
    /// Checks what serde cannot: how the values stand to one another.
    ///
    /// # Errors
    /// The first pair of values that cannot work together.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let Self { silence_ms, heartbeat_ms, outbox_bytes_max, message_bytes_max, .. } = *self;
        if silence_ms <= heartbeat_ms {
            return Err(InvalidConfig::SilenceBelowHeartbeat { silence_ms, heartbeat_ms });
        }
        if self.hellos_max == 0 {
            return Err(InvalidConfig::NoHellos);
        }
        if self.frames_per_second == 0 {
            return Err(InvalidConfig::NoFrames);
        }
        if outbox_bytes_max / 2 < message_bytes_max {
            return Err(InvalidConfig::OutboxTooSmall { outbox_bytes_max, message_bytes_max });
        }
        Ok(())
    }
}

/// Everything WebSocket connections share. One a node.
pub struct WebSockets<D> {
    door: D,
    config: WebSocketConfig,
    gate: Arc<Gate>,
    proxies: ProxyTrust,
    heartbeats: Arc<Heartbeats>,
    meters: Arc<FrameMeters>,
    stop: CancellationToken,
}

impl<D: Door> WebSockets<D> {
    /// Connections that enter by `door`, through the same gate and from the same proxies as `listener` has. Once
    /// `stop` is cancelled nobody new is let in.
    ///
    /// The metrics recorder must be installed before.
    pub fn new(
        door: D,
        config: WebSocketConfig,
        gate: Arc<Gate>,
        listener: &ListenerConfig,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let heartbeats = Heartbeats::new(
            Duration::from_millis(config.heartbeat_ms.into()),
            Duration::from_millis(config.silence_ms.into()),
        );
        let proxies = ProxyTrust { proxies: listener.trusted_proxies.clone(), header: listener.forwarded_header };
        Arc::new(Self { door, config, gate, proxies, heartbeats, meters: Arc::new(FrameMeters::new()), stop })
    }

    /// The route `/ws`. The router must be served by [`Listener`](super::listener::Listener): it takes the socket
    /// from it.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().route("/ws", any(upgrade::upgrade::<D>)).with_state(self.clone())
    }

    /// The heartbeats, to be run as a task for as long as connections are open: [`Heartbeats::run`].
    pub fn heartbeats(&self) -> Arc<Heartbeats> {
        self.heartbeats.clone()
    }

    /// How many connections are open.
    fn connections(&self) -> usize {
        let mut count = 0;
        self.heartbeats.for_each(|_| count += 1);
        count
    }

    /// Sends every connection away: `notice` (the `drain` frame, encoded) at once, and who is still here after
    /// `grace` is closed with 1001. Returns when all are told; [`Gate::drained`] waits for them to go.
    pub async fn drain(&self, notice: Bytes, grace: Duration) {
        self.heartbeats.for_each(|outbox| {
            outbox.push(notice.clone());
        });
        // Clients that leave by themselves need no close frame; nobody left needs no grace.
        let until = tokio::time::Instant::now() + grace;
        while self.connections() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(DRAIN_LOOK.min(grace)).await;
        }
        self.heartbeats.for_each(|outbox| outbox.finish(CloseCode::Drain, "the node is stopping"));
    }
}

#[cfg(test)]
mod tests;
