//! How a room comes to life, and what happens when it ends.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::RoomId;
use domain::room::{self, BrokenRoom, RoomShardEvent};
use futures_util::FutureExt;
use ractor::{Actor, ActorId, ActorRef};
use storage::Error;
use storage::encoding::RoomItem;
use storage::journal::Slot;

use crate::dead_letters::Failure;
use crate::room::{Room, RoomArgs, RoomMessage};
use crate::room_shard::core::{AsOf, Push};
use crate::room_shard::loading::Loaded;
use crate::room_shard::{Open, RoomShardMessage};
use crate::rooms::call::RoomCallError;
use crate::rooms::metrics;

/// Activations in a row that may fail before a room is quarantined.
const FAILURES_MAX: u32 = 3;

/// When a caller whose room could not be read should come back.
const RETRY_LATER: Duration = Duration::from_secs(1);

impl Open {
    /// A room has mail and no actor.
    pub(super) async fn activate(&mut self, me: &ActorRef<RoomShardMessage>, room: RoomId) {
        if self.fold.quarantined.contains(&room) {
            let mail = self.shared.directory(|directory| directory.abandon(room));
            refuse(mail, RoomCallError::Unavailable);
            return;
        }
        if let Some(state) = self.shared.decided(None, room, Slot::default()) {
            self.start(me, room, state).await;
            return;
        }
        self.load(me, room).await;
    }

    /// Reads the room. Polls the store once: an embedded one answers at that.
    async fn load(&mut self, me: &ActorRef<RoomShardMessage>, room: RoomId) {
        let as_of = self.shared.as_of();
        let views = Arc::clone(&self.shared.hall.stores.views);
        let mut loading = Box::pin(async move { Loaded::read(&*views, room).await.map_err(Arc::new) });
        if let Some(loaded) = (&mut loading).now_or_never() {
            Box::pin(self.loaded(me, room, loaded, as_of)).await;
            return;
        }
        let me = me.clone();
        tokio::spawn(async move {
            let loaded = loading.await.map(Box::new);
            // A shard that has gone meanwhile has no use for it.
            me.cast(RoomShardMessage::Loaded { room, loaded, as_of }).ok();
        });
    }

    /// The room was read. What happened since is in the tail and in the queue.
    pub(super) async fn loaded(
        &mut self,
        me: &ActorRef<RoomShardMessage>,
        room: RoomId,
        loaded: Result<Loaded, Arc<Error>>,
        as_of: AsOf,
    ) {
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) if matches!(&*error, Error::Unavailable(_) | Error::Io { .. }) => {
                // No failure of the room.
                let mail = self.shared.directory(|directory| directory.abandon(room));
                refuse(mail, RoomCallError::Busy { retry_after: RETRY_LATER });
                return;
            }
            Err(error) => return self.failed(room, &error.to_string()),
        };
        match self.shared.decided(Some(&loaded), room, as_of.slot) {
            None => Box::pin(self.load(me, room)).await,
            Some(state) => self.start(me, room, state).await,
        }
    }

    async fn start(
        &mut self,
        me: &ActorRef<RoomShardMessage>,
        room: RoomId,
        state: Result<Arc<room::Room>, BrokenRoom>,
    ) {
        let state = match state {
            Ok(state) => state,
            Err(broken) => return self.failed(room, &broken.to_string()),
        };
        let Some(activation) = self.shared.directory(|directory| directory.activating(room)) else { return };
        let args = RoomArgs { shared: Arc::clone(&self.shared), activation, state };
        metrics::activated();
        match Actor::spawn_linked(None, Room, args, me.get_cell()).await {
            Ok((actor, _)) => self.shared.directory(|directory| directory.activated(room, actor)),
            Err(error) => self.failed(room, &error.to_string()),
        }
    }

    /// A room's actor has ended, with an error or without.
    pub(super) async fn ended(&mut self, me: &ActorRef<RoomShardMessage>, actor: ActorId, error: Option<String>) {
        let drained = self.shared.directory(|directory| directory.is_draining(actor));
        let Some((room, waits)) = self.shared.ended(actor) else { return };
        match error {
            None if drained => {
                self.failures.remove(&room);
            }
            None => {}
            Some(error) => {
                tracing::warn!(%room, error, "a room's actor failed");
                crate::metrics::restarted("room");
                if self.count_failure(room) {
                    self.quarantine(room, &error);
                }
            }
        }
        if waits {
            Box::pin(self.activate(me, room)).await;
        }
    }

    /// An activation could not be made from what the stores say.
    fn failed(&mut self, room: RoomId, error: &str) {
        tracing::error!(%room, error, "a room cannot be activated");
        let mail = self.shared.directory(|directory| directory.abandon(room));
        if self.count_failure(room) {
            self.quarantine(room, error);
            refuse(mail, RoomCallError::Unavailable);
        } else {
            refuse(mail, RoomCallError::Busy { retry_after: RETRY_LATER });
        }
    }

    /// Counts a failure. Whether it is one too many.
    fn count_failure(&mut self, room: RoomId) -> bool {
        let failures = self.failures.entry(room).or_default();
        *failures += 1;
        *failures >= FAILURES_MAX
    }

    /// Asks nothing of the room any more, until an operator has looked at it.
    fn quarantine(&mut self, room: RoomId, error: &str) {
        tracing::error!(%room, error, "a room is quarantined: it takes no commands until that is ended");
        metrics::quarantined();
        // From now on, durable or not: a crash would only find the room failing again.
        self.fold.quarantined.insert(room);
        let at = self.shared.now();
        self.own(RoomShardEvent::Quarantined { room, at });
        self.shared.hall.dead_letters.report(Failure::RoomQuarantined { room, error: error.to_owned() }, at);
    }

    /// Journals an event of the shard itself. A shard that is stopping needs it no more.
    pub(super) fn own(&self, event: RoomShardEvent) {
        let items = vec![RoomItem::Shard(Arc::new(event))];
        self.shared.push_own(Push { items, room: None, waiter: None }).ok();
    }
}

/// What a command to a room that cannot be asked is answered with.
fn refuse(mail: Vec<RoomMessage>, error: RoomCallError) {
    for message in mail {
        match message {
            RoomMessage::Command { reply, .. } => reply.send(Err(error)),
            #[cfg(feature = "simulation")]
            RoomMessage::Panic => {}
        }
    }
}
