//! QuickPe: a realtime wallet platform.

pub mod app;
pub mod archive;
pub mod cache;
pub mod clock;
pub mod command;
pub mod config;
pub mod edge;
pub mod escalation;
pub mod failure;
pub mod http;
pub mod live;
pub mod node;
pub mod present;
pub mod program;
pub mod revoking;
pub mod rooms;
pub mod telemetry;
pub mod trace;
pub mod tracking;
pub mod wallet;
