//! What every request and every command of a node shares.

use std::sync::Arc;

use actors::clock::WallClock;
use actors::dead_letters::DeadLetterBox;
use actors::deadlines::owed::Owed;
use actors::ledger::Ledger;
use actors::presence::Presences;
use actors::rooms::chat::Chat;
use actors::streams::Streams;
use domain::ids::{AccountId, UserId};
use domain::ledger::Opening;
use domain::money::Currency;
use domain::time::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use storage::deliveries::Deliveries;
use storage::identity::Identity;
use storage::rate_limits::RateLimits;
use storage::revocations::Revocations;
use storage::sealing::Sealer;
use storage::watches::Watches;
use uuid::Uuid;

use crate::config::Config;
use crate::http::auth::Access;
use crate::http::auth::tokens::Tokens;
use crate::live::SessionsHandle;
use crate::live::admission::Admission;
use crate::node::readiness::Readiness;
use crate::present::people::People;
use crate::wallet::statement::newest::Newest;

/// A node's parts, as its edge sees them. Shared as `Arc<App>`.
pub struct App {
    /// The configuration.
    pub config: Arc<Config>,
    /// The way to the accounts.
    pub ledger: Ledger,
    /// The way to the rooms.
    pub chat: Chat,
    /// People.
    pub identity: Arc<dyn Identity>,
    /// Cursors and dead letters.
    pub deliveries: Arc<dyn Deliveries>,
    /// What is owed to persons, and what became of it.
    pub owed: Arc<Owed>,
    /// Whose messages are owed to whom.
    pub watches: Arc<dyn Watches>,
    /// How often somebody may do something.
    pub rate_limits: Arc<dyn RateLimits>,
    /// Seals and unseals people's words.
    pub sealer: Arc<Sealer>,
    /// Makes and checks tokens.
    pub tokens: Arc<Tokens>,
    /// Passwords, and which logins live.
    pub access: Arc<Access>,
    /// People as others see them, cached.
    pub people: Arc<People>,
    /// The newest events of accounts, cached.
    pub newest: Arc<Newest>,
    /// What nodes tell one another has ended or changed.
    pub revocations: Arc<dyn Revocations>,
    /// The wall clock.
    pub clock: Arc<dyn WallClock>,
    /// One life of the store's streams: clients hold it beside offsets.
    pub epoch: String,
    /// The currency of people's accounts.
    pub currency: Currency,
    /// Ends connections of people who are signed out.
    pub sessions: SessionsHandle,
    /// Who follows which stream.
    pub streams: Arc<Streams>,
    /// Who is online.
    pub presences: Arc<Presences>,
    /// How many clients may come in at once.
    pub admission: Arc<Admission>,
    /// What failed for good.
    pub dead_letters: DeadLetterBox,
    /// Whether the node serves.
    pub readiness: Arc<Readiness>,
    /// Writes the metrics as Prometheus reads them.
    pub metrics: PrometheusHandle,
}

impl App {
    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new UUIDv7, by the node's clock.
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let nanos = u32::try_from(now.0 % 1_000_000 * 1_000).unwrap_or(0);
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, now.0 / 1_000_000, nanos))
    }

    /// The account of a person.
    pub fn account_of(&self, user: UserId) -> AccountId {
        AccountId::of(user, self.currency)
    }

    /// What opens the account of a person.
    pub const fn opening(&self, owner: UserId) -> Opening {
        Opening { owner, currency: self.currency }
    }
}
