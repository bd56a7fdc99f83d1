//! A stream with five thousand followers: whoever reads nothing, floods or acknowledges nothing is nobody else's
//! trouble, and costs the node no more than their outbox may hold.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use actors::config::DeliveryConfig;
use actors::dead_letters::DeadLetterBox;
use actors::outbox::{CloseCode, Outbox, frame};
use actors::streams::Streams;
use actors::streams::follow::{Follow, Follower};
use actors::streams::topic::{Encoded, Source, Topic, Unreadable};
use async_trait::async_trait;
use bytes::Bytes;
use domain::delivery::{Ack, Class, Stage};
use domain::ids::UserId;
use protocol::event::EventName;
use protocol::frame::message::Envelope;
use protocol::frame::{MessageText, StreamName};
use uuid::Uuid;

/// How many follow.
const FOLLOWERS: usize = 5_000;
/// What one connection's outbox may hold.
const OUTBOX_BYTES: u32 = 256 << 10;
/// How many of them read nothing.
const DEAF: usize = 1_000;
/// How much is said: with bodies of 1 KiB, twice what the outbox of one who reads nothing takes of it.
const MESSAGES: u64 = 256;

/// How much a follower of a room may leave unacknowledged here.
const WINDOW: u32 = 200;

/// A stream in which everything was said already: whoever reads it finds the same.
struct Said(Class);

