//! Watches on CQL: whose messages are owed to whom, when somebody must look, and what became of each.
//!
//! All are plain rows: of a stream there is one writer, the node that owns it. A change is its rows first and what was
//! noted last; cut short, the events are looked at again and come to the same.

mod timelines;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use domain::delivery::Class;
use domain::ids::{ShardId, UserId};
use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::journal::{JournalKey, Slot, Space};
use storage::watches::{
    BATCH_MAX, Subscriber, Timeline, TimelineMark, TimelinePage, TimelineWrite, Watch, WatchChange, Watches,
};
use uuid::Uuid;

use crate::Cql;
use crate::calendar::{self, Due, Purpose};
use crate::client::to_its_end;
use crate::journal::space_number;
use crate::number::{from_cql, limit, to_cql};
use crate::statements::Named;

/// Rows read or written together.
const TOGETHER_MAX: usize = 32;

/// Streams of one person read at once.
const STREAMS_MAX: usize = 500;

/// Journals that are noted: of each space as many as a store may have shards.
const NOTED_MAX: usize = 4_096;

/// The partition of the list of noted slots: it is short.
const LISTING: i8 = 0;

/// The store of watches on CQL.
pub struct CqlWatches {
    cql: Arc<Cql>,
    /// The newest step that was written by this process, by which older ones are told to be over.
    newest: Arc<AtomicU64>,
}

impl CqlWatches {
    /// The store of watches.
    pub fn new(cql: Arc<Cql>) -> Self {
        Self { cql, newest: Arc::default() }
    }
}

#[async_trait]
impl Watches for CqlWatches {
    async fn subscribe(&self, subscriber: Subscriber) -> Result<(), Error> {
        // Nearly always it is known: nothing is to be written.
        if known(&self.cql, subscriber.stream).await? == Some(subscriber) {
            return Ok(());
        }
        let cql = Arc::clone(&self.cql);
        to_its_end(async move {
            let Subscriber { user, stream, class } = subscriber;
            // First what a person is forgotten by.
            cql.write(Named::SubscriptionPut, (user.0, stream)).await?;
            cql.write(Named::SubscriberPut, (stream, user.0, number(class))).await
        })
        .await
    }

    async fn subscribers(&self, streams: Vec<Uuid>) -> Result<Vec<Option<Subscriber>>, Error> {
        within(streams.len())?;
        stream::iter(streams).map(|stream| known(&self.cql, stream)).buffered(TOGETHER_MAX).try_collect().await
    }

    async fn watches(&self, of: Vec<(UserId, Uuid)>) -> Result<Vec<Option<Watch>>, Error> {
        within(of.len())?;
        let reads = stream::iter(of).map(|(user, stream)| get(&self.cql, user, stream));
        reads.buffered(TOGETHER_MAX).try_collect().await
    }

    async fn due_watches(&self, now: Timestamp, max: usize) -> Result<Vec<Watch>, Error> {
        let max = max.min(BATCH_MAX);
        loop {
            let notes = calendar::noted(&self.cql, Purpose::Watch, now.next(), max).await?;
            let is_all = notes.len() < max;
            let read = |note: Due| async move {
                let watch = get(&self.cql, UserId(note.owner), note.item).await?;
                Ok::<_, Error>((note, watch.filter(|watch| watch.due == note.at)))
            };
            let found: Vec<_> = stream::iter(notes).map(read).buffered(TOGETHER_MAX).try_collect().await?;
            let (due, old): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, watch)| watch.is_some());
            for (note, _) in &old {
                // Ended, or due at another time: it has another note.
                calendar::forget(&self.cql, Purpose::Watch, *note).await?;
            }
            // Old notes took the places of others.
            if is_all || old.is_empty() {
                return Ok(due.into_iter().filter_map(|(_, watch)| watch).collect());
            }
        }
    }

    async fn change_watches(&self, changes: Vec<WatchChange>, noted: Vec<(JournalKey, Slot)>) -> Result<(), Error> {
        within(changes.len())?;
        let cql = Arc::clone(&self.cql);
        to_its_end(async move {
            let changing = stream::iter(changes).map(|change| apply(&cql, change));
            changing.buffer_unordered(TOGETHER_MAX).try_collect::<()>().await?;
            let noting = stream::iter(noted).map(|(key, slot)| note(&cql, key, slot));
            noting.buffer_unordered(TOGETHER_MAX).try_collect::<()>().await
        })
        .await
    }

    async fn noted(&self) -> Result<Vec<(JournalKey, Slot)>, Error> {
        let rows = self.cql.rows::<(i8, i32, i64)>(Named::NotedRead, (LISTING, limit(NOTED_MAX))).await?;
        rows.into_iter()
            .map(|(space, shard, slot)| {
                let space = Space::ALL.into_iter().find(|known| space_number(*known) == space);
                let shard = u16::try_from(shard).ok().map(ShardId);
                let key = space.zip(shard).map(|(space, shard)| JournalKey { space, shard });
                let key = key.ok_or_else(|| Error::Unknown("a noted journal is not known to this build".to_owned()))?;
                Ok((key, Slot(from_cql(slot)?)))
            })
            .collect()
    }

    async fn put_timelines(&self, writes: Vec<TimelineWrite>) -> Result<(), Error> {
        within(writes.len())?;
        let (cql, newest) = (Arc::clone(&self.cql), Arc::clone(&self.newest));
        to_its_end(async move { timelines::put(&cql, &newest, writes).await }).await
    }

    async fn timeline(&self, user: UserId, stream: Uuid, offset: u64) -> Result<Option<Timeline>, Error> {
        timelines::get(&self.cql, &self.newest, user, stream, offset).await
    }

    async fn timelines(&self, user: UserId, after: Option<TimelineMark>) -> Result<TimelinePage, Error> {
        timelines::page(&self.cql, user, after).await
    }

    async fn forget_watches(&self, user: UserId) -> Result<(), Error> {
        let cql = Arc::clone(&self.cql);
        to_its_end(async move {
            loop {
                let values = (user.0, limit(STREAMS_MAX));
                let streams = cql.rows::<(Uuid,)>(Named::SubscriptionsRead, values).await?;
                if streams.is_empty() {
                    break;
                }
                for (stream,) in streams {
                    apply(&cql, WatchChange::Forget(user, stream)).await?;
                }
            }
            timelines::forget(&cql, user).await
        })
        .await
    }
}

