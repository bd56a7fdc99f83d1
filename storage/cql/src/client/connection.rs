//! A session with the store, before anything is prepared: migrations and checks need no more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use scylla::client::PoolSize;
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::policies::load_balancing::{
    DefaultPolicy, LoadBalancingPolicy, NodeIdentifier, SingleTargetLoadBalancingPolicy,
};
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy, RetryPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement;
use scylla::statement::{Consistency, SerialConsistency};
use storage::Error;
use uuid::Uuid;

use crate::config::{CqlConfig, Serial};
use crate::error::{failed, unconnected, unreadable};
use crate::statements::Kind;

/// How long a change of the schema may take: a table takes a third of a second on each node.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many more nodes are asked whether a quorum answers, while the first has not said so: one that hangs says nothing
/// of the others.
const MORE_ASKED: u32 = 2;

/// A session with the store.
pub struct Connection {
    session: Session,
    transaction: ExecutionProfileHandle,
    serial_read: ExecutionProfileHandle,
    plain: ExecutionProfileHandle,
    probe: ExecutionProfileHandle,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no node answers, [`Error::Misconfigured`] if the certificates cannot be used or the
    /// store does not let this user in.
    pub async fn open(config: &CqlConfig) -> Result<Self, Error> {
        let policy: Arc<dyn LoadBalancingPolicy> = DefaultPolicy::builder()
            .prefer_datacenter(config.data_centre.clone())
            .token_aware(true)
            .permit_dc_failover(false)
            .build();
        let (serial, serial_read) = match config.serial {
            Serial::Local => (SerialConsistency::LocalSerial, Consistency::LocalSerial),
            Serial::Global => (SerialConsistency::Serial, Consistency::Serial),
        };
        // Agreed on by all data centres, it must also be there in all of them before anybody reads it there.
        let quorum = match config.serial {
            Serial::Local => Consistency::LocalQuorum,
            Serial::Global => Consistency::Quorum,
        };
        let profile = |consistency, serial, retry: Arc<dyn RetryPolicy>| {
            ExecutionProfile::builder()
                .load_balancing_policy(Arc::clone(&policy))
                .request_timeout(Some(config.request_timeout()))
                .consistency(consistency)
                .serial_consistency(serial)
                .retry_policy(retry)
                .build()
                .into_handle()
        };
        let never = || Arc::new(FallthroughRetryPolicy::new());
        let transaction = profile(quorum, Some(serial), never());
        let serial_read = profile(serial_read, None, never());
        let plain = profile(quorum, None, Arc::new(DefaultRetryPolicy::new()));
        let others = SimpleSpeculativeExecutionPolicy {
            max_retry_count: usize::try_from(MORE_ASKED).unwrap_or(usize::MAX),
            retry_interval: config.request_timeout() / (MORE_ASKED + 1),
        };
        let probe = plain.pointee_to_builder().speculative_execution_policy(Some(Arc::new(others)));
        let probe = probe.build().into_handle();
        let connections =
            usize::from(config.connections).try_into().map_err(|_| Error::Misconfigured("no connections".into()))?;
        let mut builder = SessionBuilder::new()
            .known_nodes(&config.nodes)
            .pool_size(PoolSize::PerShard(connections))
            .connection_timeout(config.connect_timeout())
            .keepalive_interval(Duration::from_secs(10))
            .tcp_nodelay(true)
            // A migration waits once at its end, not after each of some thirty tables.
            .auto_await_schema_agreement(false)
            .default_execution_profile_handle(plain.clone());
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            builder = builder.user(user, password);
        }
        if config.tls_certificates.is_some() {
            builder = builder.tls_context(Some(tls(config)?));
        }
        let session = builder.build().await;
        let session = session.map_err(|error| unconnected(&error))?;
        Ok(Self { session, transaction, serial_read, plain, probe })
    }

    pub(crate) const fn session(&self) -> &Session {
        &self.session
    }

    /// How requests of a kind are sent.
    pub(super) fn profile(&self, kind: Kind) -> ExecutionProfileHandle {
        match kind {
            Kind::Transaction => self.transaction.clone(),
            Kind::SerialRead => self.serial_read.clone(),
            Kind::Read | Kind::Write => self.plain.clone(),
        }
    }

    pub(super) async fn prepare(&self, kind: Kind, text: String) -> Result<PreparedStatement, Error> {
        let prepared = self.session.prepare(text.as_str()).await;
        let mut prepared = prepared.map_err(|error| Error::Unavailable(format!("cannot prepare {text}: {error}")))?;
        prepared.set_execution_profile_handle(Some(self.profile(kind)));
        prepared.set_is_idempotent(matches!(kind, Kind::Read | Kind::Write));
        // The columns of a transaction's answer change from one to the next.
        prepared.set_use_cached_result_metadata(false);
        Ok(prepared)
    }

    /// Sends a statement of an operator's, such as a change of the schema, and waits until all nodes have it.
    ///
    /// # Errors
    /// The store does not answer or refuses it.
    pub async fn execute(&self, text: &str) -> Result<(), Error> {
        self.change(text).await?;
        self.agreed().await
    }

    /// Changes the schema at one node, the same whoever asks: two nodes of the store that made one table at once would
    /// make two. The others have it once they have [agreed](Self::agreed).
    pub(crate) async fn change(&self, text: &str) -> Result<(), Error> {
        let mut statement = Statement::new(text);
        statement.set_request_timeout(Some(CHANGE_TIMEOUT));
        let first = self.nodes().into_keys().next();
        if let Some(node) = first {
            let policy = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::HostId(node), None);
            statement.set_load_balancing_policy(Some(policy));
        }
        let changed = self.session.query_unpaged(statement, &[]).await;
        changed.map(drop).map_err(|error| failed(text, &error))
    }

    /// How many rows an operator's reading has.
    ///
    /// # Errors
    /// The store does not answer or refuses it.
    pub async fn count(&self, text: &str) -> Result<usize, Error> {
        Ok(self.ask::<scylla::value::Row>(text.to_owned(), false, None).await?.len())
    }

    /// Sends a lightweight transaction without values, where nothing can be prepared yet.
    pub(crate) async fn transact(&self, text: String) -> Result<scylla::response::query_result::QueryResult, Error> {
        let mut statement = Statement::new(text);
        statement.set_execution_profile_handle(Some(self.transaction.clone()));
        let done = self.session.query_unpaged(statement, &[]).await;
        done.map_err(|error| failed("a step of a migration", &error))
    }

    /// The rows of a reading without values; serial if that is asked for; of the given node, or of any.
    pub(crate) async fn ask<T>(&self, text: String, serial: bool, node: Option<Uuid>) -> Result<Vec<T>, Error>
    where
        T: for<'f> DeserializeRow<'f, 'f>,
    {
        let mut statement = Statement::new(text.clone());
        statement.set_execution_profile_handle(Some(if serial {
            self.serial_read.clone()
        } else {
            self.plain.clone()
        }));
        if let Some(node) = node {
            statement.set_consistency(Consistency::One);
            let policy = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::HostId(node), None);
            statement.set_load_balancing_policy(Some(policy));
        }
        let result = self.session.query_unpaged(statement, &[]).await.map_err(|error| failed(&text, &error))?;
        let rows = result.into_rows_result().map_err(|error| unreadable(&text, error))?;
        let typed = rows.rows::<T>().map_err(|error| unreadable(&text, error))?;
        typed.collect::<Result<_, _>>().map_err(|error| unreadable(&text, error))
    }

    /// Whether as many nodes answer a reading as a transaction needs. It is asked of several at once when one is slow.
    pub(crate) async fn has_quorum(&self, text: &str) -> Result<(), Error> {
        let mut statement = Statement::new(text);
        statement.set_execution_profile_handle(Some(self.probe.clone()));
        statement.set_is_idempotent(true);
        let answered = self.session.query_unpaged(statement, &[]).await;
        answered.map(drop).map_err(|error| failed(text, &error))
    }

    /// The nodes of the store, by id, with their data centres.
    pub(crate) fn nodes(&self) -> BTreeMap<Uuid, Option<String>> {
        let state = self.session.get_cluster_state();
        state.get_nodes_info().iter().map(|node| (node.host_id, node.datacenter.clone())).collect()
    }

    /// Waits until all nodes have the same schema, and this session too.
    pub(crate) async fn agreed(&self) -> Result<(), Error> {
        let disagree = |error: &dyn std::fmt::Display| {
            Error::Unavailable(format!("the nodes do not agree on the schema: {error}"))
        };
        self.session.await_schema_agreement().await.map_err(|error| disagree(&error))?;
        self.session.refresh_metadata().await.map_err(|error| disagree(&error))
    }
}

/// Encryption with the configured certificates as the only ones trusted.
fn tls(config: &CqlConfig) -> Result<Arc<rustls::ClientConfig>, Error> {
    let path = config.tls_certificates.clone().unwrap_or_default();
    let wrong = |error: &dyn std::fmt::Display| Error::Misconfigured(format!("{}: {error}", path.display()));
    let mut trusted = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| wrong(&error))? {
        trusted.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if trusted.is_empty() {
        return Err(wrong(&"it holds no certificate"));
    }
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| wrong(&error))?;
    Ok(Arc::new(builder.with_root_certificates(trusted).with_no_client_auth()))
}
