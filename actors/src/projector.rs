//! `Projector`: applies one shard's durable records to the views, in order, behind by a bounded lag.
//!
//! Its shard tells it to run, with the shard's own state as of the last record; it derives the rows of
//! all records up to there, writes them in one batch with the position, and trims the tail. Everything
//! it writes is derived from durable records. When it dies its shard dies with it, and both go on from
//! the stored position.

use std::sync::Arc;
use std::time::Duration;

use domain::ledger;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::journal::Slot;

use crate::metrics;
use crate::projector::rows::Rows;
use crate::shard::ShardMessage;
use crate::shard::core::Shared;

pub mod cells;
pub mod rebuild;
pub(crate) mod rows;

/// How long to wait when views do not take a batch, before it is offered again.
const RETRY: Duration = Duration::from_millis(500);

/// Mail of a projector.
#[derive(Debug)]
pub enum ProjectorMessage {
    /// Project what views lack.
    Run {
        /// Up to this record.
        through: Slot,
        /// The shard's fold as of that record.
        ledger: Box<ledger::Shard>,
    },
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// The actor.
pub(crate) struct Projector;

/// What a projector is made with.
pub(crate) struct ProjectorArgs {
    /// Its shard.
    pub shared: Arc<Shared>,
}

impl Actor for Projector {
    type Msg = ProjectorMessage;
    type State = ProjectorArgs;
    type Arguments = ProjectorArgs;

    async fn pre_start(
        &self,
        _: ActorRef<ProjectorMessage>,
        args: ProjectorArgs,
    ) -> Result<ProjectorArgs, ActorProcessingErr> {
        Ok(args)
    }

    async fn handle(
        &self,
        _: ActorRef<ProjectorMessage>,
        message: ProjectorMessage,
        state: &mut ProjectorArgs,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ProjectorMessage::Run { through, ledger } => state.run(through, &ledger).await,
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            ProjectorMessage::Panic => panic!("a fault was put in"),
        }
    }
}

impl ProjectorArgs {
    async fn run(&self, through: Slot, ledger: &ledger::Shard) -> Result<(), ActorProcessingErr> {
        let records = self.shared.unprojected(through);
        if !records.is_empty() {
            let views = &*self.shared.node.stores.views;
            let mut rows = Rows::live(&self.shared);
            for record in &records {
                rows.record(record).await?;
                // A batch takes milliseconds: callers of other shards do not wait for all of it.
                tokio::task::yield_now().await;
            }
            let batch = rows.finish(ledger)?;
            metrics::projected(records.len());
            while let Err(error) = views.apply(batch.clone()).await {
                // Admission stops when the tail is full; what is durable waits here.
                tracing::error!(%error, shard = %self.shared.id, "views do not take a batch");
                tokio::time::sleep(RETRY).await;
            }
            self.shared.projected(through);
        }
        // A shard that has gone meanwhile starts from the position.
        self.shared.actor.cast(ShardMessage::Projected).ok();
        Ok(())
    }
}
