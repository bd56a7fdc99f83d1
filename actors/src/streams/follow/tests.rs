//! One follower on a stream that is kept in memory.

use std::time::Duration;

use async_trait::async_trait;
use domain::delivery::Stage;
use parking_lot::Mutex;
use protocol::event::EventName;
use protocol::frame::message::Envelope;
use protocol::frame::{MessageText, StreamName, decode_server};
use ractor::Actor;
use uuid::Uuid;

use super::*;
use crate::config::DeliveryConfig;
use crate::dead_letters::DeadLetterBox;
use crate::streams::Streams;
use crate::streams::sweeper::Sweeper;
use crate::streams::topic::{Encoded, Source, Unreadable};

/// A stream in memory.
#[derive(Default)]
struct Kept {
    head: Mutex<u64>,
    floor: Mutex<u64>,
    reads: Mutex<Vec<u64>>,
}

fn text(offset: u64) -> MessageText {
    let envelope = Envelope {
        stream: &StreamName::Account,
        epoch: "e",
        offset,
        id: "m",
        event: EventName::TransactionNew,
        class: Class::Money,
        deadline: None,
    };
    MessageText::of(&envelope, "{}")
}

#[async_trait]
impl Source for Kept {
    async fn head(&self, _: Uuid) -> Result<u64, Unreadable> {
        Ok(*self.head.lock())
    }

    async fn floor(&self, _: Uuid) -> Result<u64, Unreadable> {
        Ok(*self.floor.lock())
    }

    async fn after(&self, _: &Topic, after: u64, limit: usize) -> Result<Vec<Encoded>, Unreadable> {
        self.reads.lock().push(after);
        let (floor, head) = (*self.floor.lock(), *self.head.lock());
        let offsets = after.max(floor) + 1..=head;
        Ok(offsets.take(limit).map(|offset| Encoded { offset, text: text(offset) }).collect())
    }
}

/// A follower of a stream, and all that it hears.
struct Scene {
    streams: Arc<Streams>,
    kept: Arc<Kept>,
    follow: Arc<Follow>,
    outbox: Arc<Outbox>,
    heard: Mutex<Vec<String>>,
}

/// Pushes a message to all who follow.
async fn publish(streams: &Arc<Streams>, offset: u64) {
    if let Some(follows) = streams.table().of(Uuid::from_u128(1)) {
        streams.push(&follows, &[(offset, frame::text(text(offset).as_str()))], true).await;
    }
}

impl Scene {
    /// Follows a stream whose head is `head` after `after`.
    async fn new(class: Class, head: u64, after: u64, change: impl FnOnce(&mut DeliveryConfig)) -> Self {
        let mut config = DeliveryConfig::default();
        change(&mut config);
        let streams = Streams::new("e".to_owned(), config, DeadLetterBox::default(), 7);
        Actor::spawn(None, Sweeper, Arc::clone(&streams)).await.unwrap();
        let kept = Arc::new(Kept { head: Mutex::new(head), ..Kept::default() });
        let source = Arc::clone(&kept) as _;
        let stream = Uuid::from_u128(1);
        let topic = Arc::new(Topic { stream, name: StreamName::Account, class, owner: None, source });
        let outbox = Arc::new(Outbox::new(256 << 10));
        let follower = Follower { user: UserId(Uuid::from_u128(1)), device: None };
        let follow = streams.follow(topic, follower, Arc::clone(&outbox)).unwrap();
        streams.begin(&follow, after, head);
        let scene = Self { streams, kept, follow, outbox, heard: Mutex::default() };
        scene.settle().await;
        scene
    }

    /// An event becomes durable and is published.
    async fn publish(&self, offset: u64) {
        *self.kept.head.lock() = offset;
        publish(&self.streams, offset).await;
    }

    /// Lets everything happen that waits for no time to pass.
    async fn settle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// What was heard since this was last asked: `3`, `3x2` for a second attempt, `gap 4-9 shed`, `closed 4408`.
    async fn heard(&self) -> Vec<String> {
        self.settle().await;
        while let std::task::Poll::Ready(Some(batch)) = poll(&self.outbox).await {
            for sent in batch {
                self.heard.lock().push(told(&sent));
            }
        }
        std::mem::take(&mut *self.heard.lock())
    }

    fn ack(&self, upto: u64, also: &[u64]) {
        self.streams.ack(&self.follow, Ack { upto, also, stage: Stage::Applied });
    }
}

async fn poll(outbox: &Outbox) -> std::task::Poll<Option<std::collections::VecDeque<Bytes>>> {
    std::future::poll_fn(|context| std::task::Poll::Ready(outbox.poll_take(context))).await
}

