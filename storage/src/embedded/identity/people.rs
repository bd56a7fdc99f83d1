//! Making, finding and changing people.

use domain::ids::{QuickpeId, UserId};
use domain::room::Region;
use domain::time::Timestamp;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::records::{
    CREDENTIALS, CredentialsRecord, EMAILS, KEYS, KeyRecord, LiveRecord, NAMES, PEOPLE, PersonRecord, QUICKPE_IDS, key,
    user,
};
use crate::Error;
use crate::embedded::database::{Failed, Stored};
use crate::identity::{
    Credentials, Email, NewUser, Person, ProfileChange, ProfileChanged, QuickpeIds, Role, SignUp, User, folded,
};
use crate::sealing::{DataKey, Keyring};

/// How many taken candidates are passed over before a sign-up gives up. With a tenth of all ids given
/// away, so many in a row are taken once in 10^64 sign-ups.
const CANDIDATES_MAX: usize = 64;

/// A person to be made: all of them but the QuickPe id.
pub(super) struct Draft {
    id: UserId,
    user: NewUser,
    key: Vec<u8>,
}

impl Draft {
    /// Makes the person's data key and wraps it.
    pub(super) fn new(user: NewUser, keyring: &Keyring) -> Result<Self, Error> {
        let wrapped = keyring.wrap(user.id, &DataKey::generate()?)?;
        let key = KeyRecord { wrapped }.encode().map_err(|failed| Error::Unknown(format!("{failed:?}")))?;
        Ok(Self { id: user.id, user, key })
    }
}

/// Makes one person.
pub(super) fn create(txn: &WriteTransaction, draft: &Draft, quickpe_ids: &QuickpeIds) -> Result<SignUp, Failed> {
    let new = &draft.user;
    let mut people = txn.open_table(PEOPLE)?;
    if people.get(key(draft.id))?.is_some() {
        return Ok(SignUp::IdTaken);
    }
    let mut emails = txn.open_table(EMAILS)?;
    if emails.get(new.email.as_str())?.is_some() {
        return Ok(SignUp::EmailTaken);
    }
    let mut given = txn.open_table(QUICKPE_IDS)?;
    let quickpe_id = free_quickpe_id(&given, quickpe_ids)?;
    let record = LiveRecord {
        quickpe_id,
        email: new.email.as_str().to_owned(),
        first_name: new.first_name.as_str().to_owned(),
        last_name: new.last_name.as_str().to_owned(),
        role: new.role.number(),
        created_at: new.created_at,
        version: 1,
        erasing: false,
        region: new.region,
    };
    let credentials = CredentialsRecord { password_hash: new.password_hash.clone(), changed_at: new.created_at };
    given.insert(quickpe_id.get(), key(draft.id))?;
    emails.insert(new.email.as_str(), key(draft.id))?;
    people.insert(key(draft.id), PersonRecord::Live(record.clone()).encode()?.as_slice())?;
    txn.open_table(CREDENTIALS)?.insert(key(draft.id), credentials.encode()?.as_slice())?;
    txn.open_table(KEYS)?.insert(key(draft.id), draft.key.as_slice())?;
    index_names(txn, draft.id, &record)?;
    record.into_user(draft.id).map(SignUp::Created)
}

/// A candidate that nobody has or had.
fn free_quickpe_id(given: &impl ReadableTable<u32, u128>, candidates: &QuickpeIds) -> Result<QuickpeId, Failed> {
    for _ in 0..CANDIDATES_MAX {
        let candidate = candidates();
        if given.get(candidate.get())?.is_none() {
            return Ok(candidate);
        }
    }
    Err(Failed::Other(format!("{CANDIDATES_MAX} QuickPe ids in a row were taken")))
}

/// The person with this id.
pub(super) fn get(people: &impl ReadableTable<u128, &'static [u8]>, id: UserId) -> Result<Option<Person>, Failed> {
    record(people, id)?.map(|record| record.into_person(id)).transpose()
}

/// The record of a person.
fn record(people: &impl ReadableTable<u128, &'static [u8]>, id: UserId) -> Result<Option<PersonRecord>, Failed> {
    people.get(key(id))?.map(|bytes| PersonRecord::decode(bytes.value())).transpose()
}

/// The record of a live person, in a transaction that will change it.
pub(super) fn live(txn: &WriteTransaction, id: UserId) -> Result<Option<LiveRecord>, Failed> {
    Ok(match record(&txn.open_table(PEOPLE)?, id)? {
        Some(PersonRecord::Live(record)) => Some(record),
        Some(PersonRecord::Erased { .. }) | None => None,
    })
}

/// Writes the record of a live person.
pub(super) fn put(txn: &WriteTransaction, id: UserId, record: LiveRecord) -> Result<(), Failed> {
    txn.open_table(PEOPLE)?.insert(key(id), PersonRecord::Live(record).encode()?.as_slice())?;
    Ok(())
}