fn within(count: usize) -> Result<(), Error> {
    if count > BATCH_MAX { Err(Error::Unknown(format!("more than {BATCH_MAX} watches at once"))) } else { Ok(()) }
}

fn number(class: Class) -> i8 {
    i8::try_from(class.number()).unwrap_or(i8::MAX)
}

fn class(number: i8) -> Result<Class, Error> {
    let class = u8::try_from(number).ok().and_then(Class::from_number);
    class.ok_or_else(|| Error::Unknown(format!("the class {number} is not known to this build")))
}

async fn known(cql: &Cql, stream: Uuid) -> Result<Option<Subscriber>, Error> {
    let row = cql.row::<(Uuid, i8)>(Named::SubscriberRead, (stream,)).await?;
    row.map(|(user, number)| Ok(Subscriber { user: UserId(user), stream, class: class(number)? })).transpose()
}

/// Class, epoch, through, found, due, first and last of what is unsaid, when was escalated.
type Columns = (i8, String, i64, Vec<u8>, i64, Option<i64>, Option<i64>, Option<i64>);

async fn get(cql: &Cql, user: UserId, stream: Uuid) -> Result<Option<Watch>, Error> {
    let row = cql.row::<Columns>(Named::WatchRead, (user.0, stream)).await?;
    let Some((number, epoch, through, found, due, first, last, escalated)) = row else { return Ok(None) };
    let unsaid =
        first.zip(last).map(|(first, last)| Ok::<_, Error>((from_cql(first)?, from_cql(last)?))).transpose()?;
    let offset = |chunk: &[u8]| {
        let bytes = chunk.try_into();
        bytes.map(u64::from_le_bytes).map_err(|_| Error::Unknown("a watch's offsets cannot be read".to_owned()))
    };
    Ok(Some(Watch {
        subscriber: Subscriber { user, stream, class: class(number)? },
        epoch,
        through: from_cql(through)?,
        found: found.chunks(8).map(offset).collect::<Result<_, _>>()?,
        due: Timestamp(from_cql(due)?),
        unsaid,
        escalated_at: escalated.map(|at| from_cql(at).map(Timestamp)).transpose()?,
    }))
}

async fn apply(cql: &Cql, change: WatchChange) -> Result<(), Error> {
    match change {
        WatchChange::Put(watch) => put(cql, &watch).await,
        WatchChange::End(user, stream) => end(cql, user, stream).await,
        WatchChange::Forget(user, stream) => {
            end(cql, user, stream).await?;
            cql.write(Named::SubscriberRemove, (stream,)).await?;
            cql.write(Named::SubscriptionRemove, (user.0, stream)).await
        }
    }
}

async fn put(cql: &Cql, watch: &Watch) -> Result<(), Error> {
    let Subscriber { user, stream, class } = watch.subscriber;
    let old = get(cql, user, stream).await?;
    calendar::note(cql, Purpose::Watch, due(watch)).await?;
    let offset = |offset: Option<u64>| offset.map(to_cql).transpose();
    let found: Vec<u8> = watch.found.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    let (first, last) = (watch.unsaid.map(|(first, _)| first), watch.unsaid.map(|(_, last)| last));
    let values = (
        user.0,
        stream,
        number(class),
        &watch.epoch,
        to_cql(watch.through)?,
        found,
        to_cql(watch.due.0)?,
        offset(first)?,
        offset(last)?,
        offset(watch.escalated_at.map(|at| at.0))?,
    );
    cql.write(Named::WatchPut, values).await?;
    match old.filter(|old| old.due != watch.due) {
        Some(old) => calendar::forget(cql, Purpose::Watch, due(&old)).await,
        None => Ok(()),
    }
}

async fn end(cql: &Cql, user: UserId, stream: Uuid) -> Result<(), Error> {
    let Some(old) = get(cql, user, stream).await? else { return Ok(()) };
    cql.write(Named::WatchRemove, (user.0, stream)).await?;
    calendar::forget(cql, Purpose::Watch, due(&old)).await
}

fn due(watch: &Watch) -> Due {
    Due { at: watch.due, owner: watch.subscriber.user.0, item: watch.subscriber.stream }
}

/// The slot is the stamp: a late note changes nothing.
async fn note(cql: &Cql, key: JournalKey, slot: Slot) -> Result<(), Error> {
    let slot = to_cql(slot.0)?;
    let values = (LISTING, space_number(key.space), i32::from(key.shard.0), slot, slot.saturating_add(1));
    cql.write(Named::NotedPut, values).await
}
