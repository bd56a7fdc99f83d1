//! What every channel gave and booked: to the last credit, in 32 bytes a channel.
//!
//! Each side adds up a hash of every credit with its number. Sums do not depend on the order; what was given less what
//! is in transit must be what was booked, credit by credit.

use std::collections::HashMap;

use domain::ids::{AccountId, ShardId, TransferId};
use domain::ledger::{Credit, Shard};
use domain::money::{Currency, Minor};

use crate::command::verify::Finding;

/// From whom and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Channel {
    pub(crate) from: ShardId,
    pub(crate) to: ShardId,
}

/// What both ends of a channel must say the same of one credit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) number: u64,
    pub(crate) transfer: TransferId,
    pub(crate) payer: AccountId,
    pub(crate) payee: AccountId,
    pub(crate) amount: Minor,
    pub(crate) currency: Currency,
}

impl Said {
    pub(crate) fn of(number: u64, credit: &Credit) -> Self {
        Self {
            number,
            transfer: credit.transfer,
            payer: credit.payer.account,
            payee: credit.payee.account,
            amount: credit.amount,
            currency: credit.currency,
        }
    }

    fn hash(&self) -> u128 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.number.to_le_bytes());
        hasher.update(self.transfer.0.as_bytes());
        hasher.update(self.payer.0.as_bytes());
        hasher.update(self.payee.0.as_bytes());
        hasher.update(&self.amount.get().to_le_bytes());
        hasher.update(self.currency.code().as_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(hasher.finalize().as_bytes().split_at(16).0);
        u128::from_le_bytes(short)
    }
}

/// Sums of hashes: of what was given and of what was booked.
#[derive(Debug, Default)]
pub(crate) struct Channels(HashMap<Channel, (u128, u128)>);

impl Channels {
    pub(crate) fn gave(&mut self, channel: Channel, said: Said) {
        let (given, _) = self.0.entry(channel).or_default();
        *given = given.wrapping_add(said.hash());
    }

    pub(crate) fn booked(&mut self, channel: Channel, said: Said) {
        let (_, booked) = self.0.entry(channel).or_default();
        *booked = booked.wrapping_add(said.hash());
    }

    /// Compares both ends of one channel. Answers the money in transit.
    pub(crate) fn check(
        &self,
        channel: Channel,
        sender: &Shard,
        receiver: &Shard,
    ) -> Result<HashMap<Currency, i128>, Finding> {
        let place = || format!("the channel from shard {} to shard {}", channel.from, channel.to);
        let outgoing = sender.outgoing.get(&channel.to).cloned().unwrap_or_default();
        let incoming = receiver.incoming.get(&channel.from).cloned().unwrap_or_default();
        let last_booked = incoming.beyond.last().copied().unwrap_or(incoming.through);
        if last_booked > outgoing.last {
            let what = format!("number {last_booked} is booked, and the last one given is {}", outgoing.last);
            return Err(Finding::broken(place(), what));
        }
        let in_transit: Vec<_> = outgoing.unsettled.iter().filter(|(number, _)| !incoming.has(**number)).collect();
        let booked = incoming.through.saturating_add(incoming.beyond.len() as u64);
        if booked.saturating_add(in_transit.len() as u64) != outgoing.last {
            let what = format!(
                "{} numbers were given, {booked} are booked and {} in transit: some settled without being booked",
                outgoing.last,
                in_transit.len()
            );
            return Err(Finding::broken(place(), what));
        }
        let (given, booked) = self.0.get(&channel).copied().unwrap_or_default();
        let mut money = HashMap::new();
        let mut expected = given;
        for (number, credit) in in_transit {
            expected = expected.wrapping_sub(Said::of(*number, credit).hash());
            *money.entry(credit.currency).or_default() += i128::from(credit.amount.get());
        }
        if expected != booked {
            return Err(Finding::broken(place(), "a credit was booked that is not the one that was given"));
        }
        Self::check_money(&place(), channel, sender, receiver, &money)?;
        Ok(money)
    }

    /// That the transit accounts of both ends differ by what is in transit.
    fn check_money(
        place: &str,
        channel: Channel,
        sender: &Shard,
        receiver: &Shard,
        money: &HashMap<Currency, i128>,
    ) -> Result<(), Finding> {
        for currency in Currency::ALL {
            let sent = sender.system.get(&currency).and_then(|system| system.sent.get(&channel.to)).copied();
            let received =
                receiver.system.get(&currency).and_then(|system| system.received.get(&channel.from)).copied();
            let (sent, received) = (sent.unwrap_or_default(), received.unwrap_or_default());
            let in_transit = money.get(&currency).copied().unwrap_or_default();
            if sent.checked_sub(received) != Some(in_transit) {
                let code = currency.code();
                let what = format!("{sent} {code} were sent, {received} received and {in_transit} are in transit");
                return Err(Finding::broken(place, what));
            }
        }
        Ok(())
    }
}
