//! The tables of the deliveries store and the stored forms of their records.

use domain::delivery::Class;
use domain::ids::{DeviceId, TransferId, UserId};
use domain::time::Timestamp;
use redb::TableDefinition;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::deliveries::{Cursor, DeadLetter, DeadLetterId, Device, Reason, TEXT_BYTES_MAX};
use crate::embedded::database::{Failed, Stored};
use crate::watches::{Subscriber, Timeline, Watch};

/// User, device → [`DeviceRecord`].
pub(super) const DEVICES: TableDefinition<'_, (u128, u128), &[u8]> = TableDefinition::new("devices");
/// User, hash of the device's name → device.
pub(super) const DEVICE_NAMES: TableDefinition<'_, (u128, u128), u128> = TableDefinition::new("device_names");
/// When the device was last seen in µs, user, device.
pub(super) const DEVICES_BY_AGE: TableDefinition<'_, (u64, u128, u128), ()> = TableDefinition::new("devices_by_age");
/// User, device, stream → [`CursorRecord`].
pub(super) const CURSORS: TableDefinition<'_, (u128, u128, u128), &[u8]> = TableDefinition::new("cursors");
/// Dead letter → [`DeadLetterRecord`].
pub(super) const DEAD_LETTERS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("dead_letters");
/// [`Reason::number`], dead letter.
pub(super) const DEAD_LETTERS_BY_REASON: TableDefinition<'_, (u8, u128), ()> =
    TableDefinition::new("dead_letters_by_reason");

/// [`Class::number`], dead letter.
pub(super) const DEAD_LETTERS_BY_CLASS: TableDefinition<'_, (u8, u128), ()> =
    TableDefinition::new("dead_letters_by_class");
/// User, dead letter.
pub(super) const DEAD_LETTERS_BY_USER: TableDefinition<'_, (u128, u128), ()> =
    TableDefinition::new("dead_letters_by_user");
/// User, stream, dead letter: those that are open.
pub(super) const DEAD_LETTERS_OPEN: TableDefinition<'_, (u128, u128, u128), ()> =
    TableDefinition::new("dead_letters_open");
/// When it was resolved in µs, dead letter.
pub(super) const DEAD_LETTERS_RESOLVED: TableDefinition<'_, (u64, u128), ()> =
    TableDefinition::new("dead_letters_resolved");
/// User, stream → the offsets of a read mark: `upto`, then each beyond it, little-endian.
pub(super) const READ_MARKS: TableDefinition<'_, (u128, u128), &[u8]> = TableDefinition::new("read_marks");

/// Stream → who subscribed to it, and [`Class::number`].
pub(super) const SUBSCRIBERS: TableDefinition<'_, u128, (u128, u8)> = TableDefinition::new("subscribers");
/// User, stream: what somebody subscribed to.
pub(super) const SUBSCRIPTIONS: TableDefinition<'_, (u128, u128), ()> = TableDefinition::new("subscriptions");
/// User, stream → [`WatchRecord`].
pub(super) const WATCHES: TableDefinition<'_, (u128, u128), &[u8]> = TableDefinition::new("watches");
/// When a watch is due in µs, user, stream.
pub(super) const WATCHES_DUE: TableDefinition<'_, (u64, u128, u128), ()> = TableDefinition::new("watches_due");
/// Space, shard → the slot up to which all events have been looked at.
pub(super) const NOTED: TableDefinition<'_, (u8, u16), u64> = TableDefinition::new("noted");
/// Day since 1970, user, stream, block of offsets → [`TimelinesRecord`].
pub(super) const TIMELINES: TableDefinition<'_, (u32, u128, u128, u64), &[u8]> = TableDefinition::new("timelines");

/// A device of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeviceRecord {
    /// The hash of its name: the key of its row in [`DEVICE_NAMES`].
    pub(super) name: u128,
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
}

/// A device's place in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CursorRecord {
    pub(super) epoch: String,
    pub(super) offset: u64,
    pub(super) at: Timestamp,
}

