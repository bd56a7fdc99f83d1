//! The ledger and its model side by side: both are told what happens, and their answers compared.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::ids::{HoldId, ShardId, TransferId, UserId, derived};
use domain::ledger::{Fingerprint, Limits, Purpose, Request, ShardEvent};
use domain::money::Minor;
use uuid::Uuid;

use super::action::Action;
use super::ledger::{ACCOUNTS, Flight, Ledger, index_of, party, shard_of, shards, user};
use super::purses::{Ask, Came, Purses};

/// The ledger and its model, side by side.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) purses: Purses,
    /// The names of the answers given so far.
    pub(crate) met: BTreeSet<String>,
    asked: Vec<(usize, UserId, Request, Ask)>,
}

/// One of those, if there is one.
fn among<T: Clone>(those: &[T], pick: usize) -> Option<T> {
    those.get(pick.checked_rem(those.len())?).cloned()
}

/// What is asked, as the edge would hash it: everything but the id that is derived from the key.
fn fingerprint(ask: Ask, key: Option<u8>) -> Option<Fingerprint> {
    let hash = blake3::hash(format!("{ask:?}").as_bytes());
    key.map(|_| Fingerprint(hash.as_bytes()[..16].try_into().unwrap()))
}

impl World {
    pub(crate) fn take(&mut self, action: &Action) {
        match *action {
            Action::Deposit { who, amount, key } => {
                let ask = Ask::Deposit { amount };
                let (transfer, fingerprint) = (self.transfer(who, who, key), fingerprint(ask, key));
                self.ask(
                    who,
                    who,
                    Request::Deposit { transfer, amount: Minor::new(amount), fingerprint, note: None },
                    ask,
                );
            }
            Action::Withdraw { who, amount, key } => {
                let ask = Ask::Withdraw { amount };
                let (transfer, fingerprint) = (self.transfer(who, who, key), fingerprint(ask, key));
                self.ask(
                    who,
                    who,
                    Request::Withdraw { transfer, amount: Minor::new(amount), fingerprint, note: None },
                    ask,
                );
            }
            Action::Pay { who, to, amount, key } => {
                let to = same_currency(who, to);
                let ask = Ask::Pay { to, amount };
                let (transfer, fingerprint) = (self.transfer(who, who, key), fingerprint(ask, key));
                let (payee, amount) = (party(to), Minor::new(amount));
                self.ask(who, who, Request::Transfer { transfer, payee, amount, fingerprint, note: None }, ask);
            }
            Action::Hold { who, to, amount, seconds, key } => {
                let to = same_currency(who, to);
                let hold = HoldId(self.transfer(who, who, key).0);
                // The id is the key's, so that it is no part of what is asked.
                let fingerprint = fingerprint(Ask::Hold { hold: HoldId(Uuid::nil()), to, amount, seconds }, key);
                let ask = Ask::Hold { hold, to, amount, seconds };
                let (payee, amount, lasts) = (party(to), Minor::new(amount), Duration::from_secs(seconds));
                self.ask(who, who, Request::Hold { hold, payee, amount, lasts, fingerprint, note: None }, ask);
            }
            Action::Capture { pick, by, amount, key } => {
                let Some((who, hold, payee)) = self.a_hold(pick) else { return };
                let by = by.unwrap_or(payee);
                let ask = Ask::Capture { hold, by, amount };
                let (transfer, fingerprint) = (self.transfer(who, by, key), fingerprint(ask, key));
                let amount = amount.map(Minor::new);
                self.ask(who, by, Request::Capture { transfer, hold, by: user(by), amount, fingerprint }, ask);
            }
            Action::Release { pick, by } => {
                let Some((who, hold, payee)) = self.a_hold(pick) else { return };
                let by = by.unwrap_or(if pick % 2 == 0 { payee } else { who });
                self.ask(who, by, Request::Release { hold, by: user(by) }, Ask::Release { hold, by });
            }
            Action::Refund { pick, amount, key } => {
                let Some((who, of)) = self.a_payment(pick) else { return };
                let ask = Ask::Refund { of, amount };
                let (transfer, fingerprint) = (self.transfer(who, who, key), fingerprint(ask, key));
                let amount = amount.map(Minor::new);
                self.ask(who, who, Request::Refund { transfer, of, amount, fingerprint }, ask);
            }
            Action::Freeze { who, out, into } => {
                let request = Request::Freeze { debit: out, credit: into, reason: None };
                self.ask(who, who, request, Ask::Freeze { out, into });
            }
            Action::Limits { who, per_transaction, per_day } => {
                let limits =
                    Limits { per_transaction: per_transaction.map(Minor::new), per_day: per_day.map(Minor::new) };
                self.ask(who, who, Request::SetLimits { limits }, Ask::Limits { per_transaction, per_day });
            }
            Action::Leave { who } => {
                let purse = self.purses.of(who).clone();
                let amount = purse.posted - purse.held();
                self.take(&Action::Withdraw { who, amount, key: None });
                self.take(&Action::Close { who });
            }
            Action::Close { who } => {
                let account = party(who).account;
                let shard = self.ledger.shard(shard_of(account));
                let mut unsettled = shard.outgoing.values().flat_map(|channel| channel.unsettled.values());
                let unsettled = unsettled.any(|credit| credit.payer.account == account);
                self.ask(who, who, Request::Close, Ask::Close { unsettled });
            }
            Action::Expire { who } => self.ask(who, who, Request::Expire, Ask::Expire),
            Action::Again { pick } => {
                let Some((who, by, request, ask)) = among(&self.asked, pick) else { return };
                if request.fingerprint().is_some() {
                    self.ask(who, index_of_user(by), request, ask);
                }
            }
            Action::Wait { seconds } => self.ledger.wait(Duration::from_secs(seconds)),
            Action::Deliver { pick } => {
                if let Some((flight, _)) = among(&self.ledger.in_flight(), pick) {
                    self.deliver(flight);
                }
            }
            Action::Repeat { pick } => self.repeat(pick),
            Action::Settle { from, to } => self.ledger.settle(ShardId(from), ShardId(to)),
            Action::Resolve { pick, release } => {
                let resting = |id| self.ledger.shard(id).suspense.into_keys().map(move |transfer| (id, transfer));
                let all: Vec<_> = shards().shards().flat_map(resting).collect();
                if let Some((home, transfer)) = among(&all, pick) {
                    self.ledger.resolve(home, transfer, release);
                    self.met.insert("released".to_owned());
                }
            }
            Action::Quarantine { who, on } => {
                self.purses.of(who).quarantined = on;
                self.ledger.quarantine(who, on);
            }
            Action::Term { of } => self.ledger.begin_term(ShardId(of)),
        }
    }

