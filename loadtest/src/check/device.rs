//! A device that follows its person's account, notices and rooms; goes away, comes back, and answers as it likes.

mod following;
mod habit;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::code::Code;
use protocol::frame::client::{ClientFrame, Ping};
use protocol::frame::{ServerFrame, StreamName};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use self::following::Following;
use self::habit::Habit;
use super::history::{Device, Step, Stream};
use super::world::World;
use crate::http::Client;
use crate::person::Person;
use crate::socket::{Ended, Socket, hello};

/// How long a device that has nothing to hear waits before it looks whether the run is over.
const LOOK: Duration = Duration::from_millis(200);
/// How long the answer to a sign-in may take.
const SIGN_PATIENCE: Duration = Duration::from_secs(10);
/// How long a device that answers nothing waits to be closed: longer than any class's patience is by default.
const SILENCE_MAX: Duration = Duration::from_mins(3);
/// The most things that one device remembers; it leaves when it has heard so many.
const HEARD_MAX: usize = 200_000;

/// How far the run is.
#[derive(Clone)]
pub(crate) enum Phase {
    /// Everybody works.
    Working,
    /// Nothing new happens; these are the lengths of all streams. Devices answer all they get.
    Settling(Arc<HashMap<Stream, u64>>),
    /// No dead letter is open. Devices leave when the server knows that they are at the end.
    Ending(Arc<HashMap<Stream, u64>>),
}

/// How far the run is, as it is told.
pub(crate) type Phases = watch::Receiver<Phase>;

/// What a device is like.
pub(crate) struct Plan {
    /// Whose it is.
    pub(crate) who: usize,
    /// Its number among all devices.
    pub(crate) number: usize,
    /// The seed of its choices.
    pub(crate) seed: u64,
    /// Whether it refuses messages, and leaves some: only where somebody redrives what becomes of them.
    pub(crate) may_refuse: bool,
    /// How long it may take to be at the end when all has stopped.
    pub(crate) patience: Duration,
}

/// A device at work.
pub(crate) struct Follower {
    world: Arc<World>,
    person: Person,
    plan: Plan,
    rng: StdRng,
    phases: Phases,
    name: String,
    followings: Vec<Following>,
    heard: usize,
    asked: u64,
}

impl Follower {
    /// A device as planned.
    pub(crate) fn new(world: Arc<World>, person: Person, plan: Plan, phases: Phases) -> Self {
        let name = format!("{}-{}-{}", world.run, plan.who, plan.number);
        let rng = StdRng::seed_from_u64(plan.seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(plan.number as u64));
        let own = [(Stream::Account(plan.who), StreamName::Account), (Stream::User(plan.who), StreamName::User)];
        let rooms = world.rooms_of(plan.who).map(|(number, id)| (Stream::Room(number), StreamName::Room(id.into())));
        let followings = own.into_iter().chain(rooms);
        let followings = followings
            .map(|(stream, followed)| Following::new(plan.who, &name, plan.number, stream, followed))
            .collect();
        Self { world, person, plan, rng, phases, name, followings, heard: 0, asked: 0 }
    }

    /// Follows until it is at the end, or until it should be. Answers what it heard of each stream.
    pub(crate) async fn follow(mut self) -> Vec<Device> {
        let mut ending_since = None;
        let mut is_done = false;
        while !is_done && self.heard < HEARD_MAX {
            if matches!(*self.phases.borrow(), Phase::Ending(_)) {
                let since = *ending_since.get_or_insert_with(Instant::now);
                if since.elapsed() > self.plan.patience {
                    break;
                }
            }
            if let Ok(done) = self.connect().await {
                is_done = done;
            } else {
                // The server is away, or the token has ended.
                sleep(Duration::from_millis(self.rng.random_range(20..200))).await;
                let mut client = Client::new(self.world.target.clone(), SIGN_PATIENCE);
                _ = self.person.sign_in(&mut client).await;
            }
            sleep(Duration::from_millis(self.rng.random_range(0..100))).await;
        }
        // One that left early owes nothing; one that stayed must be at the end.
        let finished = self.heard < HEARD_MAX;
        self.followings.into_iter().map(|following| Device { finished, ..following.device }).collect()
    }

