//! People, their devices, dead letters and what was looked at: written anew by every run, after the journals, so that
//! whoever is in a journal is here.

use std::path::Path;

use domain::ids::UserId;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::deliveries::{DeadLetterFilter, PAGE_MAX, encode_dead_letter};
use storage::moving;
use storage::watches::BATCH_MAX;

use super::contents::People;
use super::parts::{PartsWriter, PeopleItem, PersonItem};
use crate::archive::FilePart;
use crate::command::output::Output;
use crate::node::stores::{PeopleStores, Progress};

/// People read together.
const TOGETHER_MAX: usize = 32;

/// The name of the files.
const NAME: &str = "people";

/// Exports people and what is kept of them.
pub(super) async fn export(stores: &PeopleStores, folder: &Path, out: &Output) -> Result<People, Error> {
    let mut people = People::default();
    let mut writer = PartsWriter::new(folder, NAME, 0);
    let mut after = None;
    loop {
        let page = stores.move_people.everybody(after, moving::PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        let reads = stream::iter(page).map(|user| person(stores, user)).buffered(TOGETHER_MAX);
        for item in reads.try_collect::<Vec<_>>().await?.into_iter().flatten() {
            let user = item.person.id;
            people.users = people.users.saturating_add(1);
            people.parts.extend(writer.push(&PeopleItem::Person(Box::new(item)))?);
            timelines(stores, user, &mut writer, &mut people.parts).await?;
        }
        out.progress(Progress { done: people.users, of: people.users, records: people.users });
    }
    let mut before = None;
    loop {
        let page = stores.deliveries.dead_letters(DeadLetterFilter::default(), before, PAGE_MAX).await?;
        for letter in page.letters {
            let item = PeopleItem::Letter { id: letter.id, bytes: encode_dead_letter(&letter)? };
            people.parts.extend(writer.push(&item)?);
        }
        if page.next.is_none() {
            break;
        }
        before = page.next;
    }
    for (key, slot) in stores.watches.noted().await? {
        people.parts.extend(writer.push(&PeopleItem::Noted { key, slot })?);
    }
    people.parts.extend(writer.finish()?);
    Ok(people)
}

/// What became of somebody's messages.
async fn timelines(
    stores: &PeopleStores,
    user: UserId,
    writer: &mut PartsWriter,
    parts: &mut Vec<FilePart>,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = stores.watches.timelines(user, after).await?;
        if !page.steps.is_empty() {
            parts.extend(writer.push(&PeopleItem::Timelines { steps: page.steps })?);
        }
        if page.next.is_none() {
            return Ok(());
        }
        after = page.next;
    }
}

/// Somebody, and what is kept of them; nothing if they are gone since they were listed.
async fn person(stores: &PeopleStores, user: UserId) -> Result<Option<PersonItem>, Error> {
    let Some(person) = stores.move_people.take_person(user).await? else { return Ok(None) };
    let devices = stores.move_devices.take_devices(user).await?;
    let mut read = Vec::with_capacity(devices.read.len());
    for stream in &devices.read {
        let mark = stores.deliveries.read_mark(user, *stream).await?;
        read.push((*stream, mark.upto, mark.also));
    }
    let (mut subscribers, mut watches) = (Vec::new(), Vec::new());
    for streams in devices.subscribed.chunks(BATCH_MAX) {
        let known = stores.watches.subscribers(streams.to_vec()).await?;
        subscribers.extend(known.into_iter().flatten().filter(|subscriber| subscriber.user == user));
        let of = streams.iter().map(|stream| (user, *stream)).collect();
        watches.extend(stores.watches.watches(of).await?.into_iter().flatten());
    }
    Ok(Some(PersonItem { person, devices, read, subscribers, watches }))
}
