//! The sending ends of a shard's channels: credits that are durable here and not known to be there.
//!
//! A credit is sent when its debit is durable and again until it is acknowledged; it is in the
//! journal, so that goes on across crashes. What is acknowledged is journalled as settled, lazily.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{AccountId, ShardId, TransferId};
use domain::ledger::{Account, ChannelNumber, Credit, Event, ShardEvent};
use foldhash::HashMap;
use tokio::time::Instant;

use crate::call::{Effect, Reply, Status};

/// The receiver has a credit for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The credit's number.
    pub number: u64,
    /// It could not be taken, and went to suspense.
    pub diverted: bool,
}

/// A caller who waits for the payee's side.
#[derive(Debug)]
pub(crate) struct Patient {
    pub reply: Reply,
    pub event: Arc<Event>,
    pub account: Option<Arc<Account>>,
    pub replayed: bool,
}

impl Patient {
    fn answer(self, status: Status) {
        let effect = Effect { event: Some(self.event), account: self.account, status, replayed: self.replayed };
        self.reply.send(Ok(effect));
    }
}

/// A credit on its way.
#[derive(Debug)]
struct OnItsWay {
    credit: Arc<Credit>,
    since: Instant,
    sent_at: Instant,
    acknowledged: bool,
    waiters: Vec<Patient>,
}

/// The sending ends of one shard. One map holds what is on its way to all peers: most channels are empty
/// at any time, and a map of each would be a cache miss of each.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    credits: BTreeMap<ChannelNumber, OnItsWay>,
    peers: HashMap<ShardId, Peer>,
    /// Numbers that are settled and not journalled, by channel.
    fresh: BTreeMap<ShardId, Vec<u64>>,
    /// Callers in the order in which their patience ends.
    patience: VecDeque<(Instant, ChannelNumber)>,
    /// Credits on their way, by account.
    accounts: HashMap<AccountId, u32>,
    /// Transfers that end late: their account says so before they are settled.
    late: BTreeMap<TransferId, Late>,
}

/// One channel.
#[derive(Debug, Default)]
struct Peer {
    /// The last durable number.
    last: u64,
    /// How many credits are on their way.
    depth: usize,
}

/// A transfer that ends late.
#[derive(Debug)]
struct Late {
    channel: ChannelNumber,
    /// When its account was asked to say so. One that fails forgets it, and is asked again.
    asked_at: Instant,
    /// Its account has decided to say so.
    said: bool,
}

/// Credits with their numbers on one channel.
pub(crate) type Numbered = Vec<(u64, Arc<Credit>)>;

/// What an acknowledgement asks for.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "lives for one match")]
pub(crate) enum Acknowledged {
    /// Nothing.
    Settled,
    /// The transfer was answered as pending: its account must say that it has come to its end.
    Late(Arc<Credit>),
}

impl Channels {
    /// A credit became durable and is being sent.
    pub(crate) fn begin(&mut self, channel: ChannelNumber, credit: Arc<Credit>, now: Instant) {
        *self.accounts.entry(credit.payer.account).or_default() += 1;
        let peer = self.peers.entry(channel.peer).or_default();
        peer.depth += 1;
        peer.last = peer.last.max(channel.number);
        let begun = OnItsWay { credit, since: now, sent_at: now, acknowledged: false, waiters: Vec::new() };
        self.credits.insert(channel, begun);
    }

    /// The channel's numbers up to `last` were given before.
    pub(crate) fn last(&mut self, peer: ShardId, last: u64) {
        let peer = self.peers.entry(peer).or_default();
        peer.last = peer.last.max(last);
    }

    /// What is on its way to a peer, in order.
    fn to(&self, peer: ShardId) -> impl Iterator<Item = (&ChannelNumber, &OnItsWay)> {
        self.credits.range(ChannelNumber { peer, number: 0 }..=ChannelNumber { peer, number: u64::MAX })
    }

    /// Lets a caller wait for a credit. Answers at once if it is settled.
    pub(crate) fn wait(&mut self, channel: ChannelNumber, patient: Patient, until: Instant) {
        match self.credits.get_mut(&channel) {
            Some(credit) if !credit.acknowledged => {
                credit.waiters.push(patient);
                self.patience.push_back((until, channel));
            }
            _ => patient.answer(Status::Completed),
        }
    }

