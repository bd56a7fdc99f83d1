//! Dead letters by id, and lists that lead to them: all, by reason, class and person, and the open ones of a stream.
//!
//! A letter changes by comparison. Each change has a stamp above the last, with which the rows of lists are written and
//! removed, so that a late one changes nothing; a row that leads to no letter, or to one that does not belong there, is
//! passed over.

use std::collections::BTreeSet;

use domain::ids::UserId;
use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::deliveries::{
    DeadLetter, DeadLetterFilter, DeadLetterId, DeadLetterPage, OPEN_MAX, RESOLVED_AGE_MAX, SCAN_MAX,
    decode_dead_letter, encode_dead_letter,
};
use uuid::Uuid;

use crate::Cql;
use crate::applied::Applied;
use crate::calendar::{self, Due, Purpose, Sweep};
use crate::number::{limit, to_cql};
use crate::statements::Named;

/// How often a change is tried against others of the same letter.
const TRIES_MAX: u32 = 16;

/// Letters read together.
const TOGETHER_MAX: usize = 32;

/// A letter as it was found.
struct Found {
    letter: DeadLetter,
    stamp: i64,
    change: Uuid,
}

/// Writes a letter unless a newer form of it is there.
pub(super) async fn put(cql: &Cql, letter: &DeadLetter) -> Result<bool, Error> {
    let bytes = encode_dead_letter(letter)?;
    // As it will be read: its text may be cut.
    let letter = decode_dead_letter(letter.id, &bytes)?;
    let id = letter.id.0;
    for _ in 0..TRIES_MAX {
        let old = settled(cql, letter.id).await?;
        if old.as_ref().is_some_and(|old| old.letter.last_at > letter.last_at) {
            return Ok(false);
        }
        let stamp = to_cql(letter.last_at.0)?.max(old.as_ref().map_or(0, |old| old.stamp.saturating_add(1)));
        let lists = lists(&letter);
        for list in &lists {
            cql.write(Named::ListPut, (list, key(id), stamp)).await?;
        }
        if let Some(due) = due(&letter) {
            calendar::note(cql, Purpose::DeadLetter, due).await?;
        }
        let change = Uuid::from_bytes(rand::random());
        let settled = match &old {
            Some(old) => cql.transaction(Named::LetterChange, id, (&bytes, stamp, change, id, old.change)).await?,
            None => cql.transaction(Named::LetterInsert, id, (id, &bytes, stamp, change)).await?,
        };
        let is_written = match settled.applied {
            Applied::Yes => true,
            Applied::No(there) => there.uuid("change") == Some(change),
        };
        if is_written {
            let left = old.map(|old| self::lists(&old.letter)).unwrap_or_default();
            for list in left.difference(&lists) {
                cql.write(Named::ListRemove, (stamp, list, key(id))).await?;
            }
            return Ok(true);
        }
    }
    Err(Error::Unavailable(format!("{TRIES_MAX} changes of one dead letter in a row came in between")))
}

/// One letter.
pub(super) async fn get(cql: &Cql, id: DeadLetterId) -> Result<Option<DeadLetter>, Error> {
    let row = cql.row::<(Vec<u8>,)>(Named::LetterRead, (id.0,)).await?;
    row.map(|(bytes,)| decode_dead_letter(id, &bytes)).transpose()
}

/// A page of letters, newest first: along the list of the condition that few letters meet, the others looked at.
pub(super) async fn list(
    cql: &Cql,
    filter: DeadLetterFilter,
    before: Option<DeadLetterId>,
    count: usize,
) -> Result<DeadLetterPage, Error> {
    let list = match filter {
        DeadLetterFilter { user: Some(user), .. } => of_user(user),
        DeadLetterFilter { reason: Some(reason), .. } => of_reason(reason.number()),
        DeadLetterFilter { class: Some(class), .. } => of_class(class.number()),
        _ => ALL.to_owned(),
    };
    let rows = limit(SCAN_MAX);
    let ids = match before {
        Some(before) => cql.rows::<(Vec<u8>,)>(Named::ListBefore, (&list, key(before.0), rows)).await?,
        None => cql.rows::<(Vec<u8>,)>(Named::ListAll, (&list, rows)).await?,
    };
    let is_scan_full = ids.len() == SCAN_MAX;
    let ids = ids.into_iter().map(|(bytes,)| id(&bytes)).collect::<Result<Vec<_>, _>>()?;
    let mut letters =
        stream::iter(ids).map(|id| async move { Ok::<_, Error>((id, get(cql, id).await?)) }).buffered(TOGETHER_MAX);
    let mut page = DeadLetterPage::default();
    let mut seen = None;
    while let Some((id, letter)) = letters.try_next().await? {
        if page.letters.len() == count {
            page.next = seen;
            return Ok(page);
        }
        seen = Some(id);
        page.letters.extend(letter.filter(|letter| filter.passes(letter)));
    }
    page.next = seen.filter(|_| is_scan_full);
    Ok(page)
}

