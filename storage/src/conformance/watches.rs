//! What every store of watches must do. Each check wants a fresh store; [`all`] runs them all.
#![allow(clippy::unwrap_used, reason = "a suite says that it failed by panicking")]

use std::sync::Arc;
use std::time::Duration;

use domain::delivery::Class;
use domain::ids::{DeviceId, ShardId, UserId};
use domain::time::Timestamp;
use uuid::Uuid;

use crate::deliveries::Reason;
use crate::journal::{JournalKey, Slot, Space};
use crate::watches::{
    BATCH_MAX, Passage, Subscriber, TIMELINE_AGE_MAX, TimelineStep, TimelineWrite, Watch, WatchChange, Watches,
};

/// A time to count from.
const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

/// Runs every check, each on a store of its own that `fresh` makes.
pub async fn all(fresh: impl AsyncFn() -> Arc<dyn Watches>) {
    subscribers_are_found_by_stream(fresh().await).await;
    watches_come_when_they_are_due(fresh().await).await;
    what_was_noted_is_kept_with_what_it_led_to(fresh().await).await;
    timelines_join_in_any_order(fresh().await).await;
    timelines_are_kept_for_a_while(fresh().await).await;
    timelines_can_be_moved(&fresh).await;
    a_person_is_forgotten(fresh().await).await;
}

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

