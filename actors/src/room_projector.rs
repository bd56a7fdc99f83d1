//! `RoomProjector`: applies one shard's durable records of rooms to the views, in order, behind by a
//! bounded lag; and removes rows whose time is over.
//!
//! Its shard tells it to run and gives it the state of the records that it finds. Everything it writes
//! is derived from durable records. When it dies its shard dies with it, and both go on from the stored
//! position.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::room::RoomShard;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::journal::Slot;

use crate::room_projector::rows::Rows;
use crate::room_shard::core::RoomShared;
use crate::rooms::metrics;

pub mod cells;
pub mod rebuild;
pub(crate) mod rows;

/// How long to wait when views do not take a batch, before it is offered again.
const RETRY: Duration = Duration::from_millis(500);

/// Mail of a projector.
#[derive(Debug)]
pub enum RoomProjectorMessage {
    /// Project what there is.
    Run {
        /// Up to this record.
        through: Slot,
        /// The shard's own state after it.
        fold: RoomShard,
    },
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// The actor.
pub(crate) struct RoomProjector;

impl Actor for RoomProjector {
    type Msg = RoomProjectorMessage;
    type State = Arc<RoomShared>;
    type Arguments = Arc<RoomShared>;

    async fn pre_start(
        &self,
        _: ActorRef<RoomProjectorMessage>,
        shared: Arc<RoomShared>,
    ) -> Result<Arc<RoomShared>, ActorProcessingErr> {
        Ok(shared)
    }

    async fn handle(
        &self,
        _: ActorRef<RoomProjectorMessage>,
        message: RoomProjectorMessage,
        shared: &mut Arc<RoomShared>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RoomProjectorMessage::Run { through, fold } => {
                run(shared, through, &fold).await?;
                shared.projecting.store(false, Ordering::Release);
                Ok(())
            }
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            RoomProjectorMessage::Panic => panic!("a fault was put in"),
        }
    }
}

async fn run(shared: &RoomShared, through: Slot, fold: &RoomShard) -> Result<(), ActorProcessingErr> {
    let views = &*shared.hall.stores.views;
    let mut rows = Rows::live(views, shared.key());
    let mut count = 0;
    for record in shared.unprojected().iter().take_while(|record| record.slot <= through) {
        rows.record(record).await?;
        count += 1;
        // A batch takes milliseconds: callers of other shards do not wait for all of it.
        tokio::task::yield_now().await;
    }
    if count == 0 {
        return Ok(());
    }
    let batch = rows.finish(fold)?;
    metrics::projected(count);
    while let Err(error) = views.apply(batch.clone()).await {
        // Admission stops when the tail is full; what is durable waits here.
        tracing::error!(%error, shard = %shared.id, "views of rooms do not take a batch");
        tokio::time::sleep(RETRY).await;
    }
    shared.projected(through);
    Ok(())
}