    fn heads(&self) -> Option<Arc<HashMap<Stream, u64>>> {
        match &*self.phases.borrow() {
            Phase::Working => None,
            Phase::Settling(heads) | Phase::Ending(heads) => Some(Arc::clone(heads)),
        }
    }

    fn is_ending(&self) -> bool {
        matches!(*self.phases.borrow(), Phase::Ending(_))
    }

    /// Whether this holds of every stream and its length.
    fn all(&self, holds: impl Fn(&Following, u64) -> bool) -> bool {
        let Some(heads) = self.heads() else { return false };
        self.followings.iter().all(|it| holds(it, heads.get(&it.device.stream).copied().unwrap_or(0)))
    }

    /// One connection: from the place it holds, or from what the server remembers. `true` if the server remembers the
    /// end of everything.
    async fn connect(&mut self) -> anyhow::Result<bool> {
        let works = self.heads().is_none();
        let (ends, direct) = (self.is_ending(), !works || self.rng.random_bool(0.3));
        let mut subscriptions = Vec::new();
        for following in &mut self.followings {
            let last = (works && self.rng.random_bool(0.04)).then(|| self.rng.random_range(0..40));
            subscriptions.push(following.ask(!ends && self.rng.random_bool(0.2), last));
        }
        // The wire knows only so many in one hello; nobody here is in so many rooms.
        let said = hello(&self.person.token, Some(&self.name), subscriptions);
        let target = if direct { &self.world.target } else { &self.world.live };
        let mut socket = Socket::open(target, said).await?;
        let habit = if works { Habit::draw(&mut self.rng, self.plan.may_refuse) } else { Habit::Prompt };
        // Nobody is called silent whose words a proxy may keep.
        let habit = if habit == Habit::Silent && !direct { Habit::Slow } else { habit };
        // What is said twice by a proxy is not late, but wrong.
        let is_late = direct && works && self.rng.random_bool(0.3);
        self.listen(&mut socket, habit, is_late).await?;
        let done = ends && self.all(|it, head| it.remembered().is_some_and(|place| place >= head));
        // Half of them say goodbye; the others are simply gone.
        if !works || self.rng.random_bool(0.5) {
            socket.close().await;
        }
        Ok(done)
    }

    /// Hears and answers until the device leaves, or the connection ends.
    async fn listen(&mut self, socket: &mut Socket, habit: Habit, is_late: bool) -> anyhow::Result<()> {
        let stays = self.rng.random_range(5..400);
        let (mut left, mut is_late, mut silent_since) = (stays, is_late, None);
        loop {
            let frame = match timeout(LOOK, socket.next()).await {
                Ok(Ok(frame)) => Some(frame),
                Ok(Err(ended)) => return self.ended(&ended, habit),
                Err(_) => None,
            };
            match frame {
                None | Some(ServerFrame::Welcome(_)) => {}
                Some(ServerFrame::Drain(_)) => return Ok(()),
                Some(frame) => self.take(frame)?,
            }
            let is_live = self.followings.iter().all(Following::is_live);
            if is_live && std::mem::take(&mut is_late) {
                self.say_late(socket).await?;
            }
            // It turns prompt when all has stopped.
            let settles = self.heads().is_some();
            match if settles { Habit::Prompt } else { habit } {
                Habit::Silent => {
                    let mut waiting = self.followings.iter_mut().filter(|it| it.open().len() > 0).peekable();
                    if waiting.peek().is_some() && silent_since.get_or_insert_with(Instant::now).elapsed() > SILENCE_MAX
                    {
                        waiting.for_each(Following::overstays);
                        return Ok(());
                    }
                    // It waits to be closed.
                    continue;
                }
                Habit::Slow if self.rng.random_bool(0.02) => {
                    sleep(Duration::from_millis(self.rng.random_range(300..1500))).await;
                }
                habit => {
                    for following in &mut self.followings {
                        if let Some(said) = habit.answer(following, &mut self.rng) {
                            socket.say(&said).await?;
                        }
                    }
                }
            }
            left -= 1;
            if settles {
                let is_heard = is_live && self.all(|it, head| it.heard() >= head && it.is_answered());
                if self.is_ending() && is_heard {
                    return self.ask(socket).await;
                }
            } else if left <= 0 {
                return Ok(());
            }
        }
    }