/// The live person with this e-mail.
pub(super) fn by_email(txn: &ReadTransaction, email: &Email) -> Result<Option<User>, Failed> {
    let Some(id) = txn.open_table(EMAILS)?.get(email.as_str())? else { return Ok(None) };
    Ok(get(&txn.open_table(PEOPLE)?, user(id.value()))?.and_then(Person::live))
}

/// The person with this handle.
pub(super) fn by_quickpe_id(txn: &ReadTransaction, id: QuickpeId) -> Result<Option<Person>, Failed> {
    let Some(id) = txn.open_table(QUICKPE_IDS)?.get(id.get())? else { return Ok(None) };
    get(&txn.open_table(PEOPLE)?, user(id.value()))
}

/// Changes a profile if it has the version that the caller saw.
pub(super) fn update(
    txn: &WriteTransaction,
    id: UserId,
    version: u64,
    change: &ProfileChange,
) -> Result<ProfileChanged, Failed> {
    let Some(mut record) = live(txn, id)? else { return Ok(ProfileChanged::Unknown) };
    if record.version != version {
        return record.into_user(id).map(ProfileChanged::Stale);
    }
    if let Some(email) = &change.email
        && email.as_str() != record.email
    {
        let mut emails = txn.open_table(EMAILS)?;
        if emails.get(email.as_str())?.is_some() {
            return Ok(ProfileChanged::EmailTaken);
        }
        emails.remove(record.email.as_str())?;
        emails.insert(email.as_str(), key(id))?;
        email.as_str().clone_into(&mut record.email);
    }
    unindex_names(txn, id, &record)?;
    if let Some(name) = &change.first_name {
        name.as_str().clone_into(&mut record.first_name);
    }
    if let Some(name) = &change.last_name {
        name.as_str().clone_into(&mut record.last_name);
    }
    index_names(txn, id, &record)?;
    record.version = record.version.saturating_add(1);
    put(txn, id, record.clone())?;
    record.into_user(id).map(ProfileChanged::Changed)
}

/// Gives a role.
pub(super) fn change_role(txn: &WriteTransaction, id: UserId, role: Role) -> Result<Option<User>, Failed> {
    let Some(mut record) = live(txn, id)? else { return Ok(None) };
    record.role = role.number();
    record.version = record.version.saturating_add(1);
    put(txn, id, record.clone())?;
    record.into_user(id).map(Some)
}

/// Says where somebody is.
pub(super) fn change_region(
    txn: &WriteTransaction,
    id: UserId,
    region: Option<Region>,
) -> Result<Option<User>, Failed> {
    let Some(mut record) = live(txn, id)? else { return Ok(None) };
    record.region = region;
    record.version = record.version.saturating_add(1);
    put(txn, id, record.clone())?;
    record.into_user(id).map(Some)
}

/// What a person signs in with.
pub(super) fn credentials(txn: &ReadTransaction, id: UserId) -> Result<Option<Credentials>, Failed> {
    let Some(bytes) = txn.open_table(CREDENTIALS)?.get(key(id))? else { return Ok(None) };
    let record = CredentialsRecord::decode(bytes.value())?;
    Ok(Some(Credentials { password_hash: record.password_hash, changed_at: record.changed_at }))
}

/// Replaces one password hash by another.
pub(super) fn change_password(
    txn: &WriteTransaction,
    id: UserId,
    from: &str,
    to: &str,
    at: Timestamp,
) -> Result<bool, Failed> {
    let mut table = txn.open_table(CREDENTIALS)?;
    let current = table.get(key(id))?.map(|bytes| CredentialsRecord::decode(bytes.value())).transpose()?;
    if current.is_none_or(|record| record.password_hash != from) {
        return Ok(false);
    }
    let record = CredentialsRecord { password_hash: to.to_owned(), changed_at: at };
    table.insert(key(id), record.encode()?.as_slice())?;
    Ok(true)
}

/// Makes a person findable by name.
pub(super) fn index_names(txn: &WriteTransaction, id: UserId, record: &LiveRecord) -> Result<(), Failed> {
    let mut names = txn.open_table(NAMES)?;
    for name in [&record.first_name, &record.last_name] {
        names.insert((folded(name).as_str(), key(id)), ())?;
    }
    Ok(())
}

/// Takes a person's names out of the search.
pub(super) fn unindex_names(txn: &WriteTransaction, id: UserId, record: &LiveRecord) -> Result<(), Failed> {
    let mut names = txn.open_table(NAMES)?;
    for name in [&record.first_name, &record.last_name] {
        names.remove((folded(name).as_str(), key(id)))?;
    }
    Ok(())
}