    /// The receiver has a credit. `on_time` says whether its transfer may still have been answered as
    /// completed at once.
    pub(crate) fn acknowledge(
        &mut self,
        peer: ShardId,
        ack: Ack,
        on_time: impl Fn(&Credit) -> bool,
    ) -> Option<Acknowledged> {
        let channel = ChannelNumber { peer, number: ack.number };
        let credit = self.credits.get_mut(&channel).filter(|credit| !credit.acknowledged)?;
        credit.acknowledged = true;
        // A diverted credit comes back as a transfer of its own: what became of it is heard then.
        let status = if ack.diverted { Status::Pending } else { Status::Completed };
        for patient in std::mem::take(&mut credit.waiters) {
            patient.answer(status);
        }
        if on_time(&credit.credit) || ack.diverted {
            self.settle(channel);
            return Some(Acknowledged::Settled);
        }
        let credit = Arc::clone(&credit.credit);
        self.late.insert(credit.transfer, Late { channel, asked_at: Instant::now(), said: false });
        Some(Acknowledged::Late(credit))
    }

    /// The account of a late transfer has said that it came to its end.
    pub(crate) fn told(&mut self, transfer: TransferId) {
        if let Some(late) = self.late.remove(&transfer) {
            self.settle(late.channel);
        }
    }

    /// The account of a late transfer is about to say so. `false` if it has, or need not.
    pub(crate) fn say(&mut self, transfer: TransferId) -> bool {
        self.late.get_mut(&transfer).is_some_and(|late| !std::mem::replace(&mut late.said, true))
    }

    /// It could not.
    pub(crate) fn unsay(&mut self, transfer: TransferId) {
        if let Some(late) = self.late.get_mut(&transfer) {
            late.said = false;
        }
    }

    /// Late transfers whose accounts were asked longer ago than `after` and have not said so.
    pub(crate) fn unsaid(&mut self, now: Instant, after: Duration) -> Vec<Arc<Credit>> {
        let mut unsaid = Vec::new();
        for late in self.late.values_mut().filter(|late| !late.said && now.duration_since(late.asked_at) >= after) {
            late.asked_at = now;
            unsaid.extend(self.credits.get(&late.channel).map(|credit| Arc::clone(&credit.credit)));
        }
        unsaid
    }

    /// The shard has stopped: who waits is told that nobody knows.
    pub(crate) fn stop(&mut self) {
        self.patience.clear();
        for credit in self.credits.values_mut() {
            credit.waiters.clear();
        }
    }

    fn settle(&mut self, channel: ChannelNumber) {
        let Some(credit) = self.credits.remove(&channel) else { return };
        self.fresh.entry(channel.peer).or_default().push(channel.number);
        if let Some(peer) = self.peers.get_mut(&channel.peer) {
            peer.depth -= 1;
        }
        let account = credit.credit.payer.account;
        if let Some(count) = self.accounts.get_mut(&account) {
            *count -= 1;
            if *count == 0 {
                self.accounts.remove(&account);
            }
        }
    }

    /// What is settled and not journalled, one event a peer.
    pub(crate) fn notes(&mut self) -> Vec<ShardEvent> {
        let fresh = std::mem::take(&mut self.fresh);
        let note = |(peer, mut beyond): (ShardId, Vec<u64>)| {
            let first = self.to(peer).next().map(|(channel, _)| channel.number);
            let last = self.peers.get(&peer).map_or(0, |peer| peer.last);
            let through = first.map_or(last, |first| first - 1);
            beyond.retain(|number| *number > through);
            ShardEvent::Settled { peer, through, beyond }
        };
        fresh.into_iter().map(note).collect()
    }

    /// Whether anything is settled and not journalled.
    pub(crate) fn has_notes(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Whether nothing is on its way, nobody waits and nothing is to be noted.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.credits.is_empty() && self.fresh.is_empty() && self.patience.is_empty() && self.late.is_empty()
    }

