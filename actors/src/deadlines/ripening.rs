//! From what was published to whom it is owed.

use std::collections::HashMap;

use domain::delivery::person::deadline;
use domain::time::Timestamp;
use storage::Error;
use storage::journal::{JournalKey, Slot};
use storage::watches::{BATCH_MAX, Subscriber, Watch, WatchChange};
use uuid::Uuid;

use crate::deadlines::DeadlinesArgs;
use crate::deadlines::owed::Young;

impl DeadlinesArgs {
    /// Writes watches for what was published to persons who have not applied it, and with them up to where that was
    /// looked at.
    pub(super) async fn ripen(
        &self,
        young: &HashMap<Uuid, Young>,
        noted: Vec<(JournalKey, Slot)>,
    ) -> Result<(), Error> {
        let mut changes = Vec::new();
        let unsettled: Vec<_> =
            young.iter().filter(|(stream, young)| !self.streams.is_settled(**stream, young.last)).collect();
        for part in unsettled.chunks(BATCH_MAX) {
            let subscribers =
                self.owed.watches().subscribers(part.iter().map(|(stream, _)| **stream).collect()).await?;
            let owed: Vec<_> = (part.iter().zip(subscribers))
                .filter_map(|((_, young), subscriber)| Some((subscriber?, young)))
                .filter(|(subscriber, _)| subscriber.class.is_tracked())
                .collect();
            let known = self.watches_of(owed.iter().map(|(subscriber, _)| *subscriber)).await?;
            for ((subscriber, young), known) in owed.into_iter().zip(known) {
                let new = self.new_watch(subscriber, young.first, young.at);
                match known.filter(|known| known.epoch == new.epoch) {
                    None => changes.push(WatchChange::Put(new)),
                    // It looks at these as well, in time or earlier than it would.
                    Some(known) if known.due > new.due => {
                        changes.push(WatchChange::Put(Watch { due: new.due, ..known }));
                    }
                    Some(_) => {}
                }
            }
            if changes.len() >= BATCH_MAX {
                let rest = changes.split_off(BATCH_MAX);
                let full = std::mem::replace(&mut changes, rest);
                self.owed.watches().change_watches(full, Vec::new()).await?;
            }
        }
        if changes.is_empty() && noted.is_empty() {
            return Ok(());
        }
        self.owed.watches().change_watches(changes, noted).await
    }

    /// The watch of each, if there is one.
    pub(super) async fn watches_of(
        &self,
        subscribers: impl Iterator<Item = Subscriber>,
    ) -> Result<Vec<Option<Watch>>, Error> {
        let keys: Vec<_> = subscribers.map(|subscriber| (subscriber.user, subscriber.stream)).collect();
        if keys.is_empty() { Ok(Vec::new()) } else { self.owed.watches().watches(keys).await }
    }

    /// A watch over all from a message on that was made at `at`.
    pub(super) fn new_watch(&self, subscriber: Subscriber, first: u64, at: Timestamp) -> Watch {
        Watch {
            subscriber,
            epoch: self.streams.epoch().to_owned(),
            through: first.saturating_sub(1),
            found: Vec::new(),
            due: deadline(at, self.streams.policy(subscriber.class).deadline_ms),
            unsaid: None,
            escalated_at: None,
        }
    }
}
