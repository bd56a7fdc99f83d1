//! The door: who may come in, and how what they say reaches their session.

use std::sync::Arc;
use std::time::Duration;

use actors::outbox::{CloseCode, Outbox};
use actors::session::{SessionArgs, SessionContext, SessionMessage};
use actors::sessions::SessionsMessage;
use domain::ids::{DeviceId, SessionId, UserId};
use parking_lot::Mutex;
use protocol::code::Code;
use protocol::frame::{self, ClientFrame};
use ractor::ActorRef;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::app::App;
use crate::edge::websocket::{Door, Flow, Hello, Refusal, Session};
use crate::live::bucket::Bucket;

/// Frames of one connection that may be in flight. Beyond it nothing more is read from the client.
const FRAMES_IN_FLIGHT_MAX: usize = 64;

/// How long a session may take to start.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// A node's door.
pub(super) struct LiveDoor {
    app: Arc<App>,
    context: Arc<SessionContext>,
}

/// One connection that came in.
pub(super) struct LiveSession {
    actor: ActorRef<SessionMessage>,
    outbox: Arc<Outbox>,
    places: Arc<Semaphore>,
    /// How many frames may come now.
    bucket: Mutex<Bucket>,
}

impl LiveDoor {
    pub(super) fn new(app: Arc<App>, context: Arc<SessionContext>) -> Self {
        Self { app, context }
    }

    async fn device(&self, user: UserId, name: Option<&str>) -> Result<Option<DeviceId>, Refusal> {
        let Some(name) = name else { return Ok(None) };
        let candidate = DeviceId(self.app.new_id());
        let device = self.app.deliveries.device(user, name, candidate, self.app.now()).await;
        device.map(|device| Some(device.id)).map_err(|error| {
            tracing::error!(%error, "a device cannot be read");
            Refusal::new(CloseCode::TryAgainLater, "the store does not answer")
        })
    }
}

impl Door for LiveDoor {
    type Session = LiveSession;

    async fn hello(&self, hello: Hello) -> Result<LiveSession, Refusal> {
        let frames = frame::decode(&hello.text).map(|mut frames| (frames.len(), frames.pop()));
        let Ok((1, Some(Ok(ClientFrame::Hello(said))))) = frames else {
            return Err(Refusal::new(CloseCode::Policy, Code::HelloExpected.as_str()));
        };
        let rights = self.context.desk.rights(&said.token).await.map_err(|code| match code {
            Code::Busy => Refusal::new(CloseCode::TryAgainLater, "the store does not answer"),
            code => Refusal::new(CloseCode::SignInAgain, code.as_str()),
        })?;
        let device = self.device(rights.user, said.device.as_deref()).await?;
        let args = SessionArgs {
            context: Arc::clone(&self.context),
            id: SessionId(self.app.new_id()),
            rights,
            device,
            outbox: Arc::clone(&hello.outbox),
            hello: Box::new(said),
        };
        let (reply, opened) = oneshot::channel();
        let asked = self.app.sessions.cast(SessionsMessage::Open { args: Box::new(args), reply });
        let opened = if asked { tokio::time::timeout(START_DEADLINE, opened).await.ok() } else { None };
        match opened {
            Some(Ok(actor)) => {
                let places = Arc::new(Semaphore::new(FRAMES_IN_FLIGHT_MAX));
                let per_second = self.app.config.edge.websocket.frames_per_second;
                let bucket = Mutex::new(Bucket::new(per_second, Instant::now()));
                Ok(LiveSession { actor, outbox: hello.outbox, places, bucket })
            }
            _ => Err(Refusal::new(CloseCode::TryAgainLater, "the session does not start")),
        }
    }
}

impl Session for LiveSession {
    fn message(&self, text: &str) -> Flow {
        let frames = match frame::decode(text) {
            Ok(frames) => frames,
            Err(error) => {
                self.outbox.finish(CloseCode::Policy, error.code.as_str());
                return Flow::Stop;
            }
        };
        let wait = self.bucket.lock().take(frames.len(), Instant::now());
        if wait.is_none()
            && let Ok(permit) = Arc::clone(&self.places).try_acquire_owned()
        {
            let sent = self.actor.cast(SessionMessage::Frames { frames, permit: Some(permit) });
            // A session that has failed has its connection closed by its supervisor.
            return if sent.is_ok() { Flow::Continue } else { Flow::Stop };
        }
        let (actor, places) = (self.actor.clone(), Arc::clone(&self.places));
        Flow::Pause(Box::pin(async move {
            let permit = places.acquire_owned().await.ok();
            tokio::time::sleep(wait.unwrap_or_default()).await;
            actor.cast(SessionMessage::Frames { frames, permit }).ok();
        }))
    }

    fn gone(&self) {
        self.actor.cast(SessionMessage::Gone).ok();
    }
}