    /// Answers the callers whose patience is over: their transfers are pending.
    pub(crate) fn lose_patience(&mut self, now: Instant) {
        while let Some((_, channel)) = self.patience.pop_front_if(|(until, _)| *until <= now) {
            let credit = self.credits.get_mut(&channel);
            for patient in credit.map(|credit| std::mem::take(&mut credit.waiters)).unwrap_or_default() {
                patient.answer(Status::Pending);
            }
        }
    }

    /// Credits that were sent longer ago than `after` and are not acknowledged, to be sent again.
    pub(crate) fn resend(&mut self, now: Instant, after: Duration) -> Vec<(ShardId, Numbered)> {
        let mut again: BTreeMap<ShardId, Numbered> = BTreeMap::new();
        for (channel, credit) in &mut self.credits {
            if !credit.acknowledged && now.duration_since(credit.sent_at) >= after {
                credit.sent_at = now;
                again.entry(channel.peer).or_default().push((channel.number, Arc::clone(&credit.credit)));
            }
        }
        again.into_iter().collect()
    }

    /// When to come back, if the channel to `peer` takes no new credits now.
    pub(crate) fn stalled(&self, peer: ShardId, most: usize, longest: Duration) -> Option<Duration> {
        let depth = self.peers.get(&peer).map(|peer| peer.depth).filter(|depth| *depth > 0)?;
        let (_, oldest) = self.to(peer).find(|(_, credit)| !credit.acknowledged)?;
        let stalled = depth >= most || oldest.since.elapsed() >= longest;
        stalled.then(|| Duration::from_secs(1))
    }

    /// Whether a transfer of the account is still on its way.
    pub(crate) fn has_unsettled(&self, account: AccountId) -> bool {
        self.accounts.contains_key(&account)
    }

    /// Whether this credit is not known to be with its receiver.
    pub(crate) fn is_on_its_way(&self, channel: ChannelNumber) -> bool {
        self.credits.get(&channel).is_some_and(|credit| !credit.acknowledged)
    }

    /// The transfers of an account that are on their way.
    pub(crate) fn transfers_of(&self, account: AccountId) -> Vec<TransferId> {
        if !self.accounts.contains_key(&account) {
            return Vec::new();
        }
        let credits = self.credits.values();
        credits
            .filter(|credit| credit.credit.payer.account == account && !credit.acknowledged)
            .map(|credit| credit.credit.transfer)
            .collect()
    }