    /// Delivers until nothing is in flight. Ends: what is returned once does not return again.
    pub(crate) fn deliver_all(&mut self) {
        while let Some((flight, _)) = self.ledger.in_flight().first().cloned() {
            self.deliver(flight);
        }
    }

    fn ask(&mut self, who: usize, by: usize, request: Request, ask: Ask) {
        // A quarantined account is asked nothing.
        if self.purses.of(who).quarantined {
            return;
        }
        let (answer, now) = self.ledger.ask(who, user(by), &request);
        let id = match &request {
            Request::Hold { hold, .. } => Some(hold.0),
            other => other.transfer().map(|transfer| transfer.0),
        };
        let expected = self.purses.ask(who, id.map(|id| (id, request.fingerprint())), ask, now);
        match (answer, expected) {
            (Ok(answer), Ok(expected)) => {
                assert!(expected.is(answer), "{request:?}: {answer:?}, but the model says {expected:?}");
                self.met.insert(format!("{expected:?}"));
            }
            (answer, expected) => {
                assert_eq!(answer.err(), expected.err(), "{request:?}");
                self.met.extend(answer.err().map(|refusal| format!("{refusal:?}")));
            }
        }
        self.asked.push((who, user(by), request, ask));
    }

    fn deliver(&mut self, flight: Flight) {
        let credit = self.ledger.given[&flight].clone();
        let payee = index_of(credit.payee.account);
        let before = self.ledger.shard(flight.1).incoming.get(&flight.0).map_or(0, |end| end.through);
        if flight.2 != before + 1 {
            self.met.insert("out of order".to_owned());
        }
        let refundable = matches!(credit.purpose, Purpose::Transfer | Purpose::Capture { .. });
        if let Purpose::Return { of, .. } = credit.purpose {
            let sent = self.ledger.given.values().find(|sent| sent.transfer == of).unwrap();
            assert_eq!((credit.payee, credit.amount), (sent.payer, sent.amount), "what returns goes to who paid");
        }
        let came = Came { amount: credit.amount.get(), back: 0, refundable };
        let taken = self.ledger.deliver(flight, &credit);
        assert_eq!(taken, self.purses.credit(payee, credit.transfer, came), "{credit:?}");
        match taken {
            Ok(()) => self.met.insert("taken".to_owned()),
            Err(reason) => self.met.insert(format!("{reason:?}")),
        };
        if let (Ok(()), Purpose::Return { of, .. }) = (taken, credit.purpose) {
            self.purses.came_back(of);
            self.met.insert("returned".to_owned());
        }
    }

