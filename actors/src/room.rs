//! `Room`: the only one who orders one room's messages.
//!
//! Commands come as mail, each with what was read for it from the views. It joins that with what the
//! views do not have yet, decides by the pure rules of [`domain::room`], applies what it decided to its
//! state, pushes it into the shard's queue and goes on; nobody is told before that is durable. Reads do
//! not come here: they are answered from the shard's durable state.
//!
//! Bounds: commands come with permits, so its mailbox is bounded by what may be in flight. When it dies,
//! its shard closes its activation and the next one starts from the checkpoint, the durable tail and
//! what is queued; nothing it decided is lost.

use std::sync::Arc;

use domain::room::{self, Original, Past, RoomAnswer, RoomCommand, RoomFacts};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::encoding::RoomItem;

use crate::room_shard::core::{AsOf, Closed, Push, RoomShared, Subject, Waiter};
use crate::room_shard::directory::Activation;
use crate::rooms::call::{RoomCallError, RoomReply, Stale};
use crate::rooms::metrics;

/// What was read from the views for a command.
#[derive(Debug, Default)]
pub struct Looked {
    /// What its key did.
    pub(crate) past: Option<Past>,
    /// The message that it is about.
    pub(crate) original: Option<Original>,
    /// What views had when the reading began; `None` if the command wants nothing of them.
    pub(crate) as_of: Option<AsOf>,
}

/// Mail of a room.
#[derive(Debug)]
pub enum RoomMessage {
    /// Decide a command.
    Command {
        /// What is asked.
        command: Box<RoomCommand>,
        /// What was read for it.
        looked: Looked,
        /// Where the answer goes.
        reply: RoomReply,
    },
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// The actor of one room.
pub(crate) struct Room;

/// What it is made with, and has.
pub(crate) struct RoomArgs {
    /// The shard that it is on.
    pub shared: Arc<RoomShared>,
    /// Its life.
    pub activation: Arc<Activation>,
    /// The room after all that was decided.
    pub state: Arc<room::Room>,
}

impl Actor for Room {
    type Msg = RoomMessage;
    type State = RoomArgs;
    type Arguments = RoomArgs;

    async fn pre_start(&self, _: ActorRef<RoomMessage>, args: RoomArgs) -> Result<RoomArgs, ActorProcessingErr> {
        Ok(args)
    }

    async fn handle(
        &self,
        _: ActorRef<RoomMessage>,
        message: RoomMessage,
        room: &mut RoomArgs,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RoomMessage::Command { command, looked, reply } => {
                room.command(&command, &looked, reply).map_err(|closed| closed.to_string().into())
            }
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            RoomMessage::Panic => panic!("a fault was put in"),
        }
    }
}

impl RoomArgs {
    fn command(&mut self, command: &RoomCommand, looked: &Looked, reply: RoomReply) -> Result<(), Closed> {
        let Ok(facts) = self.facts(command, looked) else {
            reply.stale();
            return Ok(());
        };
        let decided = room::decide(&self.state, &facts, command, self.shared.now());
        metrics::decided(&command.request, &decided.answer);
        let subject = match decided.answer {
            Ok(RoomAnswer::Done) => Subject::Last,
            Ok(RoomAnswer::Unchanged) => Subject::Unchanged,
            Ok(RoomAnswer::Replayed { offset }) => Subject::Replayed(offset),
            Err(refused) => {
                // On the decided state: what made it so may not be durable, but a refusal that is too
                // cautious loses nothing and tells nothing that did not happen.
                reply.send(Err(RoomCallError::Refused(refused)));
                return Ok(());
            }
        };
        let state = if decided.events.is_empty() { Arc::clone(&self.state) } else { Arc::new(decided.room) };
        let items = decided.events.into_iter().map(|event| RoomItem::Event(Arc::new(event))).collect();
        // An answer that nothing happened waits as well: what made it so must be durable first.
        let waiter = Some(Waiter { reply, subject });
        self.shared.push(&self.activation, Push { items, room: Some(Arc::clone(&state)), waiter })?;
        self.state = state;
        Ok(())
    }

    /// Joins what was read with what is queued and in the tail.
    fn facts(&self, command: &RoomCommand, looked: &Looked) -> Result<RoomFacts, Stale> {
        let mut facts = RoomFacts { past: looked.past, original: looked.original };
        let Some(as_of) = looked.as_of.as_ref().map(|as_of| as_of.slot) else { return Ok(facts) };
        if let Some(key) = command.request.key() {
            facts.past = self.shared.join_key(as_of, key)?.or(facts.past);
        }
        if let Some(of) = command.request.original() {
            let recent = self.shared.join_message(as_of, self.state.id, of)?;
            facts.original = recent.original.or(facts.original);
            if let Some(original) = &mut facts.original {
                original.deleted |= recent.deleted;
            }
        }
        Ok(facts)
    }
}
