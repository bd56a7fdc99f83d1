//! `Sweeper`: looks what is due on all windows of the node, for all of them at once.
//!
//! One timer a node instead of one a message, and only those are looked at in whose lanes something waits
//! ([`super::waiting`]). Sending again reads the stream beside the sweep, at most [`RESENDS_MAX`] followers at a time.
//! When it dies it is started again and finds everything where it was.

use std::sync::Arc;
use std::time::Duration;

use domain::delivery::{Cause, Swept, Verdict};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Semaphore;

use crate::outbox::CloseCode;
use crate::streams::follow::Follow;
use crate::streams::{Streams, reading};

/// How often is looked. Acknowledgements take seconds to be late: half a second more is no harm.
const SWEEP: Duration = Duration::from_millis(500);

/// Followers for whom streams are read at a time to send again. What is due waits; reads of the living do not.
const RESENDS_MAX: usize = 32;

/// Mail of the sweeper.
#[derive(Debug)]
pub enum SweeperMessage {
    /// Look.
    Sweep,
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// The actor.
pub struct Sweeper;

/// What it has.
pub struct SweeperState {
    streams: Arc<Streams>,
    resends: Arc<Semaphore>,
}

impl Actor for Sweeper {
    type Msg = SweeperMessage;
    type State = SweeperState;
    type Arguments = Arc<Streams>;

    async fn pre_start(
        &self,
        me: ActorRef<SweeperMessage>,
        streams: Arc<Streams>,
    ) -> Result<SweeperState, ActorProcessingErr> {
        me.send_after(SWEEP, || SweeperMessage::Sweep);
        Ok(SweeperState { streams, resends: Arc::new(Semaphore::new(RESENDS_MAX)) })
    }

    async fn handle(
        &self,
        me: ActorRef<SweeperMessage>,
        message: SweeperMessage,
        state: &mut SweeperState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SweeperMessage::Sweep => {
                state.sweep().await;
                me.send_after(SWEEP, || SweeperMessage::Sweep);
            }
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            SweeperMessage::Panic => panic!("a fault was put in"),
        }
        Ok(())
    }
}

impl SweeperState {
    async fn sweep(&self) {
        for stripe in self.streams.waiting().stripes() {
            if stripe.is_empty() {
                continue;
            }
            for follow in &stripe {
                self.look(follow);
            }
            // Thousands of followers are not one turn.
            tokio::task::yield_now().await;
        }
        self.streams.waiting().release();
    }

    fn look(&self, follow: &Arc<Follow>) {
        // What waits to be written is no client's fault: its time begins when it is on its way.
        if follow.outbox_bytes() > reading::OUTBOX_BYTES {
            return;
        }
        // Told under the lock of the outbox, done after it.
        let (mut due, mut dead) = (Vec::new(), Vec::new());
        let (swept, resumes) =
            follow.sweep(self.streams.pace(), self.streams.policy(follow.class()), |verdict| match verdict {
                Verdict::Resend { offset, attempt } => due.push((offset, attempt)),
                Verdict::Dead { offset, attempts, cause } => dead.push((offset, attempts, cause)),
            });
        for (offset, attempts, cause) in dead {
            let code = match cause {
                Cause::Refused => "refused",
                Cause::Unacknowledged => "unacknowledged",
            };
            self.streams.died(follow, offset, attempts, cause, code);
        }
        if swept == Swept::Silent {
            tracing::debug!(user = %follow.follower().user, "a session that acknowledges nothing is closed");
            follow.close(CloseCode::TooSlow, "nothing was acknowledged");
            return;
        }
        if resumes {
            self.streams.bring_up(follow);
        }
        if !due.is_empty() {
            due.sort_unstable();
            let (streams, follow) = (Arc::clone(&self.streams), Arc::clone(follow));
            let resends = Arc::clone(&self.resends);
            tokio::spawn(async move {
                let Ok(_place) = resends.acquire().await else { return };
                if let Err(error) = reading::resend(&streams, &follow, &due).await {
                    // The attempt is spent; the next one comes.
                    tracing::warn!(%error, stream = %follow.topic().stream, "messages cannot be sent again");
                }
            });
        }
    }
}
