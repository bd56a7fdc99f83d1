//! The door: who may come in, and how what they say reaches their session.

use std::sync::Arc;
use std::time::Duration;

use actors::outbox::{self, CloseCode, Outbox};
use actors::session::followed::Followed;
use actors::session::{SessionArgs, SessionContext, SessionMessage};
use actors::sessions::SessionsMessage;
use actors::streams::Streams;
use domain::ids::{DeviceId, SessionId, UserId};
use parking_lot::Mutex;
use protocol::code::Code;
use protocol::frame::server::Drain;
use protocol::frame::{self, ClientFrame, ServerFrame};
use ractor::ActorRef;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::app::App;
use crate::edge::websocket::{Door, Flow, Hello, Refusal, Session};
use crate::live::admission::NotNow;
use crate::live::bucket::Bucket;
use crate::rooms::devices;

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
    streams: Arc<Streams>,
    followed: Arc<Followed>,
    /// The client said the name of its device.
    keeps_places: bool,
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
        devices::seen(&self.app, user, name).await.map(|seen| Some(seen.device.id)).map_err(|error| {
            tracing::error!(%error, "a device cannot be read");
            Refusal::new(CloseCode::TryAgainLater, "the store does not answer")
        })
    }

    /// Sends a client away, and says when to come back.
    fn not_now(not_now: NotNow, reason: &'static str) -> Refusal {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let drain = ServerFrame::Drain(Drain { after_ms: ms(not_now.after), spread_ms: ms(not_now.spread) });
        Refusal { notice: Some(outbox::frame::text(&drain.encode())), ..Refusal::new(CloseCode::TryAgainLater, reason) }
    }
}

impl Door for LiveDoor {
    type Session = LiveSession;

    async fn hello(&self, hello: Hello) -> Result<LiveSession, Refusal> {
        let frames = frame::decode(&hello.text).map(|mut frames| (frames.len(), frames.pop()));
        let Ok((1, Some(Ok(ClientFrame::Hello(said))))) = frames else {
            return Err(Refusal::new(CloseCode::Policy, Code::HelloExpected.as_str()));
        };
        let turn = self.app.admission.turn().await;
        let _turn = turn.map_err(|not_now| Self::not_now(not_now, "too many come in at once"))?;
        let rights = self.context.desk.rights(&said.token).await.map_err(|code| match code {
            Code::Busy => Refusal::new(CloseCode::TryAgainLater, "the store does not answer"),
            code => Refusal::new(CloseCode::SignInAgain, code.as_str()),
        })?;
        let device = self.device(rights.user, said.device.as_deref()).await?;
        let followed = Arc::<Followed>::default();
        let args = SessionArgs {
            context: Arc::clone(&self.context),
            id: SessionId(self.app.new_id()),
            rights,
            device,
            outbox: Arc::clone(&hello.outbox),
            followed: Arc::clone(&followed),
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
                let streams = Arc::clone(&self.context.streams);
                let keeps_places = device.is_some();
                Ok(LiveSession { actor, outbox: hello.outbox, streams, followed, keeps_places, places, bucket })
            }
            _ => Err(Self::not_now(self.app.admission.refuse(), "the session does not start")),
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
        // A place that is to be durable is the session's to write, unless it will soon look for it.
        let is_written = !self.keeps_places || self.outbox.looks_soon();
        // And nothing that came before may still be to be done.
        if wait.is_none()
            && is_written
            && self.places.available_permits() == FRAMES_IN_FLIGHT_MAX
            && let [Ok(ClientFrame::Ack(ack))] = frames.as_slice()
        {
            self.followed.ack(&self.streams, ack);
            return Flow::Continue;
        }
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
