//! People, their devices, dead letters and what was looked at: put in as they were. Again it changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use domain::ids::ShardId;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::deliveries::decode_dead_letter;
use storage::journal::{JournalKey, Slot, Space};
use storage::watches::{BATCH_MAX, WatchChange};

use crate::command::export::contents::People;
use crate::command::export::parts::{PartReader, PeopleItem, PersonItem};
use crate::command::output::Output;
use crate::node::stores::{PeopleStores, Progress};

/// Items read before they are put in.
const BATCH: usize = 1_024;

/// People put in together.
const TOGETHER_MAX: usize = 64;

/// Up to where all messages were looked at, in the new journals.
pub(super) enum Noted {
    /// As far as in the old ones, whose slots were moved by so many.
    Moved(Vec<(Space, BTreeMap<ShardId, u64>)>),
    /// Here: the journals are others.
    Here(Vec<(JournalKey, Slot)>),
}

/// Puts people in. Answers how many.
pub(super) async fn import(
    stores: &PeopleStores,
    people: &People,
    folder: &Path,
    noted: &Noted,
    out: &Output,
) -> Result<u64, Error> {
    let mut users = 0_u64;
    for part in &people.parts {
        let mut reader = PartReader::open(folder, part)?;
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH
                && let Some(item) = reader.next::<PeopleItem>()?
            {
                batch.push(item);
            }
            if batch.is_empty() {
                break;
            }
            users += batch.iter().filter(|item| matches!(item, PeopleItem::Person(_))).map(|_| 1).sum::<u64>();
            let puts = stream::iter(batch).map(|item| put(stores, item, noted));
            puts.buffer_unordered(TOGETHER_MAX).try_collect::<()>().await?;
            out.progress(Progress { done: users, of: people.users, records: users });
        }
    }
    if let Noted::Here(slots) = noted {
        for slots in slots.chunks(BATCH_MAX) {
            stores.watches.change_watches(Vec::new(), slots.to_vec()).await?;
        }
    }
    Ok(users)
}

async fn put(stores: &PeopleStores, item: PeopleItem, noted: &Noted) -> Result<(), Error> {
    match item {
        PeopleItem::Person(item) => put_person(stores, *item).await,
        PeopleItem::Letter { id, bytes } => {
            let letter = decode_dead_letter(id, &bytes)?;
            stores.deliveries.put_dead_letter(letter).await.map(drop)
        }
        PeopleItem::Noted { key, slot } => match noted {
            Noted::Moved(moved) => {
                let slot = moved_slot(key, slot, moved);
                stores.watches.change_watches(Vec::new(), vec![(key, slot)]).await
            }
            Noted::Here(_) => Ok(()),
        },
        PeopleItem::Timelines { steps } => stores.watches.put_timelines(steps).await,
    }
}

async fn put_person(stores: &PeopleStores, item: PersonItem) -> Result<(), Error> {
    let PersonItem { person, devices, read, subscribers, watches } = item;
    let user = person.id;
    stores.move_people.put_person(person).await?;
    for device in devices.devices {
        stores.move_devices.put_device(user, device).await?;
    }
    for (stream, upto, also) in read {
        stores.deliveries.mark_read(user, stream, upto, also).await?;
    }
    for subscriber in subscribers {
        stores.watches.subscribe(subscriber).await?;
    }
    for watches in watches.chunks(BATCH_MAX) {
        let changes = watches.iter().cloned().map(WatchChange::Put).collect();
        stores.watches.change_watches(changes, Vec::new()).await?;
    }
    Ok(())
}

/// Where a slot is in the new journal.
fn moved_slot(key: JournalKey, slot: Slot, moved: &[(Space, BTreeMap<ShardId, u64>)]) -> Slot {
    let of_space = moved.iter().find(|(space, _)| *space == key.space);
    let by = of_space.and_then(|(_, moved)| moved.get(&key.shard)).copied().unwrap_or(0);
    Slot(slot.0.saturating_sub(by))
}