    /// A number that is booked is known for ever, and no event books it again.
    fn repeat(&mut self, pick: usize) {
        let waiting: BTreeSet<Flight> = self.ledger.in_flight().into_iter().map(|(flight, _)| flight).collect();
        let booked: Vec<Flight> =
            self.ledger.given.keys().filter(|flight| !waiting.contains(flight)).copied().collect();
        let Some((from, to, number)) = among(&booked, pick) else { return };
        let credit = self.ledger.given[&(from, to, number)].clone();
        let mut shard = self.ledger.shard(to);
        let channel = domain::ledger::ChannelNumber { peer: from, number };
        assert!(shard.incoming[&from].has(number));
        let reason = domain::ledger::DivertReason::Full;
        let again = ShardEvent::Diverted { credit, channel, reason, at: self.ledger.now().at, returned: None };
        assert!(shard.apply_own(&again).is_err(), "{again:?}");
        self.met.insert("repeated".to_owned());
    }

    fn transfer(&mut self, who: usize, by: usize, key: Option<u8>) -> TransferId {
        let account = party(who).account;
        match key {
            Some(key) => TransferId(derived(account, user(by).0, &key.to_string())),
            None => TransferId(self.ledger.random_id(account)),
        }
    }

    /// A hold that is open, or gone, or never was: whose, which, for whom.
    fn a_hold(&self, pick: usize) -> Option<(usize, HoldId, usize)> {
        let mut all = vec![(0, HoldId(Uuid::max()), 1)];
        for (who, purse) in &self.purses.all {
            // The open ones three times: most of what is asked should be possible.
            let open = purse.holds.iter().map(|(id, held)| (*who, *id, held.payee));
            all.extend(open.clone().chain(open.clone()).chain(open));
            all.extend(purse.gone().map(|(id, payee)| (*who, id, payee)));
        }
        among(&all, pick)
    }

    /// A transfer that came in, or none.
    fn a_payment(&self, pick: usize) -> Option<(usize, TransferId)> {
        let came =
            |(who, purse): (&usize, &super::purses::Purse)| purse.came.keys().map(|of| (*who, *of)).collect::<Vec<_>>();
        let mut all: Vec<_> = self.purses.all.iter().flat_map(came).collect();
        all.push((0, TransferId(Uuid::max())));
        among(&all, pick)
    }
}

/// Money is never exchanged: the edge finds the payee's account in the payer's currency.
fn same_currency(who: usize, to: usize) -> usize {
    if who < 4 { to % 4 } else { 4 + to % 2 }
}

fn index_of_user(id: UserId) -> usize {
    (0..ACCOUNTS).find(|index| user(*index) == id).unwrap()
}
