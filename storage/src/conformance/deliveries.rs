//! What every deliveries store must do. Each check wants a fresh store; [`all`] runs them all.
#![allow(clippy::unwrap_used, reason = "a suite says that it failed by panicking")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::delivery::Class;
use domain::ids::{DeviceId, TransferId, UserId};
use domain::time::Timestamp;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::deliveries::{
    Cursor, CursorPut, CursorWrite, DEVICE_AGE_MAX, DEVICES_PER_USER_MAX, DeadLetter, DeadLetterFilter, DeadLetterId,
    Deliveries, Device, NAME_BYTES_MAX, PAGE_MAX, READ_ALSO_MAX, RESOLVED_AGE_MAX, ReadMark, Reason, SCAN_MAX,
    STREAMS_PER_DEVICE_MAX, TEXT_BYTES_MAX,
};

/// A time to count from.
const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

/// Runs every check, each on a store of its own that `fresh` makes.
pub async fn all(fresh: impl AsyncFn() -> Arc<dyn Deliveries>) {
    cursors_only_move_forward(fresh().await).await;
    cursors_hold_under_concurrency(fresh().await).await;
    devices_have_one_id_a_name(fresh().await).await;
    devices_and_streams_are_bounded(fresh().await).await;
    devices_are_forgotten(fresh().await).await;
    dead_letters_are_kept_and_listed(fresh().await).await;
    dead_letters_of_deliveries_are_found_and_resolved(fresh().await).await;
    long_lists_are_read_in_parts(fresh().await).await;
    read_marks_only_grow(fresh().await).await;
}

async fn read_marks_only_grow(deliveries: Arc<dyn Deliveries>) {
    let stream = Uuid::from_u128(9);
    let mark = |upto, also: &[u64]| ReadMark { upto, also: also.to_vec() };
    assert_eq!(deliveries.read_mark(user(1), stream).await.unwrap(), mark(0, &[]));
    for (upto, also, after) in [
        (3, vec![7, 5], mark(3, &[5, 7])),
        (1, vec![7, 2], mark(3, &[5, 7])),
        (4, vec![], mark(5, &[7])),
        (0, vec![6], mark(7, &[])),
    ] {
        assert_eq!(deliveries.mark_read(user(1), stream, upto, also).await.unwrap(), after);
        assert_eq!(deliveries.read_mark(user(1), stream).await.unwrap(), after);
    }
    let most = u64::try_from(READ_ALSO_MAX).unwrap();
    let many = (0..=most).map(|number| 100 + 2 * number).collect();
    let bounded = deliveries.mark_read(user(1), stream, 0, many).await.unwrap();
    assert_eq!((bounded.upto, bounded.also.len()), (100, READ_ALSO_MAX));
    assert_eq!(deliveries.read_mark(user(2), stream).await.unwrap(), mark(0, &[]), "a mark is one person's");
    deliveries.forget_user(user(1)).await.unwrap();
    assert_eq!(deliveries.read_mark(user(1), stream).await.unwrap(), mark(0, &[]));
}

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

fn id(number: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(number))
}

fn seconds(count: usize) -> Timestamp {
    NOW.after(Duration::from_secs(u64::try_from(count).unwrap()))
}

/// A cursor of person 1.
fn write(device: u128, stream: u128, epoch: &str, offset: u64, at: Timestamp) -> CursorWrite {
    let cursor = Cursor { epoch: epoch.to_owned(), offset, at };
    CursorWrite { user: user(1), device: id(device), stream: Uuid::from_u128(stream), cursor }
}

async fn put(deliveries: &Arc<dyn Deliveries>, write: CursorWrite) -> CursorPut {
    let [outcome] = deliveries.put_cursors(vec![write]).await.unwrap()[..] else { return CursorPut::Forgotten };
    outcome
}

async fn offset(deliveries: &Arc<dyn Deliveries>, device: u128, stream: u128) -> Option<u64> {
    let cursor = deliveries.cursor(user(1), id(device), Uuid::from_u128(stream)).await.unwrap();
    cursor.map(|cursor| cursor.offset)
}