/// What is to be looked after. Its person and stream are its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WatchRecord {
    /// [`Class::number`].
    pub(super) class: u8,
    pub(super) epoch: String,
    pub(super) through: u64,
    pub(super) found: Vec<u64>,
    pub(super) due: Timestamp,
    pub(super) unsaid: Option<(u64, u64)>,
    pub(super) escalated_at: Option<Timestamp>,
}

/// What became of messages of one block, each by its place there, as of the day that is the key's first part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct TimelinesRecord(pub(super) Vec<(u8, Timeline)>);

/// What failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeadLetterRecord {
    /// [`Reason::number`].
    pub(super) reason: u8,
    pub(super) stream: Option<Uuid>,
    pub(super) user: Option<UserId>,
    pub(super) device: Option<DeviceId>,
    pub(super) offsets: Option<(u64, u64)>,
    pub(super) transfer: Option<TransferId>,
    pub(super) attempts: u32,
    pub(super) last_error: String,
    pub(super) detail: String,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
    /// [`Class::number`].
    pub(super) class: Option<u8>,
    pub(super) redrive: bool,
    pub(super) resolved_at: Option<Timestamp>,
}

/// What failed for good, as version 1 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DeadLetterRecord1 {
    reason: u8,
    stream: Option<Uuid>,
    user: Option<UserId>,
    device: Option<DeviceId>,
    offsets: Option<(u64, u64)>,
    transfer: Option<TransferId>,
    attempts: u32,
    last_error: String,
    detail: String,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl Stored for DeviceRecord {
    const NAME: &'static str = "device";
}

impl Stored for CursorRecord {
    const NAME: &'static str = "cursor";
}

impl Stored for WatchRecord {
    const NAME: &'static str = "watch";
}

impl Stored for TimelinesRecord {
    const NAME: &'static str = "block of timelines";
}

impl WatchRecord {
    /// The record of a watch.
    pub(super) fn of(watch: &Watch) -> Self {
        let Watch { subscriber, epoch, through, found, due, unsaid, escalated_at } = watch.clone();
        Self { class: subscriber.class.number(), epoch, through, found, due, unsaid, escalated_at }
    }

    /// The watch of a person and stream that this is the record of.
    pub(super) fn into_watch(self, user: UserId, stream: Uuid) -> Result<Watch, Failed> {
        let Self { class, epoch, through, found, due, unsaid, escalated_at } = self;
        let subscriber = Subscriber { user, stream, class: read_class(class)? };
        Ok(Watch { subscriber, epoch, through, found, due, unsaid, escalated_at })
    }
}

/// The class of this number.
pub(super) fn read_class(number: u8) -> Result<Class, Failed> {
    Class::from_number(number)
        .ok_or_else(|| Failed::Undecodable(format!("the class {number} of streams is not known to this build")))
}

impl Stored for DeadLetterRecord1 {
    const NAME: &'static str = "dead letter";
}

impl Stored for DeadLetterRecord {
    const NAME: &'static str = "dead letter";
    const VERSION: u8 = 2;

    fn decode(bytes: &[u8]) -> Result<Self, Failed> {
        match bytes.split_first() {
            Some((&Self::VERSION, rest)) => postcard::from_bytes(rest)
                .map_err(|error| Failed::Undecodable(format!("a {} cannot be decoded: {error}", Self::NAME))),
            // Version 1 knows no deliveries.
            _ => DeadLetterRecord1::decode(bytes).map(Self::from),
        }
    }
}

impl From<DeadLetterRecord1> for DeadLetterRecord {
    fn from(old: DeadLetterRecord1) -> Self {
        Self {
            reason: old.reason,
            stream: old.stream,
            user: old.user,
            device: old.device,
            offsets: old.offsets,
            transfer: old.transfer,
            attempts: old.attempts,
            last_error: old.last_error,
            detail: old.detail,
            first_at: old.first_at,
            last_at: old.last_at,
            class: None,
            redrive: false,
            resolved_at: None,
        }
    }
}

impl DeviceRecord {
    /// The device that this is the record of.
    pub(super) fn device(&self, id: DeviceId) -> Device {
        Device { id, first_seen: self.first_seen, last_seen: self.last_seen }
    }
}

