//! What a person may ask of their money: the commands and reads behind HTTP routes and WebSocket calls alike.
//!
//! A request is parsed here once, into domain types; free text is fingerprinted and sealed here; what comes back is
//! the protocol's. Neither HTTP nor WebSocket is known here.

pub mod amount;
pub mod balance;
pub mod cursor;
pub mod erasure;
pub mod freeze;
pub mod funding;
pub mod holds;
pub mod keyed;
pub mod payee;
pub mod refund;
pub mod statement;
pub mod transaction;
pub mod transfer;

use domain::ids::{LoginId, UserId};
use domain::ledger::{Command, Origin, Request};
use domain::room::Region;
use domain::time::Timestamp;
use storage::identity::Role;

use crate::app::App;

/// Who asks, proved by an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The person.
    pub user: UserId,
    /// What they may do beyond their own account.
    pub role: Role,
    /// Where they are, if that is known.
    pub region: Option<Region>,
    /// The login that the token belongs to; none for one made by the command line.
    pub login: Option<LoginId>,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// What their request is written into events as.
    pub origin: Origin,
}

impl Caller {
    /// A command of theirs to an account of `owner`.
    pub fn command(&self, app: &App, owner: UserId, request: Request) -> Command {
        Command { origin: self.origin.clone(), opening: app.opening(owner), request }
    }
}

/// A command that was done, and what to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// The answer.
    pub body: T,
    /// The other side is not known to have it yet.
    pub pending: bool,
    /// It was done before, under the same idempotency key.
    pub replayed: bool,
}
