//! Removing what retention has ended, by the stamps of what is there: what is written later under the same key stays.

use storage::Error;
use storage::views::Gone;
use uuid::Uuid;

use super::{BUCKET_EVENTS, CqlViews, PAGE_ROWS, family};
use crate::number::{bound, from_cql, to_cql};
use crate::statements::Named;

/// Removes these rows.
pub(super) async fn remove(views: &CqlViews, gone: Gone) -> Result<(), Error> {
    for (stream, through) in gone.events {
        views.remove_events(stream, through).await?;
    }
    for (table, partition, sort) in gone.cells {
        let (space, family) = (views.space(), family(table));
        let values = (space, family, partition, sort.as_slice());
        let stamp = views.cql.row::<(Option<i64>,)>(Named::CellStamp, values).await?;
        if let Some((Some(stamp),)) = stamp {
            views.cql.write(Named::CellRemove, (stamp, space, family, partition, sort.as_slice())).await?;
        }
    }
    Ok(())
}

impl CqlViews {
    async fn remove_events(&self, stream: Uuid, through: u64) -> Result<(), Error> {
        let last = bound(through);
        let open = to_cql(from_cql(last)? / BUCKET_EVENTS)?;
        loop {
            let buckets = self.buckets_before(stream, open.saturating_add(1), PAGE_ROWS).await?;
            for (bucket, stamp) in &buckets {
                self.remove_from(stream, *bucket, last).await?;
                // The last of them may be written to again.
                if *bucket < open {
                    self.cql.write(Named::BucketRemove, (*stamp, self.space(), stream, *bucket)).await?;
                }
            }
            if buckets.len() < PAGE_ROWS {
                return Ok(());
            }
        }
    }

    /// Removes the events of one bucket up to an offset. The newest of them has the latest stamp.
    async fn remove_from(&self, stream: Uuid, bucket: i64, last: i64) -> Result<(), Error> {
        let values = (self.space(), stream, bucket, last);
        let newest = self.cql.row::<(i64, Option<i64>)>(Named::EventStamp, values).await?;
        if let Some((number, Some(stamp))) = newest {
            self.cql.write(Named::EventsRemove, (stamp, self.space(), stream, bucket, number)).await?;
        }
        Ok(())
    }
}
