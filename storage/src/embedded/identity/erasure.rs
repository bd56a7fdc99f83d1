//! Data keys, and erasing people step by step.
//!
//! Each step is one transaction and idempotent, and the erasure is on record from the first to the
//! last, so a crash between any two is made good at the next start.

use domain::ids::UserId;
use domain::time::Timestamp;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::records::{
    COMPACTION, CREDENTIALS, EMAILS, ERASURES, ErasureRecord, KEYS, KeyRecord, PEOPLE, PersonRecord, key, user,
};
use super::{logins, people};
use crate::embedded::database::{Failed, Stored};
use crate::identity::{CompactionDue, Erasure};
use crate::sealing::WrappedKey;

/// How many unfinished erasures one call answers.
const UNFINISHED_MAX: usize = 1_000;

/// A person's data key as it lies there.
pub(super) fn wrapped_key(txn: &ReadTransaction, id: UserId) -> Result<Option<WrappedKey>, Failed> {
    let Some(bytes) = txn.open_table(KEYS)?.get(key(id))? else { return Ok(None) };
    Ok(Some(KeyRecord::decode(bytes.value())?.wrapped))
}

/// Puts an erasure on record.
pub(super) fn begin(txn: &WriteTransaction, id: UserId, at: Timestamp) -> Result<bool, Failed> {
    let Some(mut person) = people::live(txn, id)? else { return Ok(false) };
    if !person.erasing {
        person.erasing = true;
        person.version = person.version.saturating_add(1);
        people::put(txn, id, person)?;
        put(txn, id, &ErasureRecord { began_at: at, key_destroyed: false })?;
        logins::end_all(txn, id, None)?;
    }
    Ok(true)
}

/// Takes an erasure back whose key is still there.
pub(super) fn abandon(txn: &WriteTransaction, id: UserId) -> Result<bool, Failed> {
    if read(txn, id)?.is_none_or(|erasure| erasure.key_destroyed) {
        return Ok(false);
    }
    if let Some(mut person) = people::live(txn, id)? {
        person.erasing = false;
        person.version = person.version.saturating_add(1);
        people::put(txn, id, person)?;
    }
    txn.open_table(ERASURES)?.remove(key(id))?;
    Ok(true)
}

/// Destroys a data key, and notes it in the erasure that it is part of.
pub(super) fn destroy_key(txn: &WriteTransaction, id: UserId) -> Result<(), Failed> {
    txn.open_table(KEYS)?.remove(key(id))?;
    if let Some(mut erasure) = read(txn, id)? {
        erasure.key_destroyed = true;
        put(txn, id, &erasure)?;
    }
    Ok(())
}

/// Removes everything about a person but the tombstone.
pub(super) fn remove(txn: &WriteTransaction, id: UserId, at: Timestamp) -> Result<bool, Failed> {
    let Some(person) = people::live(txn, id)? else {
        return Ok(txn.open_table(PEOPLE)?.get(key(id))?.is_some());
    };
    people::unindex_names(txn, id, &person)?;
    logins::end_all(txn, id, None)?;
    txn.open_table(EMAILS)?.remove(person.email.as_str())?;
    txn.open_table(CREDENTIALS)?.remove(key(id))?;
    txn.open_table(KEYS)?.remove(key(id))?;
    let tombstone = PersonRecord::Erased { quickpe_id: person.quickpe_id, erased_at: at };
    txn.open_table(PEOPLE)?.insert(key(id), tombstone.encode()?.as_slice())?;
    txn.open_table(ERASURES)?.remove(key(id))?;
    let mut compaction = txn.open_table(COMPACTION)?;
    let (erasures, since) = compaction.get(())?.map_or((0, at.0), |row| row.value());
    compaction.insert((), (erasures.saturating_add(1), since))?;
    Ok(true)
}

/// Erasures that have not ended.
pub(super) fn unfinished(txn: &ReadTransaction) -> Result<Vec<Erasure>, Failed> {
    let mut found = Vec::new();
    for row in txn.open_table(ERASURES)?.iter()?.take(UNFINISHED_MAX) {
        let (id, bytes) = row?;
        let record = ErasureRecord::decode(bytes.value())?;
        found.push(Erasure { user: user(id.value()), began_at: record.began_at, key_destroyed: record.key_destroyed });
    }
    Ok(found)
}

/// What was erased since the last rewrite.
pub(super) fn compaction_due(txn: &ReadTransaction) -> Result<Option<CompactionDue>, Failed> {
    let row = txn.open_table(COMPACTION)?.get(())?.map(|row| row.value());
    Ok(row.map(|(erasures, since)| CompactionDue { erasures, since: Timestamp(since) }))
}

fn read(txn: &WriteTransaction, id: UserId) -> Result<Option<ErasureRecord>, Failed> {
    let table = txn.open_table(ERASURES)?;
    let bytes = table.get(key(id))?;
    bytes.map(|bytes| ErasureRecord::decode(bytes.value())).transpose()
}

fn put(txn: &WriteTransaction, id: UserId, record: &ErasureRecord) -> Result<(), Failed> {
    txn.open_table(ERASURES)?.insert(key(id), record.encode()?.as_slice())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use crate::conformance::identity::{signed_up, somebody};
    use crate::embedded::identity::EmbeddedIdentity;
    use crate::identity::{Identity, random_quickpe_ids};
    use crate::sealing::{KeyEncryptionKey, Keyring};
    use domain::time::Timestamp;

    #[tokio::test]
    async fn nothing_of_an_erased_person_is_in_the_file_after_compaction() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::new(&[KeyEncryptionKey::new([1; 32])]).unwrap();
        let store = Arc::new(EmbeddedIdentity::open(folder.path(), keyring, random_quickpe_ids()).unwrap());
        let identity: Arc<dyn Identity> = Arc::clone(&store) as Arc<dyn Identity>;
        identity.create_users((100..400).map(somebody).collect()).await.unwrap();
        let user = signed_up(&identity, somebody(77)).await.id;
        let wrapped = store.database.read(|txn| super::wrapped_key(txn, user)).unwrap().unwrap();
        let plain = identity.data_key(user).await.unwrap().unwrap();
        let traces: [&[u8]; 5] = [b"person77@", b"First77", b"first77", b"hash-of-77", &wrapped.bytes];
        let found = |needle: &[u8]| {
            let bytes = fs::read(folder.path().join("identity.redb")).unwrap();
            bytes.windows(needle.len()).any(|window| window == needle)
        };
        assert!(traces.iter().all(|trace| found(trace)), "the search finds what is there");
        assert!(!found(plain.bytes()), "a data key never lies on the disk in plain");

        identity.begin_erasure(user, Timestamp(1)).await.unwrap();
        identity.destroy_key(user).await.unwrap();
        identity.remove_identity(user, Timestamp(2)).await.unwrap();
        identity.compact().await.unwrap();
        for trace in traces {
            assert!(!found(trace), "{}", String::from_utf8_lossy(trace));
        }
        assert!(found(b"person101@"), "the others are still there");
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["identity.redb"], "no second file is left");
    }
}
