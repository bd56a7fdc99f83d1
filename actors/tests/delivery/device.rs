//! A device: hears, acknowledges what it likes, goes away and comes back; remembers what it applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actors::outbox::Outbox;
use actors::session::SessionMessage;
use domain::ids::DeviceId;
use domain::time::Timestamp;
use protocol::frame::client::{Ack, Nack};
use protocol::frame::server::{Message, ServerFrame};
use protocol::frame::{ClientFrame, Stage, decode_server};
use ractor::ActorRef;
use uuid::Uuid;

use crate::log::{Chance, Log, STREAMS, stream};
use crate::node::{Node, settle};
use crate::store::Disk;

/// A device of the person.
pub(crate) struct Device {
    id: DeviceId,
    connection: Option<Connection>,
    /// Where each stream first began for the device.
    first: [Option<u64>; STREAMS.len()],
    /// What it applied, of each stream.
    applied: [BTreeSet<u64>; STREAMS.len()],
    /// How many messages came again on one connection.
    repeats: u64,
}

struct Connection {
    session: ActorRef<SessionMessage>,
    outbox: Arc<Outbox>,
    /// The next first attempt that is due of each stream.
    next: [Option<u64>; STREAMS.len()],
    /// The highest attempt of each message.
    attempts: [BTreeMap<u64, u32>; STREAMS.len()],
    /// What was heard and not acknowledged.
    open: [BTreeSet<u64>; STREAMS.len()],
}

impl Device {
    pub(crate) fn new(number: u128) -> Self {
        let id = DeviceId(Uuid::from_u128(100 + number));
        Self { id, connection: None, first: [None; 2], applied: Default::default(), repeats: 0 }
    }

    /// How many messages came again on one connection.
    pub(crate) fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Does something: connects, goes, acknowledges, refuses.
    pub(crate) async fn act(&mut self, node: &Node, chance: &mut Chance) {
        if self.connection.is_none() {
            self.connect(node).await;
            return;
        }
        let number = chance.below(STREAMS.len() as u64) as usize;
        let heard: Vec<u64> = self.connection.iter().flat_map(|it| it.open[number].iter().copied()).collect();
        let pick = |chance: &mut Chance| heard.get(chance.below(heard.len().max(1) as u64) as usize).copied();
        match chance.below(12) {
            0 => self.cut(),
            // In order up to somewhere.
            1..5 => {
                if let Some(upto) = pick(chance) {
                    self.ack(number, upto, Vec::new(), Stage::Applied);
                }
            }
            // Some, out of order.
            5..8 => {
                let also = (0..3).filter_map(|_| pick(chance)).collect();
                let stage = if chance.below(3) == 0 { Stage::Received } else { Stage::Applied };
                self.ack(number, 0, also, stage);
            }
            8 => {
                if let Some(offset) = pick(chance) {
                    self.nack(number, offset, chance.below(2) == 0);
                }
            }
            // What was never sent.
            9 => self.ack(number, 0, vec![1_000_000], Stage::Applied),
            _ => {}
        }
    }

    async fn connect(&mut self, node: &Node) {
        let (session, outbox) = node.connect(self.id).await;
        self.connection = Some(Connection {
            session,
            outbox,
            next: [None; 2],
            attempts: Default::default(),
            open: Default::default(),
        });
        self.listen().await;
    }