async fn cursors_only_move_forward(deliveries: Arc<dyn Deliveries>) {
    assert_eq!(put(&deliveries, write(1, 1, "e", 5, NOW)).await, CursorPut::Forgotten, "no such device");
    deliveries.device(user(1), "phone", id(1), NOW).await.unwrap();
    assert_eq!(offset(&deliveries, 1, 1).await, None);
    assert_eq!(put(&deliveries, write(1, 1, "e", 5, NOW)).await, CursorPut::Written);
    assert_eq!(put(&deliveries, write(1, 1, "e", 5, NOW.next())).await, CursorPut::Behind);
    assert_eq!(put(&deliveries, write(1, 1, "e", 4, NOW.next())).await, CursorPut::Behind);
    assert_eq!(offset(&deliveries, 1, 1).await, Some(5));
    let many =
        vec![write(1, 1, "e", 9, NOW), write(1, 2, "e", 1, NOW), write(2, 1, "e", 1, NOW), write(1, 1, "e", 7, NOW)];
    let outcomes = deliveries.put_cursors(many).await.unwrap();
    assert_eq!(outcomes, [CursorPut::Written, CursorPut::Written, CursorPut::Forgotten, CursorPut::Behind]);
    assert_eq!((offset(&deliveries, 1, 1).await, offset(&deliveries, 1, 2).await), (Some(9), Some(1)));

    // The streams began a new life, whose offsets are lower.
    assert_eq!(put(&deliveries, write(1, 1, "f", 2, NOW)).await, CursorPut::Behind, "not later");
    assert_eq!(put(&deliveries, write(1, 1, "f", 2, NOW.next())).await, CursorPut::Written);
    assert_eq!(put(&deliveries, write(1, 1, "e", 100, NOW)).await, CursorPut::Behind, "a late write of the old life");
    let cursor = deliveries.cursor(user(1), id(1), Uuid::from_u128(1)).await.unwrap().unwrap();
    assert_eq!(cursor, Cursor { epoch: "f".to_owned(), offset: 2, at: NOW.next() });
    assert!(deliveries.put_cursors(vec![write(1, 1, &"e".repeat(NAME_BYTES_MAX + 1), 1, NOW)]).await.is_err());
    assert_eq!(deliveries.put_cursors(Vec::new()).await.unwrap(), []);
}

async fn cursors_hold_under_concurrency(deliveries: Arc<dyn Deliveries>) {
    deliveries.device(user(1), "phone", id(1), NOW).await.unwrap();
    let mut writers = JoinSet::new();
    for start in 1..=8_u64 {
        let deliveries = Arc::clone(&deliveries);
        writers.spawn(async move {
            // Each writes every offset once, each from another start.
            let mut seen = 0;
            for step in 0..32 {
                let new = (start * 4 + step) % 32 + 1;
                put(&deliveries, write(1, 1, "e", new, NOW)).await;
                let now = offset(&deliveries, 1, 1).await.unwrap();
                assert!(now >= new && now >= seen, "{new} was answered as durable, and {seen} was seen: {now}");
                seen = now;
            }
        });
    }
    writers.join_all().await;
    assert_eq!(offset(&deliveries, 1, 1).await, Some(32));
}

async fn devices_have_one_id_a_name(deliveries: Arc<dyn Deliveries>) {
    let mut tries = JoinSet::new();
    for number in 1..=50 {
        let deliveries = Arc::clone(&deliveries);
        tries.spawn(async move { deliveries.device(user(1), "phone", id(number), NOW).await.unwrap() });
    }
    let seen = tries.join_all().await;
    assert_eq!(seen.iter().filter(|seen| seen.is_new).count(), 1, "to one of them it is new");
    let ids: HashSet<DeviceId> = seen.into_iter().map(|seen| seen.device.id).collect();
    assert_eq!(ids.len(), 1);
    let other = deliveries.device(user(2), "phone", id(100), NOW).await.unwrap();
    assert_eq!((other.device.id, other.is_new), (id(100), true), "another person's device of the same name");
    let second = deliveries.device(user(1), "tablet", id(101), NOW).await.unwrap().device;
    assert_eq!((second.id, second.first_seen, second.last_seen), (id(101), NOW, NOW));
    assert_eq!(deliveries.devices(user(1)).await.unwrap().len(), 2);
    for name in ["", &"x".repeat(NAME_BYTES_MAX + 1)] {
        assert!(deliveries.device(user(1), name, id(102), NOW).await.is_err());
    }
    assert_eq!(deliveries.device(user(1), &"x".repeat(NAME_BYTES_MAX), id(103), NOW).await.unwrap().device.id, id(103));
}

