//! Where the server is and how it is connected to: the one, the master that the Sentinels name, or a cluster.

use std::fs;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisFuture, RedisResult, TlsCertificates, Value,
};
use storage::Error;

use crate::config::{RedisConfig, RedisKind};

/// How often a request to a cluster follows a slot that has moved, or waits for one that is moving.
const CLUSTER_RETRIES: u32 = 3;

/// The way to the server.
pub(crate) struct Endpoint {
    config: RedisConfig,
    /// Whom to trust, in PEM; the system's if there is none.
    certificates: Option<Vec<u8>>,
}

/// A connection. Clones share it.
#[derive(Clone)]
pub(crate) enum Link {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(link) => link.req_packed_command(command),
            Self::Cluster(link) => link.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(link) => link.req_packed_commands(commands, offset, count),
            Self::Cluster(link) => link.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(link) => link.get_db(),
            Self::Cluster(link) => link.get_db(),
        }
    }
}

impl Endpoint {
    /// As configured.
    ///
    /// # Errors
    /// [`Error::Misconfigured`]: a URL or the file of certificates cannot be used.
    pub(crate) fn new(config: &RedisConfig) -> Result<Self, Error> {
        let read = |path: &std::path::PathBuf| {
            fs::read(path).map_err(|error| Error::Misconfigured(format!("{}: {error}", path.display())))
        };
        let certificates = config.tls_certificates.as_ref().map(read).transpose()?;
        let endpoint = Self { config: config.clone(), certificates };
        for url in &endpoint.config.urls {
            // The parser's message may repeat the URL.
            let info =
                endpoint.info(url).map_err(|_| Error::Misconfigured("a URL of Redis cannot be used".to_owned()))?;
            endpoint
                .client_of(info)
                .map_err(|error| Error::Misconfigured(format!("Redis cannot be used so: {error}")))?;
        }
        Ok(endpoint)
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> RedisResult<Link> {
        let patience = self.config.connect_timeout();
        if self.config.kind == RedisKind::Cluster {
            let nodes = self.config.urls.iter().map(|url| self.info(url)).collect::<RedisResult<Vec<_>>>()?;
            let mut builder = ClusterClientBuilder::new(nodes)
                .connection_timeout(patience)
                .response_timeout(patience)
                .retries(CLUSTER_RETRIES);
            if let Some(certificates) = self.trusted() {
                builder = builder.certs(certificates);
            }
            return Ok(Link::Cluster(builder.build()?.get_async_connection().await?));
        }
        // Each request has a deadline of its own, set where it is asked.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
        let client = self.client().await?;
        Ok(Link::One(client.get_multiplexed_async_connection_with_config(&config).await?))
    }

    /// A new connection that hears what is published.
    pub(crate) async fn listen(&self) -> RedisResult<PubSub> {
        self.client().await?.get_async_pubsub().await
    }

    /// The server to talk to; in a cluster one of them, which is enough to hear what is published on any.
    async fn client(&self) -> RedisResult<Client> {
        let mut last = RedisError::from((ErrorKind::InvalidClientConfig, "no URL is given"));
        for url in &self.config.urls {
            let found = match self.config.kind {
                RedisKind::Standalone | RedisKind::Cluster => self.reachable(url).await,
                RedisKind::Sentinel => self.master(url).await,
            };
            match found {
                Ok(client) => return Ok(client),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The server of a URL, if it answers, or if it is the only one.
    async fn reachable(&self, url: &str) -> RedisResult<Client> {
        let client = self.client_of(self.info(url)?)?;
        if self.config.urls.len() > 1 {
            self.greet(&client).await?;
        }
        Ok(client)
    }

    /// The master, as the Sentinel of a URL names it, if it says so itself: a Sentinel may be behind.
    async fn master(&self, url: &str) -> RedisResult<Client> {
        let sentinel = self.client_of(self.sentinel_info(url)?)?;
        let mut link = self.greet(&sentinel).await?;
        let name = &self.config.master_name;
        let asked = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).query_async(&mut link).await?;
        let Some((host, port)) = asked else {
            return Err((ErrorKind::InvalidClientConfig, "the Sentinel knows no master of this name").into());
        };
        let addr = if self.config.sentinel_master_tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let master = self.client_of(addr.into_connection_info()?.set_redis_settings(self.signing_in(0)))?;
        let mut link = self.greet(&master).await?;
        let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut link).await?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(master),
            _ => Err((ErrorKind::Io, "the server that the Sentinel names is no master").into()),
        }
    }

    async fn greet(&self, client: &Client) -> RedisResult<MultiplexedConnection> {
        let patience = Some(self.config.connect_timeout());
        let config = AsyncConnectionConfig::new().set_connection_timeout(patience).set_response_timeout(patience);
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    fn client_of(&self, info: ConnectionInfo) -> RedisResult<Client> {
        let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        match self.trusted().filter(|_| is_tls) {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    fn trusted(&self) -> Option<TlsCertificates> {
        let root_cert = Some(self.certificates.clone()?);
        Some(TlsCertificates { client_tls: None, root_cert })
    }

    fn info(&self, url: &str) -> RedisResult<ConnectionInfo> {
        let info = url.into_connection_info()?;
        let database = info.redis_settings().db();
        Ok(info.set_redis_settings(self.signing_in(database)))
    }

    fn sentinel_info(&self, url: &str) -> RedisResult<ConnectionInfo> {
        let RedisConfig { sentinel_user, sentinel_password, .. } = &self.config;
        Ok(url
            .into_connection_info()?
            .set_redis_settings(signing_in(sentinel_user.as_ref(), sentinel_password.as_ref())))
    }

    fn signing_in(&self, database: i64) -> RedisConnectionInfo {
        signing_in(self.config.user.as_ref(), self.config.password.as_ref()).set_db(database)
    }
}

fn signing_in(user: Option<&String>, password: Option<&String>) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default();
    if let Some(user) = user {
        settings = settings.set_username(user);
    }
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    settings
}