    /// The connection is gone, without a word.
    pub(crate) fn cut(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.session.cast(SessionMessage::Gone).ok();
            connection.outbox.close(actors::outbox::CloseCode::Bye, "");
        }
    }

    /// Its session fails.
    pub(crate) fn panic(&mut self) {
        if let Some(connection) = &self.connection {
            connection.session.cast(SessionMessage::Panic).ok();
        }
    }

    fn say(&self, frame: ClientFrame) {
        if let Some(connection) = &self.connection {
            connection.session.cast(SessionMessage::Frames { frames: vec![Ok(frame)], permit: None }).ok();
        }
    }

    fn ack(&mut self, number: usize, upto: u64, also: Vec<u64>, stage: Stage) {
        let Some(connection) = &mut self.connection else { return };
        let heard: Vec<u64> = connection.attempts[number].keys().copied().collect();
        for offset in heard.into_iter().filter(|offset| *offset <= upto || also.contains(offset)) {
            connection.open[number].remove(&offset);
            if stage == Stage::Applied {
                self.applied[number].insert(offset);
            }
        }
        self.say(ClientFrame::Ack(Ack { stream: STREAMS[number].0.clone(), upto, also, stage }));
    }

    fn nack(&mut self, number: usize, offset: u64, terminal: bool) {
        let Some(connection) = &mut self.connection else { return };
        if terminal {
            connection.open[number].remove(&offset);
        }
        let (stream, code) = (STREAMS[number].0.clone(), "no".into());
        self.say(ClientFrame::Nack(Nack { stream, offset, code, after_ms: None, terminal }));
    }

    /// Hears all there is.
    pub(crate) async fn listen(&mut self) {
        settle().await;
        // As its supervisor does.
        if let Some(connection) = &self.connection
            && connection.outbox.take_look(Timestamp::EPOCH)
        {
            connection.session.cast(SessionMessage::Tick).ok();
            settle().await;
        }
        loop {
            let Some(connection) = &mut self.connection else { return };
            let batch = match std::future::poll_fn(|context| {
                std::task::Poll::Ready(connection.outbox.poll_take(context))
            })
            .await
            {
                std::task::Poll::Ready(Some(batch)) => batch,
                std::task::Poll::Ready(None) => {
                    self.cut();
                    return;
                }
                std::task::Poll::Pending => return,
            };
            for sent in batch {
                if sent[0] & 0xf == 1 {
                    let header = if sent[1] == 126 { 4 } else { 2 };
                    for frame in decode_server(std::str::from_utf8(&sent[header..]).unwrap()).unwrap() {
                        self.frame(&frame);
                    }
                }
            }
        }
    }

    fn frame(&mut self, frame: &ServerFrame) {
        let number = |name| STREAMS.iter().position(|(known, _)| known == name).unwrap();
        let Some(connection) = &mut self.connection else { return };
        match frame {
            ServerFrame::Subscribed(subscribed) => {
                let number = number(&subscribed.stream);
                connection.next[number] = Some(subscribed.from + 1);
                self.first[number].get_or_insert(subscribed.from);
            }
            ServerFrame::Message(message) => {
                let number = number(&message.stream);
                self.message(number, message);
            }
            ServerFrame::Gap(gap) => panic!("nothing is let go here: {gap:?}"),
            _ => {}
        }
    }

    fn message(&mut self, number: usize, message: &Message) {
        let Some(connection) = &mut self.connection else { return };
        let (offset, attempt) = (message.offset, message.attempt.unwrap_or(1));
        assert_eq!(*message.id, format!("{number}-{offset}"));
        if attempt == 1 {
            assert_eq!(connection.next[number], Some(offset), "first attempts come in order, without a hole");
            connection.next[number] = Some(offset + 1);
        }
        let before = connection.attempts[number].insert(offset, attempt);
        self.repeats += u64::from(before.is_some());
        assert!(before.is_none_or(|before| before < attempt), "{offset}: attempt {attempt} after {before:?}");
        connection.open[number].insert(offset);
    }

    /// Applies all that it can still hear. Whether nothing is left.
    pub(crate) async fn catch_up(&mut self, node: &Node, log: &Log) -> bool {
        if self.connection.is_none() {
            self.connect(node).await;
        }
        self.listen().await;
        for number in 0..STREAMS.len() {
            let Some(connection) = &self.connection else { return false };
            if let Some(upto) = connection.next[number].map(|next| next - 1) {
                let also = connection.open[number].iter().copied().collect();
                self.ack(number, upto, also, Stage::Applied);
            }
        }
        self.listen().await;
        let Some(connection) = &self.connection else { return false };
        let heard_all = |number: usize| connection.next[number] == Some(log.head(number) + 1);
        (0..STREAMS.len()).all(|number| heard_all(number) && connection.open[number].is_empty())
    }

    /// What the store says that the device has, it has, or a dead letter tells of it.
    pub(crate) fn judge_cursors(&self, disk: &Disk) {
        for number in 0..STREAMS.len() {
            let cursor = disk.cursor_of(self.id, stream(number)).unwrap_or(0);
            self.judge_upto(number, cursor, disk);
        }
    }

    /// Everything was applied, or a dead letter tells of it.
    pub(crate) fn judge(&self, log: &Log, disk: &Disk) {
        self.judge_cursors(disk);
        for number in 0..STREAMS.len() {
            assert!(self.first[number].is_some(), "it never followed");
            self.judge_upto(number, log.head(number), disk);
        }
    }

    fn judge_upto(&self, number: usize, upto: u64, disk: &Disk) {
        let first = self.first[number].unwrap_or(upto);
        for offset in first + 1..=upto {
            let dead = disk.tells_of(self.id, stream(number), offset);
            let applied = self.applied[number].contains(&offset);
            assert!(applied || dead, "device {}: {offset} of stream {number} is skipped in silence", self.id);
        }
    }
}
