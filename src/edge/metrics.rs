//! Names, units and help of the edge's metrics, and the handles its hot paths use.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

/// Connections that hold a permit, HTTP and WebSocket together.
pub const CONNECTIONS: &str = "quickpe_edge_connections";
/// Connections accepted and admitted.
pub const ACCEPTED: &str = "quickpe_edge_accepted_total";
/// Connections refused, by `reason`.
pub const REFUSED: &str = "quickpe_edge_refused_total";
/// Failures of `accept`.
pub const ACCEPT_ERRORS: &str = "quickpe_edge_accept_errors_total";
/// WebSocket handshakes refused, by `reason`.
pub const HANDSHAKES_REFUSED: &str = "quickpe_edge_websocket_handshakes_refused_total";
/// WebSocket connections, guests included.
pub const WEBSOCKETS: &str = "quickpe_edge_websockets";
/// Messages and control frames read.
pub const FRAMES_IN: &str = "quickpe_edge_websocket_frames_in_total";
/// Frames written.
pub const FRAMES_OUT: &str = "quickpe_edge_websocket_frames_out_total";
/// Bytes of messages read.
pub const BYTES_IN: &str = "quickpe_edge_websocket_in_bytes_total";
/// Bytes of frames written.
pub const BYTES_OUT: &str = "quickpe_edge_websocket_out_bytes_total";
/// WebSocket connections ended by the node, by the `code` of their close frame.
pub const CLOSES: &str = "quickpe_edge_websocket_closes_total";
/// Connections closed because their outbox overflowed.
pub const OUTBOX_OVERFLOWS: &str = "quickpe_edge_outbox_overflows_total";

/// Tells the recorder units and help. Call it once, after the recorder is installed.
pub fn describe() {
    describe_gauge!(CONNECTIONS, Unit::Count, "Open connections, HTTP and WebSocket.");
    describe_counter!(ACCEPTED, Unit::Count, "Connections accepted and admitted.");
    describe_counter!(REFUSED, Unit::Count, "Connections refused with 503 or dropped, by reason.");
    describe_counter!(ACCEPT_ERRORS, Unit::Count, "Failures to accept a connection.");
    describe_counter!(HANDSHAKES_REFUSED, Unit::Count, "WebSocket handshakes refused, by reason.");
    describe_gauge!(WEBSOCKETS, Unit::Count, "Open WebSocket connections, those before hello included.");
    describe_counter!(FRAMES_IN, Unit::Count, "WebSocket messages and control frames read.");
    describe_counter!(FRAMES_OUT, Unit::Count, "WebSocket frames written.");
    describe_counter!(BYTES_IN, Unit::Bytes, "Bytes of WebSocket messages read.");
    describe_counter!(BYTES_OUT, Unit::Bytes, "Bytes of WebSocket frames written.");
    describe_counter!(CLOSES, Unit::Count, "WebSocket connections closed by this node, by close code.");
    describe_counter!(
        OUTBOX_OVERFLOWS,
        Unit::Count,
        "WebSocket connections closed because the client read too slowly."
    );
}

/// Handles of what is counted for every frame: looking one up costs more than counting.
pub(super) struct FrameMeters {
    pub(super) websockets: Gauge,
    pub(super) frames_in: Counter,
    pub(super) frames_out: Counter,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
}

impl FrameMeters {
    /// The handles of the recorder that is installed now.
    pub(super) fn new() -> Self {
        Self {
            websockets: gauge!(WEBSOCKETS),
            frames_in: counter!(FRAMES_IN),
            frames_out: counter!(FRAMES_OUT),
            bytes_in: counter!(BYTES_IN),
            bytes_out: counter!(BYTES_OUT),
        }
    }
}
