//! Records of the new shards in the making, each shard's chained.
//!
//! One old record comes to pieces on many new shards. So each of those gathers what comes to it, as a shard does that
//! serves: until its record is long enough, or what it began with is a while ago, so that stamps of records stay close
//! to those of their events. What is gathered follows from the export alone, and an import that begins anew makes the
//! same records again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use domain::ids::{ShardCount, ShardId};
use domain::time::Timestamp;
use serde::Serialize;
use storage::Error;
use storage::encoding::Writer;
use storage::journal::{Hash, JournalKey, PAYLOAD_BYTES_MAX, Record, Slot, Space};

/// From how many bytes on a record is long enough. Of all new shards together at most 32 MiB wait.
const RECORD_BYTES: usize = 32 << 10;

/// How long a record gathers, as stamps have it.
const GATHER: Duration = Duration::from_secs(1);

/// The old record that an item stood in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// Its stamp.
    pub(super) at: Timestamp,
    /// Its messages were looked at: whom they are owed to is known.
    pub(super) is_noted: bool,
}

/// The journals of a space in the making.
pub(super) struct Drafts<T> {
    space: Space,
    term: u64,
    /// What each journal begins with.
    began: T,
    shards: BTreeMap<ShardId, Chain>,
    ready: VecDeque<Record>,
}

/// One journal.
#[derive(Default)]
struct Chain {
    draft: Option<Draft>,
    slot: Slot,
    hash: Hash,
    at: Timestamp,
    /// The last record before any with messages that were not looked at.
    noted: Slot,
    has_new: bool,
}

/// Its next record.
struct Draft {
    writer: Writer,
    since: Timestamp,
    at: Timestamp,
    has_new: bool,
}

impl<T: Serialize> Drafts<T> {
    /// Empty journals, each of which will begin with `began`, the event of this term.
    pub(super) fn new(space: Space, shards: ShardCount, term: u64, began: T) -> Self {
        let shards = shards.shards().map(|shard| (shard, Chain::default())).collect();
        Self { space, term, began, shards, ready: VecDeque::new() }
    }

    /// Adds an item to the journal of a shard.
    pub(super) fn push(&mut self, shard: ShardId, item: &T, source: Source) -> Result<(), Error> {
        if self.chain(shard)?.must_close_before(source) {
            self.close(shard)?;
        }
        if self.chain(shard)?.draft.is_none() {
            self.begin(shard, source)?;
        }
        let chain = self.chain(shard)?;
        let Some(draft) = &mut chain.draft else { return Ok(()) };
        let before = (draft.writer.len(), draft.writer.is_empty());
        draft.writer.push(item)?;
        if draft.writer.len() > PAYLOAD_BYTES_MAX && !before.1 {
            draft.writer.truncate(before.0);
            self.close(shard)?;
            return self.push(shard, item, source);
        }
        draft.at = draft.at.max(source.at);
        draft.has_new |= !source.is_noted;
        if draft.writer.len() >= RECORD_BYTES { self.close(shard) } else { Ok(()) }
    }

    /// The next record that is whole.
    pub(super) fn pop(&mut self) -> Option<Record> {
        self.ready.pop_front()
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let open: Vec<_> = self.shards.keys().copied().collect();
        open.into_iter().try_for_each(|shard| self.close(shard))
    }

    /// Up to which slot of each journal all messages were looked at, in the old ones.
    pub(super) fn noted(&self) -> impl Iterator<Item = (JournalKey, Slot)> {
        self.shards.iter().map(|(shard, chain)| (JournalKey { space: self.space, shard: *shard }, chain.noted))
    }

    fn begin(&mut self, shard: ShardId, source: Source) -> Result<(), Error> {
        let mut writer = Writer::default();
        if self.chain(shard)?.slot == Slot(0) {
            writer.push(&self.began)?;
        }
        self.chain(shard)?.draft = Some(Draft { writer, since: source.at, at: source.at, has_new: false });
        Ok(())
    }

    fn close(&mut self, shard: ShardId) -> Result<(), Error> {
        let (space, term) = (self.space, self.term);
        let chain = self.chain(shard)?;
        let Some(draft) = chain.draft.take() else { return Ok(()) };
        let record = Record {
            key: JournalKey { space, shard },
            slot: chain.slot.next(),
            term,
            at: draft.at.max(chain.at.next()),
            previous: chain.hash,
            payload: draft.writer.finish(),
        };
        (chain.slot, chain.hash, chain.at) = (record.slot, record.hash(), record.at);
        chain.has_new |= draft.has_new;
        if !chain.has_new {
            chain.noted = chain.slot;
        }
        self.ready.push_back(record);
        Ok(())
    }

    fn chain(&mut self, shard: ShardId) -> Result<&mut Chain, Error> {
        self.shards.get_mut(&shard).ok_or_else(|| Error::Unknown(format!("there is no shard {shard}")))
    }
}

impl Chain {
    /// Whether what comes from `source` begins a record of its own.
    fn must_close_before(&self, source: Source) -> bool {
        self.draft.as_ref().is_some_and(|draft| {
            let is_first_new = !source.is_noted && !draft.has_new && !self.has_new;
            is_first_new || source.at.since(draft.since) > GATHER
        })
    }
}
