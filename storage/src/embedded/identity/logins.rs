//! Refresh-token families.

use std::ops::RangeInclusive;

use domain::ids::{LoginId, UserId};
use domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::people;
use super::records::{LOGINS, LOGINS_BY_EXPIRY, LOGINS_OF_USER, LoginRecord, key};
use crate::embedded::database::{Failed, Stored};
use crate::identity::{LOGINS_PER_USER_MAX, Login, NewLogin, ROTATION_GRACE, Rotate, Rotation};

/// How many characters of what a device calls itself are kept.
const DEVICE_CHARS_MAX: usize = 64;

/// Begins a login of a live person who is not being erased.
pub(super) fn begin(txn: &WriteTransaction, new: &NewLogin) -> Result<Option<Login>, Failed> {
    if people::live(txn, new.user)?.is_none_or(|person| person.erasing) {
        return Ok(None);
    }
    let mut logins = of_user(&txn.open_table(LOGINS_OF_USER)?, &txn.open_table(LOGINS)?, new.user)?;
    logins.sort_by_key(|login| login.used_at);
    let surplus = logins.len().saturating_add(1).saturating_sub(LOGINS_PER_USER_MAX);
    for login in logins.iter().take(surplus) {
        remove(txn, login)?;
    }
    let record = LoginRecord {
        user: new.user,
        device: short(&new.device),
        created_at: new.at,
        used_at: new.at,
        expires_at: new.expires_at,
        generation: 0,
        rotated_by: None,
    };
    put(txn, new.id, &record)?;
    txn.open_table(LOGINS_OF_USER)?.insert((key(new.user), new.id.0.as_u128()), ())?;
    Ok(Some(record.into_login(new.id)))
}

/// Exchanges a refresh token for its successor.
pub(super) fn rotate(txn: &WriteTransaction, asked: &Rotate) -> Result<Rotation, Failed> {
    let Some(mut record) = read(&txn.open_table(LOGINS)?, asked.login)? else { return Ok(Rotation::Unknown) };
    let device = short(&asked.device);
    if record.generation < asked.generation {
        return Ok(Rotation::Unknown);
    }
    if record.expires_at <= asked.at {
        remove(txn, &record.into_login(asked.login))?;
        return Ok(Rotation::Expired);
    }
    if record.generation == asked.generation {
        txn.open_table(LOGINS_BY_EXPIRY)?.remove((record.expires_at.0, asked.login.0.as_u128()))?;
        record.generation = record.generation.saturating_add(1);
        record.rotated_by = Some(device);
        record.used_at = asked.at;
        record.expires_at = asked.expires_at;
        put(txn, asked.login, &record)?;
        return Ok(Rotation::Rotated(record.into_login(asked.login)));
    }
    let repeated = record.generation == asked.generation.saturating_add(1)
        && record.rotated_by.as_deref() == Some(device.as_str())
        && asked.at.since(record.used_at) <= ROTATION_GRACE;
    let login = record.into_login(asked.login);
    if repeated {
        return Ok(Rotation::Repeated(login));
    }
    remove(txn, &login)?;
    Ok(Rotation::Reused { user: login.user })
}

/// The login with this id.
pub(super) fn get(logins: &impl ReadableTable<u128, &'static [u8]>, id: LoginId) -> Result<Option<Login>, Failed> {
    Ok(read(logins, id)?.map(|record| record.into_login(id)))
}

/// All logins of a person, at most [`LOGINS_PER_USER_MAX`].
pub(super) fn of_user(
    index: &impl ReadableTable<(u128, u128), ()>,
    logins: &impl ReadableTable<u128, &'static [u8]>,
    user: UserId,
) -> Result<Vec<Login>, Failed> {
    let mut found = Vec::new();
    for row in index.range(all(user))? {
        let id = LoginId(Uuid::from_u128(row?.0.value().1));
        found.extend(get(logins, id)?);
    }
    Ok(found)
}

/// Ends one login of a person.
pub(super) fn end(txn: &WriteTransaction, user: UserId, id: LoginId) -> Result<bool, Failed> {
    let login = get(&txn.open_table(LOGINS)?, id)?.filter(|login| login.user == user);
    if let Some(login) = &login {
        remove(txn, login)?;
    }
    Ok(login.is_some())
}

/// Ends all logins of a person but one.
pub(super) fn end_all(txn: &WriteTransaction, user: UserId, except: Option<LoginId>) -> Result<Vec<LoginId>, Failed> {
    let mut logins = of_user(&txn.open_table(LOGINS_OF_USER)?, &txn.open_table(LOGINS)?, user)?;
    logins.retain(|login| Some(login.id) != except);
    for login in &logins {
        remove(txn, login)?;
    }
    Ok(logins.into_iter().map(|login| login.id).collect())
}

/// Drops logins that expired before `now`, the longest ago first.
pub(super) fn sweep(txn: &WriteTransaction, now: Timestamp, max: usize) -> Result<usize, Failed> {
    let mut expired = Vec::new();
    for row in txn.open_table(LOGINS_BY_EXPIRY)?.range(..(now.0, 0))?.take(max) {
        expired.push(LoginId(Uuid::from_u128(row?.0.value().1)));
    }
    for id in &expired {
        let login = get(&txn.open_table(LOGINS)?, *id)?;
        if let Some(login) = login {
            remove(txn, &login)?;
        }
    }
    Ok(expired.len())
}

fn read(logins: &impl ReadableTable<u128, &'static [u8]>, id: LoginId) -> Result<Option<LoginRecord>, Failed> {
    logins.get(id.0.as_u128())?.map(|bytes| LoginRecord::decode(bytes.value())).transpose()
}

/// Writes a login's record and its place in the order of expiry.
fn put(txn: &WriteTransaction, id: LoginId, record: &LoginRecord) -> Result<(), Failed> {
    txn.open_table(LOGINS)?.insert(id.0.as_u128(), record.encode()?.as_slice())?;
    txn.open_table(LOGINS_BY_EXPIRY)?.insert((record.expires_at.0, id.0.as_u128()), ())?;
    Ok(())
}

/// Removes a login and every index row of it.
fn remove(txn: &WriteTransaction, login: &Login) -> Result<(), Failed> {
    let id = login.id.0.as_u128();
    txn.open_table(LOGINS)?.remove(id)?;
    txn.open_table(LOGINS_OF_USER)?.remove((key(login.user), id))?;
    txn.open_table(LOGINS_BY_EXPIRY)?.remove((login.expires_at.0, id))?;
    Ok(())
}

/// The index keys of a person's logins.
fn all(user: UserId) -> RangeInclusive<(u128, u128)> {
    (key(user), 0)..=(key(user), u128::MAX)
}

/// The part of a device's name that is kept.
fn short(device: &str) -> String {
    device.chars().take(DEVICE_CHARS_MAX).collect()
}
