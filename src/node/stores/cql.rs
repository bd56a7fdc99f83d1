//! The stores of a space on CQL.
//!
//! Every shard has a journal of its own there, so views that are too far behind are brought up shard by shard.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::journal::{Journal, JournalKey, Slot, Space};
use storage::views::Position;
use storage_cql::{Cql, CqlJournal, CqlViews};

use crate::config::Config;
use crate::node::store::Store;
use crate::node::stores::records::{Reach, ShardRecords};

/// Shards looked at together.
const LOOKING_MAX: usize = 16;

/// Records of a shard without a position that it may read itself: their bytes were never bounded by a tail.
const NEVER_PROJECTED_MAX: usize = 64;

/// The journal of a space and its views, on CQL.
pub(super) struct CqlSpace {
    space: Space,
    pub(super) journal: Arc<CqlJournal>,
    pub(super) views: Arc<CqlViews>,
}

impl CqlSpace {
    pub(super) fn new(cql: &Arc<Cql>, space: Space) -> Self {
        let (journal, views) = (CqlJournal::new(Arc::clone(cql), space), CqlViews::new(Arc::clone(cql), space));
        Self { space, journal: Arc::new(journal), views: Arc::new(views) }
    }

    /// The journals of the space.
    pub(super) fn keys(&self, store: &Store) -> Vec<JournalKey> {
        store.shards.shards().map(|shard| JournalKey { space: self.space, shard }).collect()
    }

    /// All records that there are now.
    pub(super) async fn records(&self, store: &Store) -> Result<ShardRecords, Error> {
        let ends = self.ends(store).await?;
        let reaches = ends.into_iter().map(|(key, last)| Reach { key, next: Slot(1), last }).collect();
        Ok(ShardRecords::new(Arc::clone(&self.journal), reaches))
    }

    /// The records of shards whose views are too far behind, from where the views are.
    pub(super) async fn behind(
        &self,
        store: &Store,
        config: &Config,
        positions: &[(JournalKey, Position)],
    ) -> Result<Option<ShardRecords>, Error> {
        // Twice the bound: a node that was stopped at it is not behind.
        let records_max = 2 * match self.space {
            Space::Ledger => config.ledger.tail_records_max,
            Space::Rooms => config.rooms.tail_records_max,
        };
        let mut reaches = Vec::new();
        for (key, last) in self.ends(store).await? {
            let through = positions.iter().find(|(other, _)| *other == key).map_or(Slot(0), |(_, at)| at.through);
            let bound = if through == Slot(0) { NEVER_PROJECTED_MAX } else { records_max };
            let lag = last.0.saturating_sub(through.0);
            let is_far = usize::try_from(lag).unwrap_or(usize::MAX) > bound;
            // What retention has removed before it, no shard can read: only a replay starts there.
            let is_cut = lag > 0
                && !self.space.is_kept_for_ever()
                && self
                    .journal
                    .read(key, through.next(), 1)
                    .await?
                    .first()
                    .is_none_or(|first| first.record.slot != through.next());
            if is_far || is_cut {
                reaches.push(Reach { key, next: through.next(), last });
            }
        }
        Ok((!reaches.is_empty()).then(|| ShardRecords::new(Arc::clone(&self.journal), reaches)))
    }

    /// The last slot of each journal.
    async fn ends(&self, store: &Store) -> Result<Vec<(JournalKey, Slot)>, Error> {
        let end = |key| async move { Ok::<_, Error>((key, self.journal.last(key).await?)) };
        stream::iter(self.keys(store)).map(end).buffered(LOOKING_MAX).try_collect().await
    }
}