    /// Takes a frame of the server.
    fn take(&mut self, frame: ServerFrame) -> anyhow::Result<()> {
        let name = match &frame {
            ServerFrame::Subscribed(it) => Some(&it.stream),
            ServerFrame::Message(it) => Some(&it.stream),
            ServerFrame::Gap(it) => Some(&it.stream),
            _ => None,
        };
        let following = name.and_then(|name| self.followings.iter_mut().find(|it| it.name == *name));
        match (frame, following) {
            (ServerFrame::Subscribed(subscribed), Some(following)) if !following.is_live() => {
                following.subscribed(&subscribed);
            }
            (ServerFrame::Message(message), Some(following)) if following.is_live() => {
                self.heard += 1;
                following.message(&message, &self.world);
            }
            (ServerFrame::Gap(gap), Some(following)) if following.is_live() => following.gap(&gap),
            (ServerFrame::Pong(pong), _) => {
                if let Some(number) = pong.id.and_then(|id| id.parse().ok()) {
                    self.followings.iter_mut().for_each(|it| it.note(Step::Answered(number)));
                }
            }
            (ServerFrame::Expiring(_) | ServerFrame::Signal(_) | ServerFrame::Presence(_), _) => {}
            (ServerFrame::Error(error), _) if error.code == Code::Busy => anyhow::bail!("the server is busy"),
            (frame, _) => {
                self.world.foreign(format!("device {} got {frame:?}", self.name));
                anyhow::bail!("not of the protocol");
            }
        }
        Ok(())
    }

    /// Acknowledges what earlier connections heard, or nobody.
    async fn say_late(&mut self, socket: &mut Socket) -> anyhow::Result<()> {
        let beyond = if self.rng.random_bool(0.3) { 1_000 } else { 0 };
        for following in &mut self.followings {
            if let Some(said) = following.ack_late(beyond) {
                socket.say(&said).await?;
            }
        }
        self.ask(socket).await
    }

    /// Asks for a sign of life, which tells that all before it was taken in.
    async fn asks(&mut self, socket: &mut Socket) -> anyhow::Result<()> {
        self.asked += 1;
        let asked = self.asked;
        self.followings.iter_mut().for_each(|it| it.note(Step::Asked(asked)));
        socket.say(&ClientFrame::Ping(Ping { id: Some(asked.to_string().into()) })).await
    }

    /// Waits until the server has taken in all that was said.
    async fn ask(&mut self, socket: &mut Socket) -> anyhow::Result<()> {
        self.asks(socket).await?;
        loop {
            match timeout(SIGN_PATIENCE, socket.next()).await {
                Ok(Ok(frame)) => {
                    let answers = matches!(frame, ServerFrame::Pong(_));
                    self.take(frame)?;
                    if answers {
                        return Ok(());
                    }
                }
                Ok(Err(ended)) => return self.ended(&ended, Habit::Prompt),
                Err(_) => anyhow::bail!("no answer in time"),
            }
        }
    }

    fn ended(&mut self, ended: &Ended, habit: Habit) -> anyhow::Result<()> {
        if habit == Habit::Silent && matches!(ended, Ended::Closed(4408)) {
            self.world.silenced();
        }
        if !ended.may_reconnect() && !matches!(ended, Ended::Closed(4401)) {
            self.world.foreign(format!("device {}: {ended}", self.name));
        }
        anyhow::bail!("{ended}")
    }
}