impl From<CursorRecord> for Cursor {
    fn from(record: CursorRecord) -> Self {
        Self { epoch: record.epoch, offset: record.offset, at: record.at }
    }
}

impl DeadLetterRecord {
    /// The record of a letter, its text within bounds.
    pub(super) fn of(letter: &DeadLetter) -> Self {
        Self {
            reason: letter.reason.number(),
            stream: letter.stream,
            user: letter.user,
            device: letter.device,
            offsets: letter.offsets,
            transfer: letter.transfer,
            attempts: letter.attempts,
            last_error: cut(&letter.last_error),
            detail: cut(&letter.detail),
            first_at: letter.first_at,
            last_at: letter.last_at,
            class: letter.class.map(Class::number),
            redrive: letter.redrive,
            resolved_at: letter.resolved_at,
        }
    }

    /// The letter that this is the record of.
    pub(super) fn into_letter(self, id: DeadLetterId) -> Result<DeadLetter, Failed> {
        let reason = Reason::from_number(self.reason).ok_or_else(|| {
            Failed::Undecodable(format!("the reason {} of dead letter {id} is not known to this build", self.reason))
        })?;
        Ok(DeadLetter {
            id,
            reason,
            stream: self.stream,
            user: self.user,
            device: self.device,
            offsets: self.offsets,
            transfer: self.transfer,
            attempts: self.attempts,
            last_error: self.last_error,
            detail: self.detail,
            first_at: self.first_at,
            last_at: self.last_at,
            class: self.class.and_then(Class::from_number),
            redrive: self.redrive,
            resolved_at: self.resolved_at,
        })
    }
}

/// The longest beginning of a text that is whole characters and within the bound.
fn cut(text: &str) -> String {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::golden::golden;
    use crate::watches::Passage;

    #[test]
    fn todays_records_read_back_for_ever() {
        let device = DeviceRecord { name: 5, first_seen: Timestamp(1), last_seen: Timestamp(2) };
        let cursor = CursorRecord { epoch: "e1".to_owned(), offset: 300, at: Timestamp(1_790_000_000_000_000) };
        let first = DeadLetterRecord1 {
            reason: 1,
            stream: Some(Uuid::from_u128(1)),
            user: Some(UserId(Uuid::from_u128(2))),
            device: Some(DeviceId(Uuid::from_u128(3))),
            offsets: Some((4, 5)),
            transfer: Some(TransferId(Uuid::from_u128(6))),
            attempts: 7,
            last_error: "payee_closed".to_owned(),
            detail: "amount_minor=100".to_owned(),
            first_at: Timestamp(8),
            last_at: Timestamp(9),
        };
        assert_eq!(DeadLetterRecord::decode(&first.encode().unwrap()).unwrap(), first.clone().into());
        let letter = DeadLetterRecord {
            class: Some(1),
            redrive: true,
            resolved_at: Some(Timestamp(10)),
            ..first.clone().into()
        };
        let watch = WatchRecord {
            class: 1,
            epoch: "e1".to_owned(),
            through: 2,
            found: vec![3, 300],
            due: Timestamp(4),
            unsaid: Some((5, 6)),
            escalated_at: Some(Timestamp(7)),
        };
        let passage = Passage {
            device: Some(DeviceId(Uuid::from_u128(1))),
            sent_at: Timestamp(2),
            attempts: 3,
            received_at: Some(Timestamp(4)),
            applied_at: Some(Timestamp(5)),
            dead: Some((Timestamp(6), 4)),
        };
        let timeline =
            Timeline { passages: vec![passage], dead_at: Some(Timestamp(7)), escalated_at: Some(Timestamp(8)) };
        let golden = golden(include_str!("golden.txt"));
        golden.check("device", &device);
        golden.check("cursor", &cursor);
        golden.check("dead letter", &first);
        golden.check("dead letter 2", &letter);
        golden.check("watch", &watch);
        golden.check("timelines", &TimelinesRecord(vec![(15, timeline)]));
        golden.agrees();
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"x".repeat(600)).len(), TEXT_BYTES_MAX);
        assert_eq!(cut(&format!("x{}", "न".repeat(600))).len(), 511, "three bytes a character, and one");
    }
}