    /// Credits without an acknowledgement, and the age of the oldest.
    pub(crate) fn depth(&self) -> (usize, Duration) {
        let waiting = || self.credits.values().filter(|credit| !credit.acknowledged);
        let oldest = waiting().map(|credit| credit.since.elapsed()).max().unwrap_or_default();
        (waiting().count(), oldest)
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::UserId;
    use domain::ledger::{By, Origin, Party, Purpose};
    use domain::money::{Currency, Minor};
    use domain::time::Timestamp;
    use uuid::Uuid;

    use super::*;

    const PEER: ShardId = ShardId(7);

    fn credit(number: u64) -> Credit {
        let party = |id| Party { user: UserId(Uuid::from_u128(id)), account: AccountId(Uuid::from_u128(id)) };
        Credit {
            transfer: TransferId(Uuid::from_u128(u128::from(number))),
            payer: party(1),
            payee: party(2),
            amount: Minor::new(5),
            currency: Currency::Inr,
            purpose: Purpose::Transfer,
            note: None,
            origin: Origin { operation: domain::ids::OperationId(Uuid::nil()), by: By::SYSTEM, trace: None },
            debited_at: Timestamp(number),
        }
    }

    fn begun(count: u64) -> Channels {
        let mut channels = Channels::default();
        for number in 1..=count {
            channels.begin(ChannelNumber { peer: PEER, number }, Arc::new(credit(number)), Instant::now());
        }
        channels
    }

    fn ack(number: u64) -> Ack {
        Ack { number, diverted: false }
    }

    #[tokio::test(start_paused = true)]
    async fn settled_numbers_are_noted_once() {
        let mut channels = begun(5);
        for number in [1, 2, 4] {
            channels.acknowledge(PEER, ack(number), |_| true);
        }
        assert_eq!(channels.notes(), [ShardEvent::Settled { peer: PEER, through: 2, beyond: vec![4] }]);
        assert_eq!(channels.notes(), []);
        channels.acknowledge(PEER, ack(3), |_| true);
        assert!(channels.acknowledge(PEER, ack(3), |_| true).is_none(), "a repeat changes nothing");
        assert_eq!(channels.notes(), [ShardEvent::Settled { peer: PEER, through: 4, beyond: vec![] }]);
        assert_eq!(channels.transfers_of(credit(1).payer.account), [credit(5).transfer]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_transfer_is_settled_when_its_account_has_said_so() {
        let mut channels = begun(1);
        assert!(matches!(channels.acknowledge(PEER, ack(1), |_| false), Some(Acknowledged::Late(_))));
        assert!(!channels.has_notes());
        assert!(channels.has_unsettled(credit(1).payer.account));
        channels.told(credit(1).transfer);
        assert_eq!(channels.notes(), [ShardEvent::Settled { peer: PEER, through: 1, beyond: vec![] }]);
        assert!(!channels.has_unsettled(credit(1).payer.account));
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_forgets_to_say_so_is_asked_again() {
        let mut channels = begun(1);
        let after = Duration::from_secs(1);
        channels.acknowledge(PEER, ack(1), |_| false);
        assert!(channels.unsaid(Instant::now(), after).is_empty());
        tokio::time::advance(after).await;
        assert_eq!(channels.unsaid(Instant::now(), after), [Arc::new(credit(1))]);
        assert!(channels.say(credit(1).transfer));
        assert!(!channels.say(credit(1).transfer), "once");
        tokio::time::advance(after).await;
        assert!(channels.unsaid(Instant::now(), after).is_empty(), "it is about to");
        channels.unsay(credit(1).transfer);
        assert_eq!(channels.unsaid(Instant::now(), after), [Arc::new(credit(1))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_channel_that_does_not_settle_takes_no_more() {
        let mut channels = begun(3);
        let longest = Duration::from_secs(5);
        assert_eq!(channels.stalled(PEER, 4, longest), None);
        assert!(channels.stalled(PEER, 3, longest).is_some(), "full");
        tokio::time::advance(longest).await;
        assert!(channels.stalled(PEER, 4, longest).is_some(), "old");
        for number in 1..=3 {
            channels.acknowledge(PEER, ack(number), |_| true);
        }
        assert_eq!(channels.stalled(PEER, 3, longest), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_acknowledged_is_sent_again() {
        let mut channels = begun(2);
        let after = Duration::from_secs(1);
        assert!(channels.resend(Instant::now(), after).is_empty());
        channels.acknowledge(PEER, ack(1), |_| true);
        tokio::time::advance(after).await;
        assert_eq!(channels.resend(Instant::now(), after), [(PEER, vec![(2, Arc::new(credit(2)))])]);
        assert!(channels.resend(Instant::now(), after).is_empty(), "not twice at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_hears_of_the_end_or_of_its_patience() {
        let mut channels = begun(2);
        let event = Arc::new(Event {
            account: credit(1).payer.account,
            offset: 1,
            meta: domain::ledger::Meta { at: Timestamp(1), origin: credit(1).origin },
            change: domain::ledger::Change::Opened { owner: credit(1).payer.user, currency: Currency::Inr },
        });
        let wait = |channels: &mut Channels, number| {
            let (reply, answer) = Reply::new(None);
            let patient = Patient { reply, event: Arc::clone(&event), account: None, replayed: false };
            let until = Instant::now() + Duration::from_secs(2);
            channels.wait(ChannelNumber { peer: PEER, number }, patient, until);
            answer
        };
        let settled = wait(&mut channels, 1);
        let patient = wait(&mut channels, 2);
        channels.acknowledge(PEER, ack(1), |_| true);
        tokio::time::advance(Duration::from_secs(2)).await;
        channels.lose_patience(Instant::now());
        assert_eq!(settled.await.unwrap().unwrap().status, Status::Completed);
        assert_eq!(patient.await.unwrap().unwrap().status, Status::Pending);
        let after = wait(&mut channels, 1);
        assert_eq!(after.await.unwrap().unwrap().status, Status::Completed);
    }
}
