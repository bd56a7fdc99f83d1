//! The configuration of a node: defaults, then a TOML file, then the environment, then flags.
//!
//! Each part's limits are a struct of the crate or module that they bound. An unknown key anywhere is an error that
//! names it and where it stands. [`layers`] puts the four together and remembers where each value is from.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use actors::clock::BusinessZone;
use actors::config::{DeliveryConfig, LedgerConfig, PresenceConfig};
use actors::rooms::config::RoomsConfig;
use domain::ids::ShardCount;
use domain::money::Currency;
use serde::{Deserialize, Serialize};
use storage_cql::CqlConfig;
use storage_redis::RedisConfig;

use crate::edge::listener::ListenerConfig;
use crate::edge::websocket::WebSocketConfig;
use crate::escalation::config::EscalationConfig;
use crate::http::config::{AuthConfig, FundingConfig, HttpConfig};
use crate::http::server::ServerConfig;

pub mod keys;
pub mod layers;

pub use keys::{Keys, KeysConfig};
pub use layers::{Layers, Loaded};

/// The fewest characters that a password may be allowed to have in production.
const PASSWORD_CHARS_MIN: usize = 8;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the node is for. Default `development`.
    pub profile: Profile,
    /// The address that is listened on; port 0 picks one. Default `127.0.0.1:5001`.
    pub listen: SocketAddr,
    /// The folder of the store. Default `./data`.
    pub data: PathBuf,
    /// Keys and secrets.
    pub keys: KeysConfig,
    /// Requests.
    pub http: HttpConfig,
    /// Signing in.
    pub auth: AuthConfig,
    /// Money from outside.
    pub funding: FundingConfig,
    /// The sockets.
    pub edge: EdgeConfig,
    /// The ledger's actors.
    pub ledger: LedgerConfig,
    /// The actors of rooms, and how long messages are kept.
    pub rooms: RoomsConfig,
    /// The keys of servers that talk to this one.
    pub server: ServerConfig,
    /// How messages are delivered, by class.
    pub delivery: DeliveryConfig,
    /// Who else is told of messages that a person does not take.
    pub escalation: EscalationConfig,
    /// How it is told who is online.
    pub presence: PresenceConfig,
    /// The store.
    pub storage: StorageConfig,
    /// What nodes share and may lose.
    pub redis: RedisConfig,
    /// Stopping.
    pub drain: DrainConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
}

/// What a node is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// To try things: makes its own keys and keeps them under the data folder.
    #[default]
    Development,
    /// For people's money: secrets are given explicitly, and shortcuts are refused.
    Production,
}

impl Profile {
    /// Its name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// The sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeConfig {
    /// Connections.
    pub listener: ListenerConfig,
    /// WebSocket connections.
    pub websocket: WebSocketConfig,
}

/// The store. What says *at creation* has no effect on a store that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Where the store is: `embedded`, in the data folder, or `cql`. Default `embedded`.
    pub kind: StoreKind,
    /// How many shards the store has, 64 to 1,024; at creation. Default 256.
    pub shards: u16,
    /// The IANA zone in which business days begin; at creation. Default `Asia/Kolkata`.
    pub business_zone: String,
    /// The ISO 4217 code of the currency of people's accounts; at creation. Default `INR`.
    pub currency: String,
    /// From how many bytes of journal and views on the node takes no new commands. Default without limit.
    pub bytes_max: Option<u64>,
    /// Bytes of a new segment of the journal. Default 64 MiB.
    pub segment_bytes: u64,
    /// Blocks of the views' rows kept in memory, in bytes. Default 64 MiB.
    pub views_cache_bytes: u64,
    /// Bytes of a new segment of the journal of rooms, which retention removes whole. Default 16 MiB.
    pub rooms_segment_bytes: u64,
    /// Blocks of rows of the views of rooms kept in memory, in bytes. Default 16 MiB.
    pub rooms_views_cache_bytes: u64,
    /// A store on CQL.
    pub cql: CqlConfig,
}

