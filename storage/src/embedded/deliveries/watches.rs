//! Watches: whose messages are owed to whom, and when somebody must look.

use async_trait::async_trait;
use domain::ids::{ShardId, UserId};
use domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::records::{self, NOTED, SUBSCRIBERS, SUBSCRIPTIONS, WATCHES, WATCHES_DUE, WatchRecord};
use super::{EmbeddedDeliveries, cursors, devices, timelines};
use crate::Error;
use crate::embedded::database::{Failed, Stored};
use crate::journal::{JournalKey, Slot, Space};
use crate::watches::{
    BATCH_MAX, Subscriber, Timeline, TimelineMark, TimelinePage, TimelineWrite, Watch, WatchChange, Watches,
};

#[async_trait]
impl Watches for EmbeddedDeliveries {
    async fn subscribe(&self, subscriber: Subscriber) -> Result<(), Error> {
        // Nearly always it is known: nothing is to be written.
        let known = self.database.read(|txn| known(&txn.open_table(SUBSCRIBERS)?, subscriber.stream))?;
        if known == Some(subscriber) {
            return Ok(());
        }
        self.database.write(move |txn| subscribe(txn, subscriber)).await
    }

    async fn subscribers(&self, streams: Vec<Uuid>) -> Result<Vec<Option<Subscriber>>, Error> {
        within(streams.len())?;
        self.database.read(|txn| {
            let table = txn.open_table(SUBSCRIBERS)?;
            streams.iter().map(|stream| known(&table, *stream)).collect()
        })
    }

    async fn watches(&self, of: Vec<(UserId, Uuid)>) -> Result<Vec<Option<Watch>>, Error> {
        within(of.len())?;
        self.database.read(|txn| {
            let table = txn.open_table(WATCHES)?;
            of.iter().map(|(user, stream)| get(&table, *user, *stream)).collect()
        })
    }

    async fn due_watches(&self, now: Timestamp, max: usize) -> Result<Vec<Watch>, Error> {
        self.database.read(|txn| {
            let (table, order) = (txn.open_table(WATCHES)?, txn.open_table(WATCHES_DUE)?);
            let mut due = Vec::new();
            for row in order.range(..=(now.0, u128::MAX, u128::MAX))?.take(max.min(BATCH_MAX)) {
                let (_, user, stream) = row?.0.value();
                due.extend(get(&table, UserId(Uuid::from_u128(user)), Uuid::from_u128(stream))?);
            }
            Ok(due)
        })
    }

    async fn change_watches(&self, changes: Vec<WatchChange>, noted: Vec<(JournalKey, Slot)>) -> Result<(), Error> {
        within(changes.len())?;
        let change = move |txn: &WriteTransaction| {
            for change in &changes {
                match change {
                    WatchChange::Put(watch) => put(txn, watch)?,
                    WatchChange::End(user, stream) => end(txn, *user, *stream)?,
                    WatchChange::Forget(user, stream) => {
                        end(txn, *user, *stream)?;
                        if !has_place(txn, *user, *stream)? {
                            unsubscribe(txn, *user, *stream)?;
                        }
                    }
                }
            }
            let mut table = txn.open_table(NOTED)?;
            for (key, slot) in &noted {
                table.insert((key.space.number(), key.shard.0), slot.0)?;
            }
            Ok(())
        };
        self.database.write(change).await
    }

    async fn noted(&self) -> Result<Vec<(JournalKey, Slot)>, Error> {
        self.database.read(|txn| {
            let mut noted = Vec::new();
            for row in txn.open_table(NOTED)?.iter()? {
                let (key, slot) = row?;
                let (space, shard) = key.value();
                let space = (Space::ALL.into_iter())
                    .find(|known| known.number() == space)
                    .ok_or_else(|| Failed::Undecodable(format!("the space {space} is not known to this build")))?;
                noted.push((JournalKey { space, shard: ShardId(shard) }, Slot(slot.value())));
            }
            Ok(noted)
        })
    }

    async fn put_timelines(&self, writes: Vec<TimelineWrite>) -> Result<(), Error> {
        within(writes.len())?;
        self.database.write(move |txn| timelines::put(txn, &writes)).await
    }