async fn devices_and_streams_are_bounded(deliveries: Arc<dyn Deliveries>) {
    const HOUR: usize = 3_600;
    for number in 1..=DEVICES_PER_USER_MAX {
        let device = id(u128::try_from(number).unwrap());
        let seen = deliveries.device(user(1), &format!("d{number}"), device, seconds(number)).await.unwrap();
        assert_eq!((seen.is_new, seen.forgotten), (true, None));
    }
    assert_eq!(put(&deliveries, write(1, 1, "e", 1, seconds(HOUR + 1))).await, CursorPut::Written);
    assert_eq!(put(&deliveries, write(2, 1, "e", 1, seconds(2))).await, CursorPut::Written);
    let seen = deliveries.device(user(1), "one more", id(100), seconds(HOUR + 2)).await.unwrap();
    let gone = Device { id: id(2), first_seen: seconds(2), last_seen: seconds(2) };
    assert_eq!((seen.is_new, seen.forgotten), (true, Some(gone)), "it is said which made room");
    let again = deliveries.device(user(1), "one more", id(101), seconds(2 * HOUR + 2)).await.unwrap();
    assert_eq!((again.device.id, again.is_new, again.forgotten), (id(100), false, None));
    let devices = deliveries.devices(user(1)).await.unwrap();
    assert_eq!(devices.len(), DEVICES_PER_USER_MAX);
    assert_eq!((devices[0].id, devices[1].id), (id(100), id(1)), "an acknowledgement is a sign of life");
    assert!(devices.iter().all(|device| device.id != id(2)), "seen longest ago");
    assert_eq!(offset(&deliveries, 2, 1).await, None, "its cursors went with it");
    assert_eq!(offset(&deliveries, 1, 1).await, Some(1));

    let at = seconds(2 * HOUR);
    let full = (0..STREAMS_PER_DEVICE_MAX).map(|number| {
        write(
            100,
            1_000 + u128::try_from(number).unwrap(),
            "e",
            1,
            at.after(Duration::from_secs(u64::try_from(number).unwrap())),
        )
    });
    assert!(deliveries.put_cursors(full.collect()).await.unwrap().iter().all(|put| *put == CursorPut::Written));
    let late = seconds(3 * HOUR);
    assert_eq!(put(&deliveries, write(100, 1_000, "e", 2, late)).await, CursorPut::Written);
    assert_eq!(put(&deliveries, write(100, 1, "e", 1, late)).await, CursorPut::Written);
    assert_eq!(offset(&deliveries, 100, 1_001).await, None, "written longest ago");
    assert_eq!(offset(&deliveries, 100, 1_000).await, Some(2));
    assert_eq!(offset(&deliveries, 100, 1_002).await, Some(1));
}

async fn devices_are_forgotten(deliveries: Arc<dyn Deliveries>) {
    for number in 1..=5 {
        let at = NOW.after(Duration::from_secs(number));
        deliveries.device(user(1), &format!("d{number}"), id(u128::from(number)), at).await.unwrap();
    }
    put(&deliveries, write(1, 1, "e", 5, NOW)).await;
    let due = NOW.after(DEVICE_AGE_MAX).after(Duration::from_secs(3)).next();
    assert_eq!(deliveries.sweep_devices(due, 2).await.unwrap(), 2);
    assert_eq!(deliveries.sweep_devices(due, 2).await.unwrap(), 1);
    assert_eq!(deliveries.sweep_devices(due, 2).await.unwrap(), 0);
    let left: Vec<DeviceId> = deliveries.devices(user(1)).await.unwrap().iter().map(|device| device.id).collect();
    assert_eq!(left, [id(5), id(4)]);
    assert_eq!(offset(&deliveries, 1, 1).await, None);
    assert_eq!(put(&deliveries, write(1, 1, "e", 6, due)).await, CursorPut::Forgotten);
    let back = deliveries.device(user(1), "d1", id(50), due).await.unwrap().device;
    assert_eq!((back.id, back.first_seen), (id(50), due), "a forgotten device is a new one");

    deliveries.device(user(2), "phone", id(60), NOW).await.unwrap();
    deliveries.forget_user(user(1)).await.unwrap();
    deliveries.forget_user(user(1)).await.unwrap();
    assert_eq!(deliveries.devices(user(1)).await.unwrap(), []);
    assert_eq!(deliveries.devices(user(2)).await.unwrap().len(), 1);
}

