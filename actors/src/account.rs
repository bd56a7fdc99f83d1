//! `Account`: the only one who changes one account.
//!
//! Its shard talks to it, nobody else: commands, credits, timers and reads come as mail. It decides by
//! the pure rules of [`domain::ledger`], applies what it decided to its own *decided* state, pushes it
//! into the shard's queue and goes on; nobody is told before that is durable. What is read is its
//! *durable* state.
//!
//! Bounds: commands come with permits, credits with numbers of bounded channels, so its mailbox is
//! bounded by what may be in flight. When it dies, its shard closes its activation and the next one
//! starts from the checkpoint, the durable tail and what is queued; nothing it decided is lost.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::ids::TransferId;
use domain::ledger::{
    self, Account as Ledger, Answer, ChannelNumber, Command, Credit, CreditDecided, DivertReason, Origin, Purpose,
    Return, ShardEvent,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::encoding::Item;
use tokio::sync::oneshot;

use crate::account::facts::{Looked, Wanted};
use crate::account::parking::Parking;
use crate::call::{CommandError, Reply};
use crate::metrics;
use crate::shard::core::{Push, Shared, Start, Subject, Waiter, shard_of};
use crate::shard::directory::Activation;

pub mod facts;
mod parking;

/// Mail of an account.
#[derive(Debug)]
pub enum AccountMessage {
    /// Decide a command.
    Command {
        /// What is asked.
        command: Box<Command>,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Take a credit, once and for all.
    Credit {
        /// Its number.
        channel: ChannelNumber,
        /// What it is.
        credit: Arc<Credit>,
    },
    /// Go on with a command whose facts were read.
    Facts {
        /// Which was parked.
        ticket: u64,
        /// What was read.
        looked: Box<Looked>,
    },
    /// Say that a transfer answered as pending has come to its end.
    Late {
        /// What it sent.
        credit: Arc<Credit>,
        /// Told when that is durable.
        reply: Reply,
    },
    /// Answer the durable state.
    Read {
        /// Where it goes.
        reply: oneshot::Sender<Arc<Ledger>>,
    },
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// The actor of one account.
pub(crate) struct Account;

/// What an account's actor is made with.
pub(crate) struct AccountArgs {
    /// The shard that it is on.
    pub shared: Arc<Shared>,
    /// Its life.
    pub activation: Arc<Activation>,
    /// What it starts from.
    pub start: Start,
}

/// What an account's actor has.
pub(crate) struct AccountState {
    shared: Arc<Shared>,
    activation: Arc<Activation>,
    /// After all it decided.
    decided: Arc<Ledger>,
    /// After all that is durable.
    durable: Arc<Ledger>,
    /// After each push between the two.
    pending: VecDeque<(u64, Arc<Ledger>)>,
    parking: Parking,
}

impl Actor for Account {
    type Msg = AccountMessage;
    type State = AccountState;
    type Arguments = AccountArgs;

    async fn pre_start(
        &self,
        _: ActorRef<AccountMessage>,
        args: AccountArgs,
    ) -> Result<AccountState, ActorProcessingErr> {
        let Start { durable, pending } = args.start;
        let decided = pending.back().map_or_else(|| Arc::clone(&durable), |(_, last)| Arc::clone(last));
        let parking = Parking::default();
        Ok(AccountState { shared: args.shared, activation: args.activation, decided, durable, pending, parking })
    }

    async fn handle(
        &self,
        me: ActorRef<AccountMessage>,
        message: AccountMessage,
        state: &mut AccountState,
    ) -> Result<(), ActorProcessingErr> {
        state.advance();
        match message {
            AccountMessage::Command { command, reply } => state.command(&me, command, reply),
            AccountMessage::Credit { channel, credit } => state.credit(channel, &credit),
            AccountMessage::Facts { ticket, looked } => state.facts(&me, ticket, *looked),
            AccountMessage::Late { credit, reply } => state.late(credit.transfer, &credit.origin, reply),
            AccountMessage::Read { reply } => {
                // A reader that has gone away needs no answer.
                reply.send(Arc::clone(&state.durable)).ok();
                Ok(())
            }
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            AccountMessage::Panic => panic!("a fault was put in"),
        }
        .map_err(|closed| closed.to_string().into())
    }
}

/// The activation ended under the actor: it stops, and its successor does the work.
type Handled = Result<(), crate::shard::core::Closed>;

impl AccountState {
    /// Moves the durable state up to what is durable by now.
    fn advance(&mut self) {
        let through = self.shared.durable_through();
        while let Some((_, account)) = self.pending.pop_front_if(|(seq, _)| *seq <= through) {
            self.durable = account;
        }
    }

    fn command(&mut self, me: &ActorRef<AccountMessage>, command: Box<Command>, reply: Reply) -> Handled {
        let wanted = Wanted::by(&command.request, &self.decided);
        if self.parking.has(&wanted) {
            self.parking.wait(wanted, command, reply);
            return Ok(());
        }
        self.look(me, wanted, command, reply)
    }

    /// Reads the facts that the command wants. Answers at once if the store does; else parks it.
    fn look(&mut self, me: &ActorRef<AccountMessage>, wanted: Wanted, command: Box<Command>, reply: Reply) -> Handled {
        if wanted.is_nothing() {
            return self.decide(&ledger::Facts::default(), None, &command, reply);
        }
        match facts::look(&self.shared, self.decided.id, &wanted) {
            facts::Looking::Ready(looked) => self.join(me, wanted, looked, command, reply),
            facts::Looking::Later(looking) => {
                self.activation.engage();
                let ticket = self.parking.park(wanted, command, reply);
                let me = me.clone();
                tokio::spawn(async move {
                    let looked = Box::new(looking.await);
                    // A life that has ended needs no facts; its callers are told that nobody knows.
                    me.cast(AccountMessage::Facts { ticket, looked }).ok();
                });
                Ok(())
            }
        }
    }

    fn facts(&mut self, me: &ActorRef<AccountMessage>, ticket: u64, looked: Looked) -> Handled {
        let Some((wanted, command, reply)) = self.parking.take(ticket) else { return Ok(()) };
        self.activation.disengage();
        self.join(me, wanted, looked, command, reply)?;
        while let Some((wanted, command, reply)) = self.parking.next() {
            self.look(me, wanted, command, reply)?;
        }
        Ok(())
    }

    /// Joins what was read with what is queued and in the tail, and decides. Facts that are older than
    /// the tail's start are read again.
    fn join(
        &mut self,
        me: &ActorRef<AccountMessage>,
        wanted: Wanted,
        looked: Looked,
        command: Box<Command>,
        reply: Reply,
    ) -> Handled {
        let wanted_now = Wanted::by(&command.request, &self.decided);
        if wanted_now != wanted {
            // While it waited, another command resolved the hold that it is about.
            return self.look(me, wanted_now, command, reply);
        }
        let Ok(found) = looked else {
            reply.send(Err(CommandError::Busy { retry_after: std::time::Duration::from_secs(1) }));
            return Ok(());
        };
        match found.join(&self.shared, self.decided.id, &wanted) {
            None => self.look(me, wanted, command, reply),
            Some(mut joined) => {
                // What is queued may be on its way as well: closing waits until nothing is.
                joined.facts.unsettled = wanted.is_closing()
                    && (!self.pending.is_empty() || self.shared.channels.lock().has_unsettled(self.decided.id));
                self.decide(&joined.facts, joined.event, &command, reply)
            }
        }
    }

    fn decide(
        &mut self,
        facts: &ledger::Facts,
        past: Option<facts::PastEvent>,
        command: &Command,
        reply: Reply,
    ) -> Handled {
        let now = self.shared.now();
        let node = Arc::clone(&self.shared.node);
        let decided = ledger::decide(&self.decided, facts, command, now, |payee| shard_of(&node, payee));
        if let Some(retry_after) = self.stalled(&decided.events) {
            reply.send(Err(CommandError::PayeeUnavailable { retry_after }));
            return Ok(());
        }
        metrics::decided(&command.request, &decided.answer);
        let waiter = match decided.answer {
            Ok(Answer::Done) => Some(Waiter { reply, subject: Subject::Last }),
            Ok(Answer::Unchanged) => Some(Waiter { reply, subject: Subject::Unchanged }),
            Ok(Answer::Replayed(_)) => match past {
                Some(past) => {
                    Some(Waiter { reply, subject: Subject::Replayed { event: past.event, returned: past.returned } })
                }
                None => return Err(crate::shard::core::Closed),
            },
            Err(refusal) => {
                // Refused on the decided state: what made it so may not be durable, but a refusal that
                // is too cautious loses nothing and tells nothing that did not happen.
                reply.send(Err(CommandError::Refused(refusal)));
                None
            }
        };
        if decided.events.is_empty() && waiter.is_none() {
            return Ok(());
        }
        self.push(
            decided.events.into_iter().map(|event| Item::Event(Arc::new(event))).collect(),
            decided.account,
            waiter,
            None,
        )
    }

    /// When to come back, if a credit of these events would go where none is taken now. Asked before the
    /// debit is queued: after it, the credit cannot be refused.
    fn stalled(&self, events: &[ledger::Event]) -> Option<std::time::Duration> {
        events.iter().find_map(|event| match &event.change {
            ledger::Change::Debited { channel, .. } => self.shared.stalled(channel.peer),
            _ => None,
        })
    }

    fn credit(&mut self, channel: ChannelNumber, credit: &Credit) -> Handled {
        self.activation.disengage();
        let now = self.shared.now();
        match ledger::credit(&self.decided, credit, channel, now) {
            CreditDecided::Taken { events, account } => {
                let items = events.into_iter().map(|event| Item::Event(Arc::new(event))).collect();
                self.push(items, account, None, Some(channel))
            }
            CreditDecided::Diverted(reason) => {
                if rests(credit, reason) && self.shared.suspense_is_full() {
                    // Its sender keeps it and sends it again, when there is room.
                    self.shared.unhand(channel);
                    return Ok(());
                }
                let event = diverted(&self.shared, credit, channel, reason, now.at);
                let push = Push {
                    items: vec![Item::Shard(Arc::new(event))],
                    account: None,
                    waiter: None,
                    credit: Some(channel),
                };
                self.shared.push(&self.activation, push).map(drop)
            }
        }
    }

    fn late(&mut self, transfer: TransferId, origin: &Origin, reply: Reply) -> Handled {
        // Asked twice it says so once.
        if !self.shared.channels.lock().say(transfer) {
            return Ok(());
        }
        match ledger::late(&self.decided, transfer, origin, self.shared.now()) {
            Some((events, account)) => {
                let items = events.into_iter().map(|event| Item::Event(Arc::new(event))).collect();
                let pushed = self.push(items, account, Some(Waiter { reply, subject: Subject::Last }), None);
                pushed.inspect_err(|_| self.shared.channels.lock().unsay(transfer))
            }
            None => Ok(()),
        }
    }

    /// Queues what was decided; only then is it this account's state.
    fn push(
        &mut self,
        items: Vec<Item>,
        account: Ledger,
        waiter: Option<Waiter>,
        credit: Option<ChannelNumber>,
    ) -> Handled {
        let account = if items.is_empty() { Arc::clone(&self.decided) } else { Arc::new(account) };
        let push = Push { items, account: Some(Arc::clone(&account)), waiter, credit };
        let seq = self.shared.push(&self.activation, push)?;
        self.decided = Arc::clone(&account);
        self.pending.push_back((seq, account));
        Ok(())
    }
}

/// The event that books a credit to suspense, and takes it back where that is possible: a return does
/// not return, and a quarantine is for an operator to look at.
pub(crate) fn diverted(
    shared: &Shared,
    credit: &Credit,
    channel: ChannelNumber,
    reason: DivertReason,
    at: domain::time::Timestamp,
) -> ShardEvent {
    let returned = (!rests(credit, reason)).then(|| return_to(shared, credit));
    ShardEvent::Diverted { credit: credit.clone(), channel, reason, at, returned }
}

/// Whether a credit that cannot be taken rests in suspense.
fn rests(credit: &Credit, reason: DivertReason) -> bool {
    matches!(credit.purpose, Purpose::Return { .. }) || reason == DivertReason::Quarantined
}

/// The transfer that takes a credit back. Its number is given as it is queued.
pub(crate) fn return_to(shared: &Shared, credit: &Credit) -> Return {
    let key = format!("return of {}", credit.transfer);
    Return {
        transfer: TransferId(domain::ids::derived(credit.payee.account, uuid::Uuid::nil(), &key)),
        channel: ChannelNumber { peer: shard_of(&shared.node, credit.payer), number: 0 },
    }
}
