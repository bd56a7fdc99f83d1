//! `Projector`: applies one shard's durable records to the views, in order, behind by a bounded lag.
//!
//! Its shard tells it to run; it takes the oldest records of the tail, derives their rows, writes them
//! in one batch with the position, and trims the tail. Everything it writes is derived from durable
//! records. When it dies its shard dies with it, and both go on from the stored position.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::ledger;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::metrics;
use crate::projector::rows::Rows;
use crate::shard::core::Shared;

pub mod cells;
pub mod rebuild;
pub(crate) mod rows;

/// How long to wait when views do not take a batch, before it is offered again.
const RETRY: Duration = Duration::from_millis(500);

/// Mail of a projector.
#[derive(Debug)]
pub enum ProjectorMessage {
    /// Project what there is.
    Run,
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
    /// The shard's fold as of the stored position.
    pub ledger: ledger::Shard,
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
            ProjectorMessage::Run => state.run().await,
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            ProjectorMessage::Panic => panic!("a fault was put in"),
        }
    }
}

impl ProjectorArgs {
    async fn run(&mut self) -> Result<(), ActorProcessingErr> {
        let bytes = self.shared.node.config.projection_bytes;
        loop {
            // Cleared before looking: who adds a record later asks for another run.
            self.shared.projecting.store(false, Ordering::Release);
            let records = self.shared.oldest(bytes);
            let Some(last) = records.last() else { return Ok(()) };
            let through = last.slot;
            let views = &*self.shared.node.stores.views;
            let mut rows = Rows::live(&self.shared);
            for record in &records {
                rows.record(&mut self.ledger, record).await?;
            }
            let batch = rows.finish(&self.ledger)?;
            metrics::projected(records.len());
            while let Err(error) = views.apply(batch.clone()).await {
                // Admission stops when the tail is full; what is durable waits here.
                tracing::error!(%error, shard = %self.shared.id, "views do not take a batch");
                tokio::time::sleep(RETRY).await;
            }
            self.shared.projected(through);
            if self.shared.tail().0 < bytes {
                return Ok(());
            }
        }
    }
}
