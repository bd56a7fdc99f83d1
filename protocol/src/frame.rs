//! WebSocket frames of the subprotocol `quickpe.v1`.
//!
//! [`client`] is what a client sends, [`server`] what a server sends, [`decode()`] reads either from
//! text, [`message`] writes the one frame that is written often: once for all its receivers.

pub mod client;
pub mod decode;
pub mod message;
pub mod server;
pub mod stream;

pub use client::{Call, ClientFrame, Method, Stage, Subscription};
pub use decode::{FrameError, decode, decode_server};
pub use message::MessageText;
pub use server::{GapReason, ServerFrame};
pub use stream::{Place, StreamName};

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "quickpe.v1";

/// The most frames in one array. An array saves frames' overhead; this many are enough for that.
pub const FRAMES_MAX: usize = 64;
/// The most characters of a request's id.
pub const ID_CHARS_MAX: usize = 64;
/// The most characters of a device's name.
pub const DEVICE_CHARS_MAX: usize = 64;
/// The most characters of a stream's name.
pub const STREAM_CHARS_MAX: usize = 128;
/// The most characters of an epoch.
pub const EPOCH_CHARS_MAX: usize = 64;
/// The most characters of a token: a JWT of ours has about 400.
pub const TOKEN_CHARS_MAX: usize = 4096;
/// The most subscriptions in one `hello`.
pub const SUBSCRIPTIONS_MAX: usize = 32;
/// The most single offsets in one `ack`: as many as a window may hold.
pub const ALSO_MAX: usize = 256;
/// The most bytes of JSON text in the body of a message: what a room's journal takes sealed.
pub const BODY_BYTES_MAX: usize = 16 << 10;
/// The most bytes of JSON text in the data of a signal.
pub const SIGNAL_BYTES_MAX: usize = 1 << 10;
/// The most characters of the kind of a signal.
pub const SIGNAL_KIND_CHARS_MAX: usize = 32;
/// The most characters of the code in a `nack`.
pub const NACK_CODE_CHARS_MAX: usize = 64;
