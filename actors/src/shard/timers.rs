//! What waits for time to pass: holds that end, patience, repeats, idle accounts, late projections.
//!
//! One sweep looks at all of it; nobody has a timer of their own.

use std::time::Duration;

use domain::ids::OperationId;
use domain::ledger::{By, Command, Opening, Origin, Request};
use ractor::ActorRef;
use storage::Error;
use tokio::time::Instant;
use uuid::Uuid;

use crate::account::AccountMessage;
use crate::call::Reply;
use crate::metrics;
use crate::projector::ProjectorMessage;
use crate::shard::{Open, ShardMessage};
use crate::sweeping::Waiting;

/// The most holds that one sweep lets expire: the rest is due at the next.
const EXPIRIES_MAX: usize = 256;

/// How often it is looked for idle accounts and for settled credits that no record took along.
const SELDOM: Duration = Duration::from_secs(1);

impl Open {
    /// Looks at all that waits for time to pass, and says when it is to be called again.
    pub(super) fn sweep(&mut self, me: &ActorRef<ShardMessage>) -> Result<(), Error> {
        let now = Instant::now();
        let node = &self.shared.node;
        self.shared.channels.lock().lose_patience(now);
        let again = self.shared.channels.lock().resend(now, node.config.resend());
        for (peer, credits) in again {
            node.link.credits(node, peer, self.shared.id, credits);
        }
        let unsaid = self.shared.channels.lock().unsaid(now, node.config.resend());
        for credit in &unsaid {
            self.say_late(credit);
        }
        self.expire();
        self.project_if_due();
        self.project_if_waiting();
        if now.duration_since(self.looked_at) >= SELDOM {
            self.looked_at = now;
            self.append_notes(me)?;
            self.passivate(now);
            metrics::shard(&self.shared);
        }
        self.shared.sweeping.swept(self.waiting());
        Ok(())
    }

    /// What waits for time to pass.
    fn waiting(&self) -> Waiting {
        let is_busy = self.flight.is_some()
            || self.projecting
            || !self.closing.is_empty()
            || self.shared.has_queued()
            || self.shared.tail().2.is_some()
            || !self.shared.channels.lock().is_at_rest();
        if is_busy {
            return Waiting::Now;
        }
        let next = self.ledger.timers.first().map(|(at, _)| at.since(self.shared.node.clock.now()));
        match next {
            Some(wait) if wait.is_zero() => Waiting::Now,
            _ if self.shared.directory(|directory| directory.len()) > 0 => Waiting::Live,
            next => Waiting::For(next.unwrap_or(Duration::MAX)),
        }
    }

    /// Wakes accounts whose holds are over.
    fn expire(&self) {
        let now = self.shared.node.clock.now();
        let due = self.ledger.timers.iter().take_while(|(at, _)| *at <= now).take(EXPIRIES_MAX);
        let mut woken = std::collections::BTreeSet::new();
        for (_, hold) in due {
            let Some(open) = self.ledger.holds.get(hold) else { continue };
            if self.is_quarantined(open.account) || !woken.insert(open.account) {
                continue;
            }
            let (reply, _) = Reply::new(None);
            let operation = domain::ids::derived(open.account, Uuid::nil(), &format!("expiry at {}", now.0));
            let command = Command {
                origin: Origin { operation: OperationId(operation), by: By::SYSTEM, trace: None },
                // The account is open: it has a hold.
                opening: Opening { owner: domain::ids::UserId(Uuid::nil()), currency: domain::money::Currency::Inr },
                request: Request::Expire,
            };
            // A shard that is stopping wakes them when it opens again.
            self.shared.tell(open.account, AccountMessage::Command { command: Box::new(command), reply }).ok();
        }
    }

    /// Lets idle accounts go.
    fn passivate(&mut self, now: Instant) {
        let config = &self.shared.node.config;
        let live_max = (config.accounts_live_max / usize::from(self.shared.node.shards.get())).max(1);
        self.uses.push_back((now, self.shared.directory(|directory| directory.clock())));
        let mut used_before = 0;
        while let Some((_, clock)) = self.uses.pop_front_if(|(at, _)| now.duration_since(*at) >= config.idle()) {
            used_before = clock;
        }
        let durable = self.shared.durable_through();
        self.shared.directory(|directory| directory.passivate(used_before, live_max, durable));
    }

    /// Has the projector run when there is enough to do, or when it is far behind in the log.
    pub(super) fn project_if_due(&mut self) {
        let (bytes, records, first) = self.shared.tail();
        let config = &self.shared.node.config;
        let journal = &self.shared.node.stores.journal;
        let behind = || first.is_some_and(|record| journal.bytes_behind(record.place) >= config.tail_log_bytes_max / 2);
        if bytes >= config.projection_bytes || records >= config.tail_records_max / 8 || behind() {
            self.project();
        }
    }

    /// Has the projector run when something has waited long enough.
    fn project_if_waiting(&mut self) {
        let delay = Duration::from_millis(self.shared.node.config.projection_delay_ms);
        let now = self.shared.node.clock.now();
        if self.shared.tail().2.is_some_and(|record| now.since(record.at) >= delay) {
            self.project();
        }
    }

    /// Has the projector run up to the last record. While it runs, that waits.
    pub(super) fn project(&mut self) {
        if self.projecting {
            self.wanted = true;
            return;
        }
        self.projecting = true;
        let ledger = Box::new(self.ledger.clone());
        // A projector that has failed takes its shard with it.
        self.projector.cast(ProjectorMessage::Run { through: self.last, ledger }).ok();
    }

    /// The projector has done what it was told.
    pub(super) fn projected(&mut self) {
        self.projecting = false;
        if std::mem::take(&mut self.wanted) {
            self.project();
        }
    }
}