/// Where a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// In the data folder, of this process alone.
    #[default]
    Embedded,
    /// On ScyllaDB or Apache Cassandra.
    Cql,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::default(),
            shards: ShardCount::DEFAULT.get(),
            business_zone: "Asia/Kolkata".to_owned(),
            currency: Currency::Inr.code().to_owned(),
            bytes_max: None,
            segment_bytes: 64 << 20,
            views_cache_bytes: 64 << 20,
            rooms_segment_bytes: 16 << 20,
            rooms_views_cache_bytes: 16 << 20,
            cql: CqlConfig::default(),
        }
    }
}

/// Stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    /// Within how many seconds of SIGTERM the process ends, open connections or not. Default 10.
    pub seconds: u32,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { seconds: 10 }
    }
}

impl DrainConfig {
    /// [`Self::seconds`].
    pub fn patience(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

/// Logs, which go to stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// How a line is written: `pretty` or `json`. Default `pretty`.
    pub format: LogFormat,
    /// Which lines are written, as `tracing-subscriber` reads it. Default `info,ractor=warn,scylla=warn`.
    pub filter: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, filter: "info,ractor=warn,scylla=warn".to_owned() }
    }
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For a person.
    #[default]
    Pretty,
    /// For a machine: one JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 5001)),
            data: PathBuf::from("./data"),
            keys: KeysConfig::default(),
            http: HttpConfig::default(),
            auth: AuthConfig::default(),
            funding: FundingConfig::default(),
            edge: EdgeConfig::default(),
            ledger: LedgerConfig::default(),
            rooms: RoomsConfig::default(),
            server: ServerConfig::default(),
            delivery: DeliveryConfig::default(),
            escalation: EscalationConfig::default(),
            presence: PresenceConfig::default(),
            storage: StorageConfig::default(),
            redis: RedisConfig::default(),
            drain: DrainConfig::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

impl Config {
    /// Checks what serde cannot: ranges, and how values stand to one another and to the profile.
    ///
    /// # Errors
    /// The first value that cannot be used, with its key.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, why: &str| Err(ConfigError::new(format!("`{key}` {why}")));
        if ShardCount::new(self.storage.shards).is_none() {
            return wrong("storage.shards", "must be 64 to 1024");
        }
        if BusinessZone::new(&self.storage.business_zone).is_none() {
            return wrong("storage.business_zone", "is not the name of a time zone, such as Asia/Kolkata");
        }
        if Currency::from_code(&self.storage.currency).is_none() {
            return wrong("storage.currency", "is not the code of a currency that accounts are kept in, such as INR");
        }
        if let Err((key, why)) = self.storage.cql.check() {
            return wrong(&format!("storage.cql.{key}"), why);
        }
        if let Err((key, why)) = self.redis.check() {
            return wrong(&format!("redis.{key}"), why);
        }
        if self.drain.seconds == 0 {
            return wrong("drain.seconds", "must be at least 1");
        }
        if self.ledger.commands_max == 0 || self.ledger.commands_max > tokio::sync::Semaphore::MAX_PERMITS {
            return wrong("ledger.commands_max", "is out of range");
        }
        if self.rooms.commands_max == 0 || self.rooms.commands_max > tokio::sync::Semaphore::MAX_PERMITS {
            return wrong("rooms.commands_max", "is out of range");
        }
        self.server.check()?;
        if let Err(why) = self.edge.websocket.check() {
            return wrong("edge.websocket", &why.to_string());
        }
        if let Err((class, error)) = self.delivery.check() {
            return wrong(&format!("delivery.{}.{}", class.as_str(), error.key), &format!("must be {}", error.range));
        }
        self.escalation.check(self.profile)?;
        if let Err((key, range)) = self.presence.check() {
            return wrong(&format!("presence.{key}"), &format!("must be {range}"));
        }
        if self.profile == Profile::Production {
            self.check_production()?;
        }
        self.keys.check(self.profile)
    }

    /// Refuses what is for trying things only.
    fn check_production(&self) -> Result<(), ConfigError> {
        let refused = |key: &str| Err(ConfigError::new(format!("`{key}` is not allowed in production")));
        if self.funding.is_self_service(self.profile) {
            return refused("funding.self_service");
        }
        if !self.http.is_key_required(self.profile) {
            return refused("http.idempotency_key_required = false");
        }
        if self.auth.password_chars_min(self.profile) < PASSWORD_CHARS_MIN {
            return refused("auth.password_chars_min below 8");
        }
        Ok(())
    }
}

/// A configuration that cannot be used, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// An error that says this.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}
