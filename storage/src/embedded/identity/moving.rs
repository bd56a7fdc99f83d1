//! People taken out as they lie there, and put in.

use std::ops::Bound;

use async_trait::async_trait;
use domain::ids::{LoginId, UserId};
use redb::{ReadTransaction, WriteTransaction};
use uuid::Uuid;

use super::records::{
    CREDENTIALS, CredentialsRecord, EMAILS, ERASURES, ErasureRecord, KEYS, KeyRecord, LOGINS, LOGINS_BY_EXPIRY,
    LOGINS_OF_USER, LiveRecord, LoginRecord, PEOPLE, PersonRecord, QUICKPE_IDS, key, user,
};
use super::{EmbeddedIdentity, people};
use crate::Error;
use crate::embedded::database::{Failed, Stored};
use crate::moving::{MovePeople, MovedLogin, MovedPerson, MovedStanding, MovedUser, PAGE_MAX};

#[async_trait]
impl MovePeople for EmbeddedIdentity {
    async fn everybody(&self, after: Option<UserId>, max: usize) -> Result<Vec<UserId>, Error> {
        self.database.read(|txn| {
            let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(key(after)));
            let table = txn.open_table(PEOPLE)?;
            let mut found = Vec::new();
            for row in table.range((from, Bound::Unbounded))?.take(max.min(PAGE_MAX)) {
                found.push(user(row?.0.value()));
            }
            Ok(found)
        })
    }

    async fn take_person(&self, id: UserId) -> Result<Option<MovedPerson>, Error> {
        self.database.read(|txn| take(txn, id))
    }

    async fn put_person(&self, person: MovedPerson) -> Result<(), Error> {
        self.database.write(move |txn| put(txn, &person)).await
    }
}

fn take(txn: &ReadTransaction, id: UserId) -> Result<Option<MovedPerson>, Failed> {
    let Some(bytes) = txn.open_table(PEOPLE)?.get(key(id))? else { return Ok(None) };
    let record = match PersonRecord::decode(bytes.value())? {
        PersonRecord::Erased { quickpe_id, erased_at } => {
            return Ok(Some(MovedPerson { id, quickpe_id, standing: MovedStanding::Erased { at: erased_at } }));
        }
        PersonRecord::Live(record) => record,
    };
    let read = |table: redb::TableDefinition<'_, u128, &'static [u8]>| -> Result<Option<Vec<u8>>, Failed> {
        Ok(txn.open_table(table)?.get(key(id))?.map(|bytes| bytes.value().to_vec()))
    };
    let password = read(CREDENTIALS)?.map(|bytes| CredentialsRecord::decode(&bytes)).transpose()?;
    let wrapped = read(KEYS)?.map(|bytes| KeyRecord::decode(&bytes)).transpose()?;
    let erasure = read(ERASURES)?.map(|bytes| ErasureRecord::decode(&bytes)).transpose()?;
    let began_at = erasure.map_or(record.created_at, |erasure| erasure.began_at);
    let moved = MovedUser {
        erasing_since: record.erasing.then_some(began_at),
        email: record.email,
        first_name: record.first_name,
        last_name: record.last_name,
        role: record.role,
        region: record.region,
        created_at: record.created_at,
        version: record.version,
        password: password.map(|record| (record.password_hash, record.changed_at)),
        key: wrapped.map(|record| record.wrapped),
        logins: take_logins(txn, id)?,
    };
    let standing = MovedStanding::Live(Box::new(moved));
    Ok(Some(MovedPerson { id, quickpe_id: record.quickpe_id, standing }))
}

fn take_logins(txn: &ReadTransaction, id: UserId) -> Result<Vec<MovedLogin>, Failed> {
    let (index, table) = (txn.open_table(LOGINS_OF_USER)?, txn.open_table(LOGINS)?);
    let mut logins = Vec::new();
    for row in index.range((key(id), 0)..=(key(id), u128::MAX))? {
        let login = row?.0.value().1;
        let Some(bytes) = table.get(login)? else { continue };
        let record = LoginRecord::decode(bytes.value())?;
        logins.push(MovedLogin {
            id: LoginId(Uuid::from_u128(login)),
            device: record.device,
            created_at: record.created_at,
            used_at: record.used_at,
            expires_at: record.expires_at,
            generation: record.generation,
            rotated_by: record.rotated_by,
        });
    }
    Ok(logins)
}

fn put(txn: &WriteTransaction, person: &MovedPerson) -> Result<(), Failed> {
    let (id, quickpe_id) = (person.id, person.quickpe_id);
    take_name(&mut txn.open_table(QUICKPE_IDS)?, quickpe_id.get(), id)?;
    let moved = match &person.standing {
        MovedStanding::Erased { at } => {
            let tombstone = PersonRecord::Erased { quickpe_id, erased_at: *at };
            txn.open_table(PEOPLE)?.insert(key(id), tombstone.encode()?.as_slice())?;
            return Ok(());
        }
        MovedStanding::Live(moved) => moved,
    };
    take_name(&mut txn.open_table(EMAILS)?, moved.email.as_str(), id)?;
    let record = LiveRecord {
        quickpe_id,
        email: moved.email.clone(),
        first_name: moved.first_name.clone(),
        last_name: moved.last_name.clone(),
        role: moved.role,
        created_at: moved.created_at,
        version: moved.version,
        erasing: moved.erasing_since.is_some(),
        region: moved.region,
    };
    people::index_names(txn, id, &record)?;
    people::put(txn, id, record)?;
    if let Some((password_hash, changed_at)) = moved.password.clone() {
        let record = CredentialsRecord { password_hash, changed_at };
        txn.open_table(CREDENTIALS)?.insert(key(id), record.encode()?.as_slice())?;
    }
    if let Some(wrapped) = moved.key.clone() {
        txn.open_table(KEYS)?.insert(key(id), KeyRecord { wrapped }.encode()?.as_slice())?;
    }
    if let Some(began_at) = moved.erasing_since {
        let record = ErasureRecord { began_at, key_destroyed: moved.key.is_none() };
        txn.open_table(ERASURES)?.insert(key(id), record.encode()?.as_slice())?;
    }
    moved.logins.iter().try_for_each(|login| put_login(txn, id, login))
}

/// Notes whose a name is that only one may have.
fn take_name<K: redb::Key + 'static>(
    table: &mut redb::Table<'_, K, u128>,
    name: K::SelfType<'_>,
    id: UserId,
) -> Result<(), Failed> {
    let before = table.insert(name, key(id))?.map(|before| before.value());
    match before.filter(|before| *before != key(id)) {
        Some(other) => Err(Failed::Undecodable(format!("{id} and {} have one name", user(other)))),
        None => Ok(()),
    }
}

fn put_login(txn: &WriteTransaction, id: UserId, login: &MovedLogin) -> Result<(), Failed> {
    let record = LoginRecord {
        user: id,
        device: login.device.clone(),
        created_at: login.created_at,
        used_at: login.used_at,
        expires_at: login.expires_at,
        generation: login.generation,
        rotated_by: login.rotated_by.clone(),
    };
    let login = login.id.0.as_u128();
    txn.open_table(LOGINS)?.insert(login, record.encode()?.as_slice())?;
    txn.open_table(LOGINS_BY_EXPIRY)?.insert((record.expires_at.0, login), ())?;
    txn.open_table(LOGINS_OF_USER)?.insert((key(id), login), ())?;
    Ok(())
}
