//! The events of one account, backwards: from views, and what they do not have in time from the owner.

use std::sync::Arc;

use actors::ledger::ReadPoint;
use domain::ids::AccountId;
use domain::ledger::Event;
use domain::time::Timestamp;

use crate::app::App;
use crate::failure::Failure;
use crate::wallet::statement::newest;

/// The history of one account as of one moment.
pub(super) struct History<'a> {
    app: &'a App,
    account: AccountId,
    point: ReadPoint,
}

impl<'a> History<'a> {
    /// The history with everything that is durable now.
    pub(super) async fn open(app: &'a App, account: AccountId) -> Result<Self, Failure> {
        let point = app.ledger.read_point(account).await?;
        Ok(Self { app, account, point })
    }

    /// How many entries there are.
    pub(super) fn entries(&self) -> u64 {
        self.point.account.entries
    }

    /// Below which offset a page by number begins; none if there is no such page.
    pub(super) async fn before_page(&self, page: u32, limit: u32) -> Result<Option<u64>, Failure> {
        let above = u64::from(page - 1) * u64::from(limit);
        match self.entries().checked_sub(above) {
            None | Some(0) => Ok(None),
            Some(entry) if entry == self.entries() => Ok(Some(self.end())),
            Some(entry) => Ok(self.offset_of(entry).await?.map(|offset| offset + 1)),
        }
    }

    /// Below which offset the events before a time are. Times increase within an account, so it is found by halving.
    pub(super) async fn before_time(&self, to: Option<Timestamp>) -> Result<u64, Failure> {
        let Some(to) = to else { return Ok(self.end()) };
        let (mut low, mut high) = (0, self.end());
        // All at or below `low` are before the time; all at or above `high` are not.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.events_before(middle + 1, 1).await?.first() {
                Some(event) if event.meta.at >= to => high = middle,
                _ => low = middle,
            }
        }
        Ok(high)
    }

    /// Events with `offset < before`, newest first, at most `limit`; empty at the account's beginning.
    pub(super) async fn events_before(&self, before: u64, limit: usize) -> Result<Vec<Arc<Event>>, Failure> {
        let before = before.min(self.end());
        if before == self.end() && limit == newest::EVENTS {
            let read = || self.read_before(before, limit);
            return self.app.newest.events(self.account, self.point.account.head, read).await;
        }
        self.read_before(before, limit).await
    }

    async fn read_before(&self, before: u64, limit: usize) -> Result<Vec<Arc<Event>>, Failure> {
        let mut events: Vec<_> =
            (self.point.unapplied.iter().rev()).filter(|event| event.offset < before).take(limit).cloned().collect();
        if events.len() < limit {
            let before = events.last().map_or(before, |event| event.offset);
            events.extend(self.app.ledger.events_before(self.account, before, limit - events.len()).await?);
        }
        Ok(events)
    }

    /// One past the last event.
    fn end(&self) -> u64 {
        self.point.account.head + 1
    }

    async fn offset_of(&self, entry: u64) -> Result<Option<u64>, Failure> {
        let unapplied = self
            .point
            .unapplied
            .iter()
            .find(|event| event.change.movement().is_some_and(|movement| movement.entry.number == entry));
        match unapplied {
            Some(event) => Ok(Some(event.offset)),
            None => Ok(self.app.ledger.offset_of_entry(self.account, entry).await?),
        }
    }
}
