//! The edge of a node: its sockets, and what every connection must pass before anything of ours hears of it.
//!
//! A connection is accepted by the [`listener`], admitted by the [`gate`], speaks HTTP, and either goes on so or
//! becomes a [`websocket`]. Everything here is bounded by a named limit and knows neither accounts nor tokens: what a
//! message means is behind [`websocket::Door`].

pub mod client_address;
pub mod gate;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod request_id;
pub mod socket;
pub mod websocket;