/// What a frame says, in a word.
fn told(sent: &[u8]) -> String {
    let header = match sent[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    if sent[0] & 0xf == 8 {
        return format!("closed {}", u16::from_be_bytes([sent[2], sent[3]]));
    }
    let frames = decode_server(std::str::from_utf8(&sent[header..]).unwrap()).unwrap();
    match &frames[..] {
        [ServerFrame::Message(message)] => match message.attempt {
            None => message.offset.to_string(),
            Some(attempt) => format!("{}x{attempt}", message.offset),
        },
        [ServerFrame::Gap(gap)] => format!("gap {}-{} {:?}", gap.from, gap.to, gap.reason).to_lowercase(),
        other => panic!("{other:?}"),
    }
}

fn numbers(offsets: std::ops::RangeInclusive<u64>) -> Vec<String> {
    offsets.map(|offset| offset.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_published_while_behind_is_spliced_without_repeats() {
    let scene = Scene::new(Class::Money, 5, 2, |_| {}).await;
    scene.publish(6).await;
    assert_eq!(scene.heard().await, ["3", "4", "5", "6"]);
    publish(&scene.streams, 6).await;
    assert_eq!(scene.heard().await, [""; 0], "a repeat");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_at_the_head_needs_no_reading() {
    let scene = Scene::new(Class::Money, 5, 5, |_| {}).await;
    scene.publish(6).await;
    assert_eq!(scene.heard().await, ["6"]);
    assert_eq!(*scene.kept.reads.lock(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_never_passed() {
    let scene = Scene::new(Class::Money, 0, 0, |_| {}).await;
    scene.publish(1).await;
    // 2 and 3 are durable, and somebody failed to publish 2.
    scene.publish(3).await;
    scene.publish(4).await;
    assert_eq!(scene.heard().await, ["1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn what_retention_has_taken_is_a_gap_that_is_said() {
    let scene = Scene::new(Class::Chat, 9, 9, |_| {}).await;
    *scene.kept.floor.lock() = 11;
    scene.publish(13).await;
    assert_eq!(scene.heard().await, ["gap 10-11 expired", "12", "13"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_window_pauses_and_acknowledgements_let_it_go_on() {
    let scene = Scene::new(Class::Money, 0, 0, |config| config.money.window = 8).await;
    for offset in 1..=30 {
        scene.publish(offset).await;
    }
    assert_eq!(scene.heard().await, numbers(1..=8));
    scene.ack(1, &[]);
    assert_eq!(scene.heard().await, [""; 0], "one place is not worth a read");
    scene.ack(1, &[8]);
    assert_eq!(scene.heard().await, ["9", "10"]);
    scene.ack(10, &[]);
    assert_eq!(scene.heard().await, numbers(11..=18));
    scene.ack(18, &[]);
    scene.heard().await;
    scene.ack(26, &[]);
    assert_eq!(scene.heard().await, numbers(27..=30));
    scene.ack(30, &[]);
    scene.publish(31).await;
    let reads = scene.kept.reads.lock().len();
    scene.publish(32).await;
    assert_eq!(scene.heard().await, ["31", "32"]);
    assert_eq!(scene.kept.reads.lock().len(), reads, "it is live again");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_acknowledged_comes_again_and_then_the_session_ends() {
    let scene = Scene::new(Class::Money, 0, 0, |_| {}).await;
    scene.publish(1).await;
    scene.publish(2).await;
    assert_eq!(scene.heard().await, ["1", "2"]);
    let mut all = Vec::new();
    for _ in 0..200 {
        tokio::time::advance(Duration::from_millis(500)).await;
        all.extend(scene.heard().await);
    }
    let of = |offset: &str| all.iter().filter(|told| told.starts_with(offset)).cloned().collect::<Vec<_>>();
    assert_eq!(of("1x"), ["1x2", "1x3", "1x4"]);
    assert_eq!(of("2x"), ["2x2", "2x3", "2x4"]);
    assert_eq!(all.last().map(String::as_str), Some("closed 4408"));
    assert_eq!(all.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_dead_message_is_passed_only_when_it_is_written_down_and_others_go_on() {
    let scene = Scene::new(Class::Money, 0, 0, |config| config.money.window = 4).await;
    for offset in 1..=3 {
        scene.publish(offset).await;
    }
    scene.ack(0, &[2, 3]);
    let mut all = Vec::new();
    for _ in 0..200 {
        tokio::time::advance(Duration::from_millis(500)).await;
        all.extend(scene.heard().await);
    }
    assert_eq!(all, ["1", "2", "3", "1x2", "1x3", "1x4"]);
    // Nobody writes dead letters here.
    assert_eq!(scene.follow.cursor(), Some(0));
    scene.follow.pass(1);
    assert_eq!(scene.follow.cursor(), Some(3));
    scene.publish(4).await;
    assert_eq!(scene.heard().await, ["4"]);
}

#[tokio::test(start_paused = true)]
async fn chat_is_let_go_under_pressure_and_money_waits() {
    let small = |config: &mut DeliveryConfig| {
        config.chat.outbox_bytes_max = 4 << 10;
        config.money.outbox_bytes_max = 4 << 10;
    };
    let chat = Scene::new(Class::Chat, 0, 0, small).await;
    let money = Scene::new(Class::Money, 0, 0, small).await;
    for offset in 1..=60 {
        chat.publish(offset).await;
        money.publish(offset).await;
    }
    let first = chat.heard().await;
    let fitted = u64::try_from(first.len()).unwrap();
    assert_eq!(first, numbers(1..=fitted));
    assert!((5..60).contains(&fitted), "{fitted}");
    chat.publish(61).await;
    assert_eq!(chat.heard().await, [format!("gap {}-60 shed", fitted + 1), "61".to_owned()]);
    let mut all = money.heard().await;
    tokio::time::advance(Duration::from_secs(1)).await;
    all.extend(money.heard().await);
    assert_eq!(all, numbers(1..=60));
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_said_though_nothing_comes_after_it() {
    let scene = Scene::new(Class::Chat, 0, 0, |config| config.chat.outbox_bytes_max = 4 << 10).await;
    for offset in 1..=60 {
        scene.publish(offset).await;
    }
    let fitted = scene.heard().await.len();
    tokio::time::advance(Duration::from_millis(600)).await;
    assert_eq!(scene.heard().await, [format!("gap {}-60 shed", fitted + 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_let_go_is_read_by_one_that_falls_behind_before_it_is_said() {
    let scene = Scene::new(Class::Chat, 0, 0, |config| config.chat.outbox_bytes_max = 4 << 10).await;
    for offset in 1..=60 {
        scene.publish(offset).await;
    }
    let fitted = scene.heard().await.len() as u64;
    assert!(fitted < 60, "some were let go");
    // Of 61 it is not told.
    scene.publish(62).await;
    assert_eq!(scene.heard().await, numbers(fitted + 1..=62));
}

#[tokio::test(start_paused = true)]
async fn the_buffer_of_one_that_is_behind_is_bounded() {
    let outbox = Arc::new(Outbox::new(1 << 20));
    let slot = outbox.open(Lane::new(Class::Money, 0)).unwrap();
    let policy = Policy::of(Class::Money);
    let at = At { policy: &policy, now: domain::delivery::Millis(0), jitter: 0 };
    for offset in 2..10_000_u64 {
        let offered =
            outbox.lane(slot, |lane, queue| lane.offer(offset, &frame::ping(), at, queue, |_, _| frame::ping()));
        assert_eq!(offered, Some(Offered::Later));
    }
    let spliced = outbox.lane(slot, |lane, queue| (lane.splice(at, queue), lane.heard()));
    assert_eq!(spliced, Some((Spliced::ReadOn, 0)), "1 is missing");
}

#[tokio::test(start_paused = true)]
async fn who_holds_a_lane_that_was_shut_reaches_no_other() {
    let scene = Scene::new(Class::Money, 0, 0, |_| {}).await;
    scene.streams.unfollow(&scene.follow);
    let next =
        scene.streams.follow(Arc::clone(scene.follow.topic()), scene.follow.follower(), Arc::clone(&scene.outbox));
    let next = next.unwrap();
    scene.streams.begin(&next, 0, 0);
    scene.publish(1).await;
    scene.ack(1, &[]);
    assert_eq!((scene.follow.cursor(), next.waiting(), next.cursor()), (None, 1, Some(0)));
    assert_eq!(scene.streams.followers(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_sweeper_looks_at_a_follower_while_something_waits_and_not_longer() {
    let scene = Scene::new(Class::Money, 0, 0, |_| {}).await;
    let looked_at = || scene.streams.waiting().stripes().map(|stripe| stripe.len()).sum::<usize>();
    let swept = async || {
        tokio::time::advance(Duration::from_millis(600)).await;
        scene.settle().await;
    };
    assert_eq!(looked_at(), 0, "nothing was sent");
    scene.publish(1).await;
    scene.publish(2).await;
    assert_eq!(looked_at(), 1, "it is there once");
    scene.ack(1, &[]);
    swept().await;
    assert_eq!(looked_at(), 1, "one is not acknowledged");
    scene.ack(2, &[]);
    assert_eq!(looked_at(), 1, "until the next sweep");
    swept().await;
    assert_eq!(looked_at(), 0);
    scene.publish(3).await;
    assert_eq!(looked_at(), 1, "it comes back");
    scene.streams.unfollow(&scene.follow);
    swept().await;
    assert_eq!(looked_at(), 0, "who does not follow any more is not kept");
    assert_eq!(Arc::strong_count(&scene.follow), 1);
}

#[tokio::test(start_paused = true)]
async fn a_paused_follower_is_looked_at_until_it_goes_on() {
    let scene = Scene::new(Class::Money, 0, 0, |config| config.money.window = 4).await;
    for offset in 1..=100 {
        scene.publish(offset).await;
    }
    // All but the first are applied, until so many are kept behind it that no more are sent.
    let mut last = 0;
    loop {
        let heard = scene.heard().await;
        let Some(told) = heard.last() else { break };
        last = told.parse().unwrap();
        scene.ack(0, &(2..=last).collect::<Vec<_>>());
    }
    assert!(last < 100, "it pauses");
    scene.streams.nack(&scene.follow, 1, None, true, "no");
    assert_eq!(scene.heard().await, [""; 0], "nothing is passed before the letter is written");
    // The letter is written while a sweep is under way: after the look at this follower, before its end.
    scene.follow.pass(1);
    scene.streams.waiting().release();
    tokio::time::advance(Duration::from_millis(600)).await;
    assert_eq!(scene.heard().await.first(), Some(&(last + 1).to_string()));
}
