//! How events are written into a record's payload, and read from it.
//!
//! A payload is one byte of format, then items. An item is its length and its checksum (CRC-32, both
//! little-endian `u32`), then its bytes in [postcard](https://postcard.jamesmunns.com/wire-format). An
//! item is readable by itself, so a view may point at one.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use domain::ledger::{Event, ShardEvent};
use domain::room::{Room, RoomEvent, RoomShardEvent};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The number of the store's format: of the journal, of events and of positions. A store of a higher
/// number is not opened; one of a lower number is.
pub const STORE_FORMAT: u8 = 1;

/// Bytes before each item: its length and its checksum.
const HEAD: usize = 8;

/// The most bytes of one item: what is larger is damage, not an event.
const ITEM_BYTES_MAX: usize = 64 << 10;

/// What a record of the ledger is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// An event of one account.
    Event(Arc<Event>),
    /// An event of the shard.
    Shard(Arc<ShardEvent>),
}

/// What a record of rooms is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomItem {
    /// An event of one room.
    Event(Arc<RoomEvent>),
    /// An event of the shard.
    Shard(Arc<RoomShardEvent>),
    /// A room as of its last event before this item, written again before the record goes that founded
    /// it.
    Snapshot(Arc<Room>),
}

/// A payload in the making.
#[derive(Debug)]
pub struct Writer {
    payload: BytesMut,
    scratch: Vec<u8>,
}

/// Where an item stands in its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte, the head included.
    pub at: u32,
    /// Its length, the head included.
    pub len: u32,
}

impl Default for Writer {
    fn default() -> Self {
        let mut payload = BytesMut::with_capacity(4096);
        payload.put_u8(STORE_FORMAT);
        Self { payload, scratch: Vec::with_capacity(512) }
    }
}

impl Writer {
    /// Adds an item.
    ///
    /// # Errors
    /// The item is larger than any may be; the payload is as before.
    pub fn push<T: Serialize>(&mut self, item: &T) -> Result<Span, Error> {
        self.scratch.clear();
        let scratch = std::mem::take(&mut self.scratch);
        self.scratch = postcard::to_extend(item, scratch)
            .map_err(|error| Error::Unknown(format!("an event cannot be encoded: {error}")))?;
        if self.scratch.len() > ITEM_BYTES_MAX {
            return Err(Error::Unknown(format!("an event of {} bytes is too large", self.scratch.len())));
        }
        let at = self.payload.len();
        let len = u32::try_from(self.scratch.len()).unwrap_or(u32::MAX);
        self.payload.put_u32_le(len);
        self.payload.put_u32_le(crc32fast::hash(&self.scratch));
        self.payload.put_slice(&self.scratch);
        Ok(Span { at: u32::try_from(at).unwrap_or(u32::MAX), len: len + 8 })
    }

    /// The bytes so far.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Takes back what was added after the payload had `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.payload.truncate(len);
    }

    /// Whether no item was added.
    pub fn is_empty(&self) -> bool {
        self.payload.len() <= 1
    }

    /// The payload.
    pub fn finish(self) -> Bytes {
        self.payload.freeze()
    }
}

/// Reads all items of a payload of the ledger, each with its place.
///
/// # Errors
/// The payload is of a format that this build does not know, or is not what was written.
pub fn read(payload: &Bytes) -> Result<Vec<(Span, Item)>, Error> {
    read_items(payload)
}

/// Reads all items of a payload, each with its place.
///
/// # Errors
/// As [`read`].
pub fn read_items<T: DeserializeOwned>(payload: &Bytes) -> Result<Vec<(Span, T)>, Error> {
    match payload.first() {
        Some(&STORE_FORMAT) => {}
        Some(other) => {
            return Err(Error::Unknown(format!("a record is of format {other}, this build knows {STORE_FORMAT}")));
        }
        None => return Err(Error::Unknown("a record is empty".into())),
    }
    let mut items = Vec::new();
    let mut at = 1;
    while at < payload.len() {
        let (item, len) = item_at(payload.get(at..).unwrap_or_default())?;
        items.push((Span { at: narrow(at), len: narrow(len) }, item));
        at += len;
    }
    Ok(items)
}

/// Reads one account's event from an item's bytes.
///
/// # Errors
/// The bytes are not those of one event.
pub fn read_event(bytes: &[u8]) -> Result<Arc<Event>, Error> {
    match item_at(bytes)? {
        (Item::Event(event), len) if len == bytes.len() => Ok(event),
        _ => Err(Error::Unknown("an item is no account's event".into())),
    }
}

/// Reads one room's event from an item's bytes.
///
/// # Errors
/// The bytes are not those of one event.
pub fn read_room_event(bytes: &[u8]) -> Result<Arc<RoomEvent>, Error> {
    match item_at(bytes)? {
        (RoomItem::Event(event), len) if len == bytes.len() => Ok(event),
        _ => Err(Error::Unknown("an item is no room's event".into())),
    }
}

/// The item at the start of `bytes`, and its length with its head.
fn item_at<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), Error> {
    let cut = || Error::Unknown("an event is cut off".into());
    let (head, rest) = bytes.split_at_checked(HEAD).ok_or_else(cut)?;
    let word = |range: std::ops::Range<usize>| {
        head.get(range).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
    };
    let len = usize::try_from(word(0..4)).unwrap_or(usize::MAX);
    if len > ITEM_BYTES_MAX {
        return Err(Error::Unknown(format!("an event of {len} bytes is too large")));
    }
    let body = rest.get(..len).ok_or_else(cut)?;
    if crc32fast::hash(body) != word(4..8) {
        return Err(Error::Unknown("an event's checksum does not fit".into()));
    }
    let item =
        postcard::from_bytes(body).map_err(|error| Error::Unknown(format!("an event cannot be decoded: {error}")))?;
    Ok((item, HEAD + len))
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Encodes a state that views hold: one byte of format, then postcard.
///
/// # Errors
/// The state cannot be encoded.
pub fn state<T: Serialize>(state: &T) -> Result<Bytes, Error> {
    postcard::to_extend(state, vec![STORE_FORMAT])
        .map(Bytes::from)
        .map_err(|error| Error::Unknown(format!("a state cannot be encoded: {error}")))
}

/// Decodes what [`state`] wrote.
///
/// # Errors
/// The bytes are of another format or of another kind.
pub fn read_state<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&STORE_FORMAT, body)) => {
            postcard::from_bytes(body).map_err(|error| Error::Unknown(format!("a state cannot be decoded: {error}")))
        }
        _ => Err(Error::Unknown("a state is of a format that this build does not know".into())),
    }
}