    async fn timeline(&self, user: UserId, stream: Uuid, offset: u64) -> Result<Option<Timeline>, Error> {
        self.database.read(|txn| timelines::get(&txn.open_table(records::TIMELINES)?, user, stream, offset))
    }

    async fn timelines(&self, user: UserId, after: Option<TimelineMark>) -> Result<TimelinePage, Error> {
        self.database.read(|txn| timelines::page(&txn.open_table(records::TIMELINES)?, user, after))
    }

    async fn forget_watches(&self, user: UserId) -> Result<(), Error> {
        self.database.write(move |txn| forget(txn, user)).await
    }
}

fn within(count: usize) -> Result<(), Error> {
    if count > BATCH_MAX { Err(Error::Unknown(format!("more than {BATCH_MAX} watches at once"))) } else { Ok(()) }
}

fn known(table: &impl ReadableTable<u128, (u128, u8)>, stream: Uuid) -> Result<Option<Subscriber>, Failed> {
    let Some(row) = table.get(stream.as_u128())? else { return Ok(None) };
    let (user, class) = row.value();
    Ok(Some(Subscriber { user: UserId(Uuid::from_u128(user)), stream, class: records::read_class(class)? }))
}

fn subscribe(txn: &WriteTransaction, subscriber: Subscriber) -> Result<(), Failed> {
    let Subscriber { user, stream, class } = subscriber;
    let (user, stream) = (user.0.as_u128(), stream.as_u128());
    txn.open_table(SUBSCRIBERS)?.insert(stream, (user, class.number()))?;
    txn.open_table(SUBSCRIPTIONS)?.insert((user, stream), ())?;
    Ok(())
}

/// Whether a device of the person has a place in the stream.
fn has_place(txn: &WriteTransaction, user: UserId, stream: Uuid) -> Result<bool, Failed> {
    let devices = devices::of_user(&txn.open_table(records::DEVICES)?, user)?;
    let cursors = txn.open_table(records::CURSORS)?;
    for device in devices {
        if cursors::get(&cursors, user, device.id, stream)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unsubscribe(txn: &WriteTransaction, user: UserId, stream: Uuid) -> Result<(), Failed> {
    txn.open_table(SUBSCRIBERS)?.remove(stream.as_u128())?;
    txn.open_table(SUBSCRIPTIONS)?.remove((user.0.as_u128(), stream.as_u128()))?;
    Ok(())
}

fn get(
    table: &impl ReadableTable<(u128, u128), &'static [u8]>,
    user: UserId,
    stream: Uuid,
) -> Result<Option<Watch>, Failed> {
    let Some(bytes) = table.get((user.0.as_u128(), stream.as_u128()))? else { return Ok(None) };
    WatchRecord::decode(bytes.value())?.into_watch(user, stream).map(Some)
}

fn put(txn: &WriteTransaction, watch: &Watch) -> Result<(), Failed> {
    let Subscriber { user, stream, .. } = watch.subscriber;
    end(txn, user, stream)?;
    let (user, stream) = (user.0.as_u128(), stream.as_u128());
    txn.open_table(WATCHES)?.insert((user, stream), WatchRecord::of(watch).encode()?.as_slice())?;
    txn.open_table(WATCHES_DUE)?.insert((watch.due.0, user, stream), ())?;
    Ok(())
}

fn end(txn: &WriteTransaction, user: UserId, stream: Uuid) -> Result<(), Failed> {
    let (user, stream) = (user.0.as_u128(), stream.as_u128());
    let removed = txn.open_table(WATCHES)?.remove((user, stream))?.map(|bytes| WatchRecord::decode(bytes.value()));
    if let Some(record) = removed.transpose()? {
        txn.open_table(WATCHES_DUE)?.remove((record.due.0, user, stream))?;
    }
    Ok(())
}

/// Forgets all of a person, timelines included.
fn forget(txn: &WriteTransaction, user: UserId) -> Result<(), Failed> {
    let mut streams = Vec::new();
    let id = user.0.as_u128();
    for row in txn.open_table(SUBSCRIPTIONS)?.range((id, 0)..=(id, u128::MAX))? {
        streams.push(Uuid::from_u128(row?.0.value().1));
    }
    for stream in streams {
        end(txn, user, stream)?;
        unsubscribe(txn, user, stream)?;
    }
    timelines::forget(txn, user)
}