fn stream(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn subscriber(whose: u128, of: u128) -> Subscriber {
    Subscriber { user: user(whose), stream: stream(of), class: Class::Money }
}

fn seconds(count: u64) -> Timestamp {
    NOW.after(Duration::from_secs(count))
}

fn watch(whose: u128, of: u128, due: Timestamp) -> Watch {
    Watch {
        subscriber: subscriber(whose, of),
        epoch: "e".to_owned(),
        through: 4,
        found: Vec::new(),
        due,
        unsaid: None,
        escalated_at: None,
    }
}

async fn subscribers_are_found_by_stream(watches: Arc<dyn Watches>) {
    let notice = Subscriber { class: Class::Notice, ..subscriber(1, 2) };
    for subscriber in [subscriber(1, 1), notice, subscriber(1, 1)] {
        watches.subscribe(subscriber).await.unwrap();
    }
    let found = watches.subscribers([2, 3, 1].map(stream).into()).await.unwrap();
    assert_eq!(found, [Some(notice), None, Some(subscriber(1, 1))]);
    assert_eq!(watches.subscribers(Vec::new()).await.unwrap(), []);
    assert!(watches.subscribers(vec![stream(1); BATCH_MAX + 1]).await.is_err());
    watches.change_watches(vec![WatchChange::Forget(user(1), stream(1))], Vec::new()).await.unwrap();
    assert_eq!(watches.subscribers(vec![stream(1), stream(2)]).await.unwrap(), [None, Some(notice)]);
}

async fn due(watches: &Arc<dyn Watches>, now: Timestamp, max: usize) -> Vec<u128> {
    let due = watches.due_watches(now, max).await.unwrap();
    due.iter().map(|watch| watch.subscriber.stream.as_u128()).collect()
}

async fn watches_come_when_they_are_due(watches: Arc<dyn Watches>) {
    let put = |watch: Watch| WatchChange::Put(watch);
    let changes = vec![put(watch(1, 1, seconds(30))), put(watch(1, 2, seconds(10))), put(watch(2, 3, seconds(20)))];
    watches.change_watches(changes, Vec::new()).await.unwrap();
    assert_eq!(due(&watches, seconds(9), 9).await, [0_u128; 0]);
    assert_eq!(due(&watches, seconds(10), 9).await, [2]);
    assert_eq!(due(&watches, seconds(99), 9).await, [2, 3, 1]);
    assert_eq!(due(&watches, seconds(99), 2).await, [2, 3]);

    // Another due time takes the place of the one before; an end takes both.
    let later = Watch {
        through: 9,
        found: vec![11, 12],
        unsaid: Some((5, 9)),
        escalated_at: Some(NOW),
        ..watch(1, 2, seconds(40))
    };
    let changes = vec![put(later.clone()), WatchChange::End(user(2), stream(3)), WatchChange::End(user(9), stream(9))];
    watches.change_watches(changes, Vec::new()).await.unwrap();
    assert_eq!(due(&watches, seconds(99), 9).await, [1, 2]);
    let found = watches.watches(vec![(user(1), stream(2)), (user(2), stream(3))]).await.unwrap();
    assert_eq!(found, [Some(later), None]);
}

async fn what_was_noted_is_kept_with_what_it_led_to(watches: Arc<dyn Watches>) {
    assert_eq!(watches.noted().await.unwrap(), []);
    let key = |space, shard| JournalKey { space, shard: ShardId(shard) };
    let (money, rooms) = (key(Space::Ledger, 3), key(Space::Rooms, 3));
    let changes = vec![WatchChange::Put(watch(1, 1, NOW))];
    watches.change_watches(changes, vec![(money, Slot(5)), (rooms, Slot(7))]).await.unwrap();
    watches.change_watches(Vec::new(), vec![(money, Slot(6))]).await.unwrap();
    let mut noted = watches.noted().await.unwrap();
    noted.sort_unstable();
    assert_eq!(noted, [(money, Slot(6)), (rooms, Slot(7))]);
    assert_eq!(due(&watches, NOW, 9).await, [1]);
}

fn write(offset: u64, at: Timestamp, step: TimelineStep) -> TimelineWrite {
    TimelineWrite { user: user(1), stream: stream(1), offset, at, step }
}

fn passage(device: Option<u128>, sent: u64) -> Passage {
    let device = device.map(|number| DeviceId(Uuid::from_u128(number)));
    Passage { device, sent_at: seconds(sent), attempts: 1, received_at: None, applied_at: None, dead: None }
}

async fn timelines_join_in_any_order(watches: Arc<dyn Watches>) {
    let first = Passage { attempts: 3, dead: Some((seconds(9), Reason::Refused.number())), ..passage(Some(7), 1) };
    let second = Passage { applied_at: Some(seconds(50)), received_at: Some(seconds(40)), ..passage(Some(7), 30) };
    let other = passage(None, 5);
    let day = Duration::from_hours(24);
    let steps = vec![
        write(12, NOW, TimelineStep::Passed(first)),
        write(12, NOW, TimelineStep::Dead(seconds(20))),
        write(12, NOW, TimelineStep::Passed(other)),
        write(12, NOW.after(day), TimelineStep::Passed(second)),
        write(12, NOW.after(day), TimelineStep::Escalated(seconds(22))),
        write(12, NOW.after(day), TimelineStep::Dead(seconds(21))),
        write(13, NOW, TimelineStep::Passed(other)),
    ];
    let (forwards, backwards) = (steps.clone(), steps.into_iter().rev().collect::<Vec<_>>());
    for steps in [forwards, backwards] {
        watches.put_timelines(steps).await.unwrap();
        let found = watches.timeline(user(1), stream(1), 12).await.unwrap().unwrap();
        assert_eq!((found.dead_at, found.escalated_at), (Some(seconds(20)), Some(seconds(22))));
        let mut passages = found.passages;
        passages.sort_by_key(|passage| passage.device);
        let joined = Passage { dead: first.dead, sent_at: seconds(1), attempts: 3, ..second };
        assert_eq!(passages, [other, joined]);
    }
    assert_eq!(watches.timeline(user(1), stream(1), 14).await.unwrap(), None);
    assert_eq!(watches.timeline(user(2), stream(1), 12).await.unwrap(), None);
    assert!(watches.put_timelines(vec![write(1, NOW, TimelineStep::Dead(NOW)); BATCH_MAX + 1]).await.is_err());
}

async fn timelines_are_kept_for_a_while(watches: Arc<dyn Watches>) {
    let day = Duration::from_hours(24);
    watches.put_timelines(vec![write(1, NOW, TimelineStep::Dead(NOW))]).await.unwrap();
    watches.put_timelines(vec![write(2, NOW.after(day), TimelineStep::Dead(NOW))]).await.unwrap();
    let later = NOW.after(TIMELINE_AGE_MAX).after(day);
    watches.put_timelines(vec![write(3, later, TimelineStep::Dead(NOW))]).await.unwrap();
    let is_there = async |offset| watches.timeline(user(1), stream(1), offset).await.unwrap().is_some();
    assert_eq!((is_there(1).await, is_there(2).await, is_there(3).await), (false, true, true));
}

/// Pages of one store, written to the next that is made.
async fn timelines_can_be_moved(fresh: &impl AsyncFn() -> Arc<dyn Watches>) {
    const MESSAGES: u64 = 700;
    let day = Duration::from_hours(24);
    let of = |whose, of, offset, days, step| TimelineWrite {
        user: user(whose),
        stream: stream(of),
        ..write(offset, NOW.after(day * days), step)
    };
    let mut steps = Vec::new();
    for offset in 1..=MESSAGES {
        for (number, days) in [(1, 0), (2, 0), (1, 2)] {
            let passed = Passage { applied_at: Some(seconds(offset)), ..passage(Some(u128::from(days)), offset) };
            steps.push(of(1, number, offset, days, TimelineStep::Passed(passed)));
        }
    }
    steps.push(of(1, 1, 5, 1, TimelineStep::Dead(seconds(1))));
    steps.push(of(1, 1, 5, 2, TimelineStep::Escalated(seconds(2))));
    steps.push(of(2, 3, 1, 0, TimelineStep::Dead(seconds(3))));
    let from = fresh().await;
    for steps in steps.chunks(BATCH_MAX) {
        from.put_timelines(steps.to_vec()).await.unwrap();
    }
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = from.timelines(user(1), after).await.unwrap();
        assert!(page.steps.len() <= BATCH_MAX && page.steps.iter().all(|step| step.user == user(1)));
        pages.push(page.steps);
        let Some(next) = page.next else { break };
        assert_ne!(Some(next), after, "it goes on");
        after = Some(next);
    }
    let messages = || [1, 2].into_iter().flat_map(|number| (0..=MESSAGES + 1).map(move |offset| (number, offset)));
    let mut were = Vec::new();
    for (number, offset) in messages() {
        let was = from.timeline(user(1), stream(number), offset).await.unwrap();
        assert_eq!(was.is_some(), (1..=MESSAGES).contains(&offset));
        were.push(was);
    }

    let to = fresh().await;
    assert_eq!(to.timelines(user(1), None).await.unwrap().steps, []);
    for page in pages {
        to.put_timelines(page).await.unwrap();
    }
    for ((number, offset), was) in messages().zip(were) {
        assert_eq!(to.timeline(user(1), stream(number), offset).await.unwrap(), was);
    }
    assert_eq!(to.timeline(user(2), stream(3), 1).await.unwrap(), None, "nobody else's");
}

async fn a_person_is_forgotten(watches: Arc<dyn Watches>) {
    for (whose, of) in [(1, 1), (1, 2), (2, 3)] {
        watches.subscribe(subscriber(whose, of)).await.unwrap();
        let change = WatchChange::Put(watch(whose, of, NOW));
        watches.change_watches(vec![change], Vec::new()).await.unwrap();
        let step = TimelineWrite { user: user(whose), stream: stream(of), ..write(1, NOW, TimelineStep::Dead(NOW)) };
        watches.put_timelines(vec![step]).await.unwrap();
    }
    watches.forget_watches(user(1)).await.unwrap();
    watches.forget_watches(user(1)).await.unwrap();
    let found = watches.subscribers([1, 2, 3].map(stream).into()).await.unwrap();
    assert_eq!(found, [None, None, Some(subscriber(2, 3))]);
    assert_eq!(due(&watches, NOW, 9).await, [3]);
    assert_eq!(watches.timeline(user(1), stream(1), 1).await.unwrap(), None);
    assert!(watches.timeline(user(2), stream(3), 1).await.unwrap().is_some());
}