/// Open letters about a stream for a person, oldest first.
pub(super) async fn open(cql: &Cql, user: UserId, stream: Uuid) -> Result<Vec<DeadLetter>, Error> {
    let values = (of_stream(user, stream), Vec::<u8>::new(), limit(OPEN_MAX));
    let ids = cql.rows::<(Vec<u8>,)>(Named::ListAfter, values).await?;
    let mut letters = Vec::new();
    for (bytes,) in ids {
        letters.extend(get(cql, id(&bytes)?).await?.filter(DeadLetter::is_open));
    }
    Ok(letters)
}

/// Forgets letters that were resolved long ago.
pub(super) async fn sweep(cql: &Cql, now: Timestamp, max: usize) -> Result<usize, Error> {
    let mut sweep = Sweep::begin(cql, Purpose::DeadLetter, now).await?;
    let mut forgotten = 0;
    while forgotten < max
        && let Some(noted) = sweep.next().await?
    {
        let id = DeadLetterId(noted.item);
        // One that is open again has no such time.
        if get(cql, id).await?.as_ref().and_then(due).is_some_and(|due| due.at < now) {
            forgotten += usize::from(remove(cql, id).await?);
        }
        sweep.done(noted).await?;
    }
    Ok(forgotten)
}

/// Forgets all letters for a person.
pub(super) async fn forget_all(cql: &Cql, user: UserId) -> Result<(), Error> {
    let mut after = Vec::new();
    loop {
        let rows = cql.rows::<(Vec<u8>,)>(Named::ListAfter, (of_user(user), &after, limit(SCAN_MAX))).await?;
        for (bytes,) in &rows {
            remove(cql, id(bytes)?).await?;
        }
        if rows.len() < SCAN_MAX {
            return Ok(());
        }
        after = rows.last().map(|(bytes,)| bytes.clone()).unwrap_or_default();
        // The one after it: ids are of one length.
        after.push(0);
    }
}

/// Removes a letter.
pub(super) async fn remove(cql: &Cql, id: DeadLetterId) -> Result<bool, Error> {
    for _ in 0..TRIES_MAX {
        let Some(found) = settled(cql, id).await? else { return Ok(false) };
        let settled = cql.transaction(Named::LetterRemove, id.0, (id.0, found.change)).await?;
        let is_removed = match settled.applied {
            Applied::Yes => true,
            Applied::No(there) => settled.repeated && there.uuid("change").is_none(),
        };
        if is_removed {
            for list in lists(&found.letter) {
                cql.write(Named::ListRemove, (found.stamp, list, key(id.0))).await?;
            }
            if let Some(due) = due(&found.letter) {
                calendar::forget(cql, Purpose::DeadLetter, due).await?;
            }
            return Ok(true);
        }
    }
    Err(Error::Unavailable(format!("{TRIES_MAX} changes of one dead letter in a row came in between")))
}

async fn settled(cql: &Cql, id: DeadLetterId) -> Result<Option<Found>, Error> {
    let row = cql.row::<(Vec<u8>, i64, Uuid)>(Named::LetterSerial, (id.0,)).await?;
    let Some((bytes, stamp, change)) = row else { return Ok(None) };
    Ok(Some(Found { letter: decode_dead_letter(id, &bytes)?, stamp, change }))
}

/// The list of all letters.
const ALL: &str = "all";

fn of_user(user: UserId) -> String {
    format!("user {user}")
}

fn of_reason(reason: u8) -> String {
    format!("reason {reason}")
}

fn of_class(class: u8) -> String {
    format!("class {class}")
}

fn of_stream(user: UserId, stream: Uuid) -> String {
    format!("open {user} {stream}")
}

/// The lists that lead to a letter.
fn lists(letter: &DeadLetter) -> BTreeSet<String> {
    let mut lists = BTreeSet::from([ALL.to_owned(), of_reason(letter.reason.number())]);
    lists.extend(letter.class.map(|class| of_class(class.number())));
    lists.extend(letter.user.map(of_user));
    if let (true, Some(user), Some(stream)) = (letter.is_open(), letter.user, letter.stream) {
        lists.insert(of_stream(user, stream));
    }
    lists
}

/// When a letter is to be forgotten, if it was resolved.
fn due(letter: &DeadLetter) -> Option<Due> {
    let at = letter.resolved_at?.after(RESOLVED_AGE_MAX);
    Some(Due { at, owner: letter.user.map_or(Uuid::nil(), |user| user.0), item: letter.id.0 })
}

/// A letter's place in a list: ids sort as the letters were made.
fn key(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

fn id(key: &[u8]) -> Result<DeadLetterId, Error> {
    let id = Uuid::from_slice(key);
    id.map(DeadLetterId).map_err(|error| crate::error::unreadable("a list of dead letters", error))
}
