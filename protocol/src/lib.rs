//! What goes over the wire: HTTP bodies, WebSocket frames, error codes.
//!
//! Pure types: no I/O, no clock, no rules. The server writes them, clients and tests read them, so
//! every type serialises and deserialises.
//!
//! One rule for what is unknown: a field nobody knows is ignored, in bodies, query strings and
//! frames alike. Either side may be the newer one, and a client that sends one field more than its
//! server knows must still work. What is known is strict: a wrong type, a value out of range or a
//! missing field is an error that names the field.
//!
//! Money never meets a float. It comes in as [`amount::Amount`], the text of a JSON number or
//! string, and goes out as [`amount::Major`], a JSON number written from whole minor units.

pub mod amount;
pub mod close;
pub mod code;
pub mod event;
pub mod frame;
pub mod http;
pub mod json;
pub mod problem;
pub mod value;