fn text(class: Class, offset: u64) -> MessageText {
    let name = StreamName::Room("r".into());
    let (id, event) = (format!("m-{offset}"), EventName::MessageNew);
    let envelope = Envelope { stream: &name, epoch: "e", offset, id: &id, event, class, deadline: None };
    MessageText::of(&envelope, &format!(r#"{{"body":"{}"}}"#, "x".repeat(1 << 10)))
}

#[async_trait]
impl Source for Said {
    async fn head(&self, _: Uuid) -> Result<u64, Unreadable> {
        Ok(MESSAGES)
    }

    async fn floor(&self, _: Uuid) -> Result<u64, Unreadable> {
        Ok(0)
    }

    async fn after(&self, _: &Topic, after: u64, limit: usize) -> Result<Vec<Encoded>, Unreadable> {
        let offsets = after + 1..=MESSAGES;
        Ok(offsets.take(limit).map(|offset| Encoded { offset, text: text(self.0, offset) }).collect())
    }
}

/// One connection that follows, and what it heard.
struct Listener {
    follow: Arc<Follow>,
    outbox: Arc<Outbox>,
    /// The last offset that came, or was said to be missing.
    heard: u64,
    gaps: usize,
}

impl Listener {
    fn new(streams: &Arc<Streams>, number: u64, class: Class, outbox: Arc<Outbox>) -> Self {
        let (stream, name) = (Uuid::from_u128(u128::from(number)), StreamName::Room("r".into()));
        let topic = Arc::new(Topic { stream, name, class, owner: None, source: Arc::new(Said(class)) });
        let follower = Follower { user: UserId(Uuid::from_u128(7)), device: None };
        let follow = streams.follow(topic, follower, Arc::clone(&outbox)).unwrap();
        streams.begin(&follow, 0, 0);
        Self { follow, outbox, heard: 0, gaps: 0 }
    }

    /// Reads all that waits. In order, each once.
    async fn read(&mut self) {
        let take = || std::future::poll_fn(|context| std::task::Poll::Ready(self.outbox.poll_take(context)));
        while let std::task::Poll::Ready(Some(batch)) = take().await {
            for sent in batch {
                let text = text_of(&sent);
                if text.starts_with(r#"{"type":"gap""#) {
                    assert_eq!(number(text, r#""from":"#), self.heard + 1);
                    (self.heard, self.gaps) = (number(text, r#""to":"#), self.gaps + 1);
                } else {
                    assert!(text.starts_with(r#"{"type":"message""#), "{text}");
                    assert_eq!(number(text, r#""offset":"#), self.heard + 1);
                    self.heard += 1;
                }
            }
        }
    }

    fn ack(&self, streams: &Arc<Streams>) {
        streams.ack(&self.follow, Ack { upto: self.heard, also: &[], stage: Stage::Applied });
    }
}

/// The text of a WebSocket message as the server writes it.
fn text_of(sent: &Bytes) -> &str {
    let header = match sent[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    std::str::from_utf8(&sent[header..]).unwrap()
}

/// The number behind `name`: millions of messages are not worth more.
fn number(text: &str, name: &str) -> u64 {
    let (_, rest) = text.split_once(name).unwrap();
    rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
}

fn streams() -> Arc<Streams> {
    let mut config = DeliveryConfig::default();
    config.chat.window = WINDOW;
    Streams::new("e".to_owned(), config, DeadLetterBox::default(), 7)
}

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(OUTBOX_BYTES))
}

#[tokio::test]
async fn a_thousand_that_read_nothing_cost_their_outbox_and_nobody_else() {
    let streams = streams();
    let mut listeners: Vec<_> = (0..FOLLOWERS).map(|_| Listener::new(&streams, 1, Class::Chat, outbox())).collect();
    for offset in 1..=MESSAGES {
        let message = frame::text(text(Class::Chat, offset).as_str());
        streams.publish(Uuid::from_u128(1), offset, message).await;
        // The others read as it comes, and say how far they are now and then.
        for listener in &mut listeners[DEAF..] {
            listener.read().await;
            if offset % 32 == 0 {
                listener.ack(&streams);
            }
        }
    }
    let chat = domain::delivery::Policy::of(Class::Chat).outbox_bytes_max as usize;
    for listener in &listeners[..DEAF] {
        assert!(listener.outbox.bytes() <= chat, "{} bytes", listener.outbox.bytes());
        assert!(!listener.outbox.is_closed(), "who does not read hears of a gap later");
    }
    for listener in &listeners[DEAF..] {
        assert_eq!((listener.heard, listener.gaps), (MESSAGES, 0));
    }
    // When they read again they hear what waited, and that the rest will not come.
    for listener in &mut listeners[..DEAF] {
        listener.read().await;
        assert!(listener.heard > 0 && listener.heard < MESSAGES, "{}", listener.heard);
    }
    let more = frame::text(text(Class::Chat, MESSAGES + 1).as_str());
    streams.publish(Uuid::from_u128(1), MESSAGES + 1, more).await;
    for listener in &mut listeners {
        listener.read().await;
        assert_eq!(listener.heard, MESSAGES + 1);
    }
    assert!(listeners[..DEAF].iter().all(|listener| listener.gaps == 1), "one gap each, not a hundred");
}

#[tokio::test]
async fn who_acknowledges_nothing_is_sent_no_more_than_a_window() {
    let streams = streams();
    let mut listeners: Vec<_> = (0..FOLLOWERS).map(|_| Listener::new(&streams, 1, Class::Chat, outbox())).collect();
    let window = u64::from(WINDOW);
    for offset in 1..=window + 1 {
        let message = frame::text(text(Class::Chat, offset).as_str());
        streams.publish(Uuid::from_u128(1), offset, message).await;
        for listener in &mut listeners {
            listener.read().await;
        }
    }
    assert!(listeners.iter().all(|listener| listener.heard == window));
    // One says how far it is: it reads on, to the end of what is durable.
    listeners[0].ack(&streams);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    for listener in &mut listeners {
        listener.read().await;
    }
    assert_eq!(listeners[0].heard, MESSAGES);
    assert!(listeners[1..].iter().all(|listener| listener.heard == window));
}

#[tokio::test]
async fn lanes_of_one_connection_wait_for_nothing_of_each_other() {
    let streams = streams();
    let shared = outbox();
    // Money that nobody acknowledges fills its window; the room goes on, and so does another stream of money.
    let money = Listener::new(&streams, 1, Class::Money, Arc::clone(&shared));
    let room = Listener::new(&streams, 2, Class::Chat, Arc::clone(&shared));
    let notices = Listener::new(&streams, 3, Class::Notice, Arc::clone(&shared));
    let window = u64::from(domain::delivery::Policy::of(Class::Money).window);
    let mut heard = [0_u64; 3];
    for offset in 1..=MESSAGES {
        for (number, class) in [(1, Class::Money), (2, Class::Chat), (3, Class::Notice)] {
            let message = frame::text(text(class, offset).as_str());
            streams.publish(Uuid::from_u128(number), offset, message).await;
        }
        let take = std::future::poll_fn(|context| std::task::Poll::Ready(shared.poll_take(context)));
        if let std::task::Poll::Ready(Some(batch)) = take.await {
            for sent in batch {
                let text = text_of(&sent);
                let classes = [Class::Money, Class::Chat, Class::Notice];
                let is_of = |class: &Class| text.contains(&format!(r#""class":"{}""#, class.as_str()));
                let lane = classes.iter().position(is_of).unwrap();
                assert_eq!(number(text, r#""offset":"#), heard[lane] + 1);
                heard[lane] += 1;
            }
        }
        streams.ack(&room.follow, Ack { upto: heard[1], also: &[], stage: Stage::Applied });
        streams.ack(&notices.follow, Ack { upto: heard[2], also: &[], stage: Stage::Applied });
    }
    assert_eq!(heard, [window, MESSAGES, MESSAGES]);
    assert_eq!(money.follow.waiting(), u32::try_from(window).unwrap());
}

#[tokio::test]
async fn a_flood_of_one_fills_no_outbox_beyond_its_bound() {
    let streams = streams();
    let mut listeners: Vec<_> = (0..FOLLOWERS).map(|_| Listener::new(&streams, 1, Class::Chat, outbox())).collect();
    // Nobody gets a turn to read.
    for offset in 1..=MESSAGES {
        let message = frame::text(text(Class::Chat, offset).as_str());
        streams.publish(Uuid::from_u128(1), offset, message).await;
    }
    let held: usize = listeners.iter().map(|listener| listener.outbox.bytes()).sum();
    let chat = domain::delivery::Policy::of(Class::Chat).outbox_bytes_max as usize;
    assert!(held <= FOLLOWERS * chat, "{held} bytes");
    assert!(listeners.iter().all(|listener| !listener.outbox.is_closed()));
    // One of them leaves without a word; the others hear the end.
    listeners[0].outbox.close(CloseCode::Bye, "");
    let more = frame::text(text(Class::Chat, MESSAGES + 1).as_str());
    for listener in &mut listeners[1..] {
        listener.read().await;
    }
    streams.publish(Uuid::from_u128(1), MESSAGES + 1, more).await;
    for listener in &mut listeners[1..] {
        listener.read().await;
        assert_eq!((listener.heard, listener.gaps), (MESSAGES + 1, 1));
    }
}
