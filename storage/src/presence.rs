//! The port of presence: which sessions are connected, on whatever node.
//!
//! A set with expiry by (person, device, session). The node that has a session says so, and again before its time is
//! over; a node that dies says nothing, and what it had is gone when the time is over. So nobody is a ghost for
//! longer than that.
//!
//! All of it may be lost, at a restart or under pressure: then people seem offline until their node says them again.

use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{DeviceId, LoginId, SessionId, UserId};
use domain::time::Timestamp;

use crate::Error;

/// The most sessions that one [`Presence::put`] takes.
pub const PUT_MAX: usize = 1_024;

/// The most people that one [`Presence::of`] looks up.
pub const PEOPLE_MAX: usize = 1_000;

/// The most sessions of one person that are kept: as many as two nodes let in. Beyond it the one whose time is over
/// first is not.
pub const SESSIONS_PER_USER_MAX: usize = 64;

/// A session that is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// Whose.
    pub user: UserId,
    /// On which device, if it said its name.
    pub device: Option<DeviceId>,
    /// The connection.
    pub session: SessionId,
    /// The sign-in that its token is of.
    pub login: Option<LoginId>,
    /// Since when.
    pub since: Timestamp,
}

/// Which sessions are connected.
#[async_trait]
pub trait Presence: Send + Sync + 'static {
    /// These sessions are there for `lasts` from `now` on, whatever was said of them before: longer, or no longer. At
    /// most [`PUT_MAX`]; atomic a session. Only the node that has a session says it, one after another.
    async fn put(&self, sessions: Vec<Present>, now: Timestamp, lasts: Duration) -> Result<(), Error>;

    /// The sessions of each of these people at `now`, in the order asked, those of one person the newest first; the
    /// first [`PEOPLE_MAX`] people. One whose time is over is not there.
    async fn of(&self, users: &[UserId], now: Timestamp) -> Result<Vec<Vec<Present>>, Error>;
}
