//! Cursors of lists: where a page ended, in a form that says nothing and fits into a URL.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::code::Code;
use uuid::Uuid;

use crate::failure::Failure;

/// The most characters that are looked at.
const CHARS_MAX: usize = 64;

/// The first byte of a cursor: which list gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum List {
    Statement = 1,
    Holds = 2,
    DeadLetters = 3,
    Rooms = 4,
    Notices = 5,
}

/// Where a page of a statement ended: the next has offsets below this.
pub fn statement(before: u64) -> String {
    encode(List::Statement, &before.to_be_bytes())
}

/// Reads what [`statement`] wrote.
///
/// # Errors
/// [`Code::CursorInvalid`]
pub fn read_statement(cursor: &str) -> Result<u64, Failure> {
    let place = decode(List::Statement, cursor)?;
    Ok(u64::from_be_bytes(place.try_into().map_err(|_| Failure::of(Code::CursorInvalid))?))
}

/// Where a page of holds ended: the sort key of the last.
pub fn holds(after: &[u8]) -> String {
    encode(List::Holds, after)
}

/// Reads what [`holds`] wrote.
///
/// # Errors
/// [`Code::CursorInvalid`]
pub fn read_holds(cursor: &str) -> Result<Vec<u8>, Failure> {
    /// A time and an id.
    const SORT_BYTES: usize = 24;
    let place = decode(List::Holds, cursor)?;
    if place.len() == SORT_BYTES { Ok(place) } else { Err(Code::CursorInvalid.into()) }
}

/// Where a page of dead letters ended: the id of the last.
pub fn dead_letters(before: Uuid) -> String {
    encode(List::DeadLetters, before.as_bytes())
}

/// Reads what [`dead_letters`] wrote.
///
/// # Errors
/// [`Code::CursorInvalid`]
pub fn read_dead_letters(cursor: &str) -> Result<Uuid, Failure> {
    Uuid::from_slice(&decode(List::DeadLetters, cursor)?).map_err(|_| Code::CursorInvalid.into())
}

/// Where a page of rooms ended: the id of the last.
pub fn rooms(after: Uuid) -> String {
    encode(List::Rooms, after.as_bytes())
}

/// Reads what [`rooms`] wrote.
///
/// # Errors
/// [`Code::CursorInvalid`]
pub fn read_rooms(cursor: &str) -> Result<Uuid, Failure> {
    Uuid::from_slice(&decode(List::Rooms, cursor)?).map_err(|_| Code::CursorInvalid.into())
}

/// Where a page of notices ended: in one's own room, and in one's account.
pub fn notices(room: u64, account: u64) -> String {
    encode(List::Notices, &[room.to_be_bytes(), account.to_be_bytes()].concat())
}

/// Reads what [`notices`] wrote.
///
/// # Errors
/// [`Code::CursorInvalid`]
pub fn read_notices(cursor: &str) -> Result<(u64, u64), Failure> {
    let place = decode(List::Notices, cursor)?;
    let (places, rest) = place.as_chunks::<8>();
    match (places, rest) {
        ([room, account], []) => Ok((u64::from_be_bytes(*room), u64::from_be_bytes(*account))),
        _ => Err(Code::CursorInvalid.into()),
    }
}

fn encode(list: List, place: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([&[list as u8], place].concat())
}

fn decode(list: List, cursor: &str) -> Result<Vec<u8>, Failure> {
    let invalid = || Failure::of(Code::CursorInvalid);
    if cursor.len() > CHARS_MAX {
        return Err(invalid());
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    match bytes.split_first() {
        Some((first, place)) if *first == list as u8 => Ok(place.to_vec()),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        for before in [0, 1, 77, u64::MAX] {
            assert_eq!(read_statement(&statement(before)), Ok(before));
        }
        assert_eq!(read_holds(&holds(&[7; 24])), Ok(vec![7; 24]));
        let id = Uuid::from_u128(5);
        assert_eq!(read_rooms(&rooms(id)), Ok(id));
        assert_eq!(read_notices(&notices(u64::MAX, 7)), Ok((u64::MAX, 7)));
        assert!(read_notices(&rooms(id)).is_err() && read_rooms(&dead_letters(id)).is_err());
        assert_eq!(read_dead_letters(&dead_letters(id)), Ok(id));
        assert!(holds(&[255; 24]).bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }

    #[test]
    fn what_no_list_gave_is_refused() {
        let long = "A".repeat(CHARS_MAX + 1);
        for cursor in ["", "x", "é", "AQ", "====", &long, &holds(&[7; 24]), &dead_letters(Uuid::nil())] {
            assert_eq!(read_statement(cursor).unwrap_err().code, Code::CursorInvalid, "{cursor}");
        }
        assert!(read_holds(&holds(&[7; 23])).is_err());
        assert!(read_holds(&statement(1)).is_err());
        assert!(read_dead_letters(&statement(1)).is_err());
    }
}
