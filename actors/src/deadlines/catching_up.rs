//! What was published and not looked at when the life before ended: read from the journals.

use std::collections::VecDeque;
use std::sync::Arc;

use storage::Error;
use storage::journal::{JournalKey, Slot};
use storage::watches::BATCH_MAX;

use crate::deadlines::calendar::messages;
use crate::deadlines::{DeadlinesState, Stretch};

/// Bytes of payload in one reading of a journal.
const READ_BYTES: usize = 1 << 20;

/// The most readings in one turn: the last few seconds of a journal are one, and the actor is to hear its mail.
const READS_MAX: usize = 64;

impl DeadlinesState {
    /// Reads on where journals are behind. Answers whether more is to be read.
    pub(super) async fn catch_up(&mut self) -> Result<bool, Error> {
        let mut behind = match self.behind.take() {
            Some(behind) => behind,
            None => self.load().await?,
        };
        let read = self.read(&mut behind).await;
        let more = !behind.is_empty();
        self.behind = Some(behind);
        read.map(|()| more)
    }

    /// From where each journal is to be read. In a store that was never looked at, what there was before is owed to
    /// nobody.
    async fn load(&mut self) -> Result<VecDeque<(JournalKey, Slot)>, Error> {
        let (watches, calendar) = (Arc::clone(self.args.owed.watches()), Arc::clone(&self.args.calendar));
        let mut known = watches.noted().await?;
        let is_known = |key: &JournalKey| known.iter().any(|(other, _)| other == key);
        let new: Vec<_> =
            (self.args.owed.journals().filter(|key| !is_known(key))).map(|key| (key, calendar.start(key))).collect();
        if !new.is_empty() {
            watches.change_watches(Vec::new(), new.clone()).await?;
            known.extend(new);
        }
        self.written = known.iter().copied().collect();
        Ok(known.into())
    }

    async fn read(&mut self, behind: &mut VecDeque<(JournalKey, Slot)>) -> Result<(), Error> {
        let mut stretch = Stretch::default();
        let mut reads = 0;
        while let Some((key, through)) = behind.front().copied() {
            if reads >= READS_MAX || stretch.young.len() >= BATCH_MAX {
                break;
            }
            reads += 1;
            let records = self.args.calendar.records(key, through.next(), READ_BYTES).await?;
            let Some(last) = records.last().map(|record| record.slot) else {
                behind.pop_front();
                continue;
            };
            for (stream, young) in messages(&records)? {
                stretch.young.entry(stream).and_modify(|known| known.join(young)).or_insert(young);
            }
            stretch.noted.retain(|(other, _)| *other != key);
            stretch.noted.push((key, last));
            if let Some(front) = behind.front_mut() {
                front.1 = last;
            }
        }
        let noted = stretch.noted.clone();
        if noted.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.args.ripen(&stretch.young, stretch.noted).await {
            // Read again from where the store is.
            let written = |key: &JournalKey| self.written.get(key).copied().unwrap_or_default();
            for (key, _) in &noted {
                behind.retain(|(other, _)| other != key);
                behind.push_front((*key, written(key)));
            }
            return Err(error);
        }
        self.written.extend(noted);
        Ok(())
    }

    /// Journals of which events could not be kept are read from where was looked last.
    pub(super) fn note_lost(&mut self) {
        let Some(behind) = &mut self.behind else { return };
        for key in self.args.owed.journals() {
            if self.args.owed.take_lost(key) && !behind.iter().any(|(other, _)| *other == key) {
                behind.push_back((key, self.written.get(&key).copied().unwrap_or_default()));
            }
        }
    }
}