/// A dead letter number `number`.
fn letter(number: u128, reason: Reason) -> DeadLetter {
    DeadLetter {
        id: DeadLetterId(Uuid::from_u128(number)),
        reason,
        stream: Some(Uuid::from_u128(1)),
        user: Some(user(1)),
        device: None,
        offsets: Some((4, 4)),
        transfer: Some(TransferId(Uuid::from_u128(9))),
        attempts: 5,
        last_error: "payee_closed".to_owned(),
        detail: "amount_minor=100".to_owned(),
        first_at: NOW,
        last_at: NOW,
        class: None,
        redrive: false,
        resolved_at: None,
    }
}

async fn dead_letters_are_kept_and_listed(deliveries: Arc<dyn Deliveries>) {
    for number in 1..=150 {
        let reason = if number % 3 == 0 { Reason::Suspense } else { Reason::Unserved };
        assert!(deliveries.put_dead_letter(letter(number, reason)).await.unwrap());
    }
    let all = DeadLetterFilter::default();
    let only = |reason| DeadLetterFilter { reason: Some(reason), ..DeadLetterFilter::default() };
    let suspense = only(Reason::Suspense);
    let list = async |filter, before: Option<u128>, limit| {
        let before = before.map(|number| DeadLetterId(Uuid::from_u128(number)));
        let letters = deliveries.dead_letters(filter, before, limit).await.unwrap();
        letters.letters.iter().map(|letter| letter.id.0.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(list(all, None, 3).await, [150, 149, 148]);
    assert_eq!(list(all, Some(148), 2).await, [147, 146]);
    assert_eq!(list(all, Some(1), 2).await, [0_u128; 0]);
    assert_eq!(list(all, None, 1_000).await.len(), PAGE_MAX);
    assert_eq!(list(suspense, None, 2).await, [150, 147]);
    assert_eq!(list(suspense, Some(147), 2).await, [144, 141]);
    assert_eq!(list(only(Reason::Quarantined), None, 9).await, [0_u128; 0]);

    let first = letter(3, Reason::Suspense);
    assert_eq!(deliveries.dead_letter(first.id).await.unwrap(), Some(first.clone()));
    let grown = DeadLetter { offsets: Some((4, 8)), attempts: 9, last_at: NOW.next(), ..first.clone() };
    assert!(deliveries.put_dead_letter(grown.clone()).await.unwrap());
    assert!(!deliveries.put_dead_letter(first.clone()).await.unwrap(), "an older form comes late");
    assert_eq!(deliveries.dead_letter(first.id).await.unwrap(), Some(grown.clone()));
    let other = DeadLetter { reason: Reason::Quarantined, ..grown };
    deliveries.put_dead_letter(other).await.unwrap();
    assert_eq!(list(only(Reason::Quarantined), None, 9).await, [3]);
    assert!(!list(suspense, Some(4), 9).await.contains(&3));

    let long =
        DeadLetter { last_error: "न".repeat(1_000), detail: "x".repeat(5_000), ..letter(500, Reason::Refused) };
    deliveries.put_dead_letter(long.clone()).await.unwrap();
    let cut = deliveries.dead_letter(long.id).await.unwrap().unwrap();
    assert!(cut.last_error.len() <= TEXT_BYTES_MAX && long.last_error.starts_with(&cut.last_error));
    assert_eq!(cut.detail.len(), TEXT_BYTES_MAX);

    assert!(deliveries.remove_dead_letter(long.id).await.unwrap());
    assert!(!deliveries.remove_dead_letter(long.id).await.unwrap());
    assert_eq!(deliveries.dead_letter(long.id).await.unwrap(), None);
    assert_eq!(list(only(Reason::Refused), None, 9).await, [0_u128; 0]);
}

/// A letter of a delivery to person `whose`.
fn undelivered(number: u128, whose: u128, stream: u128, class: Class) -> DeadLetter {
    let (user, stream) = (Some(user(whose)), Some(Uuid::from_u128(stream)));
    DeadLetter { user, stream, class: Some(class), transfer: None, ..letter(number, Reason::Refused) }
}

async fn dead_letters_of_deliveries_are_found_and_resolved(deliveries: Arc<dyn Deliveries>) {
    let put = async |letter: DeadLetter| assert!(deliveries.put_dead_letter(letter).await.unwrap());
    put(undelivered(1, 1, 1, Class::Money)).await;
    put(undelivered(2, 1, 2, Class::Notice)).await;
    put(undelivered(3, 2, 1, Class::Money)).await;
    put(DeadLetter { reason: Reason::Deadline, ..undelivered(4, 1, 1, Class::Money) }).await;
    let any = DeadLetterFilter::default();
    let list = async |filter| {
        let page = deliveries.dead_letters(filter, None, 10).await.unwrap();
        page.letters.iter().map(|letter| letter.id.0.as_u128()).collect::<Vec<_>>()
    };
    let open = async |whose, stream| {
        let letters = deliveries.open_dead_letters(user(whose), Uuid::from_u128(stream)).await.unwrap();
        letters.iter().map(|letter| letter.id.0.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(list(DeadLetterFilter { user: Some(user(1)), ..any }).await, [4, 2, 1]);
    assert_eq!(list(DeadLetterFilter { class: Some(Class::Money), ..any }).await, [4, 3, 1]);
    let both = DeadLetterFilter { class: Some(Class::Money), reason: Some(Reason::Refused), ..any };
    assert_eq!(list(both).await, [3, 1]);
    assert_eq!(list(DeadLetterFilter { user: Some(user(1)), ..both }).await, [1]);
    assert_eq!((open(1, 1).await, open(1, 2).await, open(2, 1).await), (vec![1, 4], vec![2], vec![3]));

    // Resolved: not open any more, and kept for a while.
    let resolved =
        DeadLetter { resolved_at: Some(NOW.next()), last_at: NOW.next(), ..undelivered(1, 1, 1, Class::Money) };
    put(resolved.clone()).await;
    assert_eq!(deliveries.dead_letter(resolved.id).await.unwrap(), Some(resolved));
    assert_eq!(open(1, 1).await, [4]);
    assert_eq!(list(DeadLetterFilter { open: true, class: Some(Class::Money), ..any }).await, [4, 3]);
    assert_eq!(list(DeadLetterFilter { class: Some(Class::Money), ..any }).await, [4, 3, 1]);
    assert_eq!(deliveries.sweep_dead_letters(NOW.after(RESOLVED_AGE_MAX), 10).await.unwrap(), 0);
    assert_eq!(deliveries.sweep_dead_letters(NOW.after(RESOLVED_AGE_MAX).next().next(), 10).await.unwrap(), 1);
    assert_eq!(list(any).await, [4, 3, 2]);

    assert!(deliveries.remove_dead_letter(DeadLetterId(Uuid::from_u128(2))).await.unwrap());
    assert_eq!(open(1, 2).await, [0_u128; 0]);
    deliveries.forget_user(user(1)).await.unwrap();
    assert_eq!((list(any).await, open(1, 1).await), (vec![3], Vec::new()));
}

async fn long_lists_are_read_in_parts(deliveries: Arc<dyn Deliveries>) {
    let many = u128::try_from(SCAN_MAX).unwrap() + 10;
    for number in 1..=many {
        let class = if number == 5 { Class::Chat } else { Class::Money };
        deliveries.put_dead_letter(undelivered(number, 1, 1, class)).await.unwrap();
    }
    let filter = DeadLetterFilter { user: Some(user(1)), class: Some(Class::Chat), ..DeadLetterFilter::default() };
    let first = deliveries.dead_letters(filter, None, 10).await.unwrap();
    assert_eq!((first.letters.len(), first.next), (0, Some(DeadLetterId(Uuid::from_u128(11)))));
    let second = deliveries.dead_letters(filter, first.next, 10).await.unwrap();
    assert_eq!((second.letters.len(), second.next), (1, None));
    let all = deliveries.dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap();
    assert_eq!(all.next, Some(DeadLetterId(Uuid::from_u128(many - 9))));
}
