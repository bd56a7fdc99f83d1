//! Dead letters, by id; by reason, class and person; those that are open by stream, the others by when they were
//! resolved.

use domain::ids::UserId;
use domain::time::Timestamp;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::records::{
    DEAD_LETTERS, DEAD_LETTERS_BY_CLASS, DEAD_LETTERS_BY_REASON, DEAD_LETTERS_BY_USER, DEAD_LETTERS_OPEN,
    DEAD_LETTERS_RESOLVED, DeadLetterRecord,
};
use crate::deliveries::{
    DeadLetter, DeadLetterFilter, DeadLetterId, DeadLetterPage, OPEN_MAX, RESOLVED_AGE_MAX, SCAN_MAX,
};
use crate::embedded::database::{Failed, Stored};

/// Writes a letter unless a newer form of it is there.
pub(super) fn put(txn: &WriteTransaction, letter: &DeadLetter) -> Result<bool, Failed> {
    let id = letter.id.0.as_u128();
    let record = DeadLetterRecord::of(letter);
    let mut table = txn.open_table(DEAD_LETTERS)?;
    let old = table.get(id)?.map(|bytes| DeadLetterRecord::decode(bytes.value())).transpose()?;
    if let Some(old) = old {
        if old.last_at > record.last_at {
            return Ok(false);
        }
        index(txn, id, &old, false)?;
    }
    index(txn, id, &record, true)?;
    table.insert(id, record.encode()?.as_slice())?;
    Ok(true)
}

/// Writes or removes all rows that lead to a letter.
fn index(txn: &WriteTransaction, id: u128, record: &DeadLetterRecord, is_there: bool) -> Result<(), Failed> {
    let mut by_reason = txn.open_table(DEAD_LETTERS_BY_REASON)?;
    let mut by_class = txn.open_table(DEAD_LETTERS_BY_CLASS)?;
    let mut by_user = txn.open_table(DEAD_LETTERS_BY_USER)?;
    let mut open = txn.open_table(DEAD_LETTERS_OPEN)?;
    let mut resolved = txn.open_table(DEAD_LETTERS_RESOLVED)?;
    macro_rules! set {
        ($table:ident, $key:expr) => {
            if is_there { $table.insert($key, ())? } else { $table.remove($key)? }
        };
    }
    set!(by_reason, (record.reason, id));
    if let Some(class) = record.class {
        set!(by_class, (class, id));
    }
    if let Some(user) = record.user {
        set!(by_user, (user.0.as_u128(), id));
    }
    match (record.resolved_at, record.user, record.stream) {
        (Some(at), _, _) => drop(set!(resolved, (at.0, id))),
        (None, Some(user), Some(stream)) => drop(set!(open, (user.0.as_u128(), stream.as_u128(), id))),
        (None, _, _) => {}
    }
    Ok(())
}

/// One letter.
pub(super) fn get(
    table: &impl ReadableTable<u128, &'static [u8]>,
    id: DeadLetterId,
) -> Result<Option<DeadLetter>, Failed> {
    let Some(bytes) = table.get(id.0.as_u128())? else { return Ok(None) };
    DeadLetterRecord::decode(bytes.value())?.into_letter(id).map(Some)
}

/// A page of letters, newest first: along the index of the condition that few letters meet, the others looked at.
pub(super) fn list(
    txn: &ReadTransaction,
    filter: DeadLetterFilter,
    before: Option<DeadLetterId>,
    limit: usize,
) -> Result<DeadLetterPage, Failed> {
    let end = before.map_or(u128::MAX, |id| id.0.as_u128());
    let table = txn.open_table(DEAD_LETTERS)?;
    let mut ids = Vec::new();
    if let Some(user) = filter.user {
        let user = user.0.as_u128();
        for row in txn.open_table(DEAD_LETTERS_BY_USER)?.range((user, 0)..(user, end))?.rev().take(SCAN_MAX) {
            ids.push(row?.0.value().1);
        }
    } else if let Some(reason) = filter.reason.map(crate::deliveries::Reason::number) {
        for row in txn.open_table(DEAD_LETTERS_BY_REASON)?.range((reason, 0)..(reason, end))?.rev().take(SCAN_MAX) {
            ids.push(row?.0.value().1);
        }
    } else if let Some(class) = filter.class.map(domain::delivery::Class::number) {
        for row in txn.open_table(DEAD_LETTERS_BY_CLASS)?.range((class, 0)..(class, end))?.rev().take(SCAN_MAX) {
            ids.push(row?.0.value().1);
        }
    } else {
        for row in table.range(..end)?.rev().take(SCAN_MAX) {
            ids.push(row?.0.value());
        }
    }
    let is_scan_full = ids.len() == SCAN_MAX;
    let mut page = DeadLetterPage::default();
    let mut seen = None;
    for id in ids {
        if page.letters.len() == limit {
            page.next = seen;
            return Ok(page);
        }
        let id = DeadLetterId(Uuid::from_u128(id));
        seen = Some(id);
        page.letters.extend(get(&table, id)?.filter(|letter| filter.passes(letter)));
    }
    page.next = seen.filter(|_| is_scan_full);
    Ok(page)
}

/// Open letters about a stream for a person, oldest first.
pub(super) fn open(txn: &ReadTransaction, user: UserId, stream: Uuid) -> Result<Vec<DeadLetter>, Failed> {
    let (user, stream) = (user.0.as_u128(), stream.as_u128());
    let (table, index) = (txn.open_table(DEAD_LETTERS)?, txn.open_table(DEAD_LETTERS_OPEN)?);
    let mut letters = Vec::new();
    for row in index.range((user, stream, 0)..=(user, stream, u128::MAX))?.take(OPEN_MAX) {
        letters.extend(get(&table, DeadLetterId(Uuid::from_u128(row?.0.value().2)))?);
    }
    Ok(letters)
}

/// Forgets letters that were resolved long ago.
pub(super) fn sweep(txn: &WriteTransaction, now: Timestamp, max: usize) -> Result<usize, Failed> {
    let age = u64::try_from(RESOLVED_AGE_MAX.as_micros()).unwrap_or(u64::MAX);
    let end = now.0.saturating_sub(age);
    let mut due = Vec::new();
    for row in txn.open_table(DEAD_LETTERS_RESOLVED)?.range((0, 0)..(end, 0))?.take(max) {
        due.push(row?.0.value().1);
    }
    for id in &due {
        remove(txn, DeadLetterId(Uuid::from_u128(*id)))?;
    }
    Ok(due.len())
}

/// Forgets all letters for a person.
pub(super) fn forget_all(txn: &WriteTransaction, user: UserId) -> Result<(), Failed> {
    let user = user.0.as_u128();
    let mut ids = Vec::new();
    for row in txn.open_table(DEAD_LETTERS_BY_USER)?.range((user, 0)..=(user, u128::MAX))? {
        ids.push(row?.0.value().1);
    }
    for id in ids {
        remove(txn, DeadLetterId(Uuid::from_u128(id)))?;
    }
    Ok(())
}

/// Removes a letter.
pub(super) fn remove(txn: &WriteTransaction, id: DeadLetterId) -> Result<bool, Failed> {
    let id = id.0.as_u128();
    let mut table = txn.open_table(DEAD_LETTERS)?;
    let removed = table.remove(id)?.map(|bytes| DeadLetterRecord::decode(bytes.value())).transpose()?;
    if let Some(record) = &removed {
        index(txn, id, record, false)?;
    }
    Ok(removed.is_some())
}
