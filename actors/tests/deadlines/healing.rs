//! What is owed is found whatever ends, and nothing else is.

use std::sync::atomic::Ordering;
use std::time::Duration;

use storage::deliveries::Reason;

use crate::scene::{DEADLINE, PHONE, Scene, TABLET};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(start_paused = true)]
async fn what_nobody_applies_is_dead_at_its_deadline_and_told_once() {
    let scene = Scene::new().await;
    scene.subscribed(PHONE, 0).await;
    scene.message().await;
    scene.pass(14 * MINUTE + 59 * SECOND).await;
    assert_eq!((scene.dead(), scene.told.ranges()), (None, vec![]));
    scene.pass(2 * SECOND).await;
    assert_eq!((scene.dead(), scene.told.ranges()), (Some((1, 1)), vec![(1, 1)]));
    scene.done(true).await;
    let timeline = scene.timeline(1).await;
    assert!(timeline.dead_at.is_some() && timeline.escalated_at >= timeline.dead_at);
    scene.pass(10 * DEADLINE).await;
    assert_eq!(scene.told.ranges(), [(1, 1)]);
    assert_eq!(scene.store.watched(), 0, "there is nothing left to look at");
}

#[tokio::test(start_paused = true)]
async fn the_letter_grows_and_there_is_one_escalation_a_deadline() {
    let scene = Scene::new().await;
    scene.subscribed(PHONE, 0).await;
    for _ in 0..5 {
        scene.message().await;
        scene.pass(MINUTE).await;
    }
    scene.pass(10 * MINUTE + SECOND).await;
    assert_eq!((scene.dead(), scene.told.ranges()), (Some((1, 1)), vec![(1, 1)]));
    scene.done(true).await;
    scene.pass(4 * MINUTE + SECOND).await;
    assert_eq!((scene.dead(), scene.told.ranges()), (Some((1, 5)), vec![(1, 1)]));
    scene.pass(DEADLINE).await;
    assert_eq!((scene.dead(), scene.told.ranges()), (Some((1, 5)), vec![(1, 1), (2, 5)]));
    scene.done(true).await;
    assert_eq!(scene.store.watched(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_never_subscribed_or_has_no_device_any_more_is_owed_nothing() {
    let scene = Scene::new().await;
    scene.message().await;
    scene.pass(2 * DEADLINE).await;
    assert_eq!((scene.dead(), scene.store.watched()), (None, 0));

    scene.subscribed(PHONE, 1).await;
    scene.message().await;
    scene.pass(MINUTE).await;
    assert_eq!(scene.store.watched(), 1);
    scene.store.forget_devices();
    scene.pass(DEADLINE).await;
    assert_eq!((scene.dead(), scene.store.watched(), scene.told.ranges()), (None, 0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_ack_of_any_device_cancels_what_is_pending() {
    let scene = Scene::new().await;
    scene.subscribed(PHONE, 0).await;
    scene.subscribed(TABLET, 0).await;
    let (phone, tablet) = (scene.connect(Some(PHONE)).await, scene.connect(Some(TABLET)).await);
    for _ in 0..3 {
        scene.message().await;
    }
    scene.pass(5 * SECOND).await;
    scene.ack(&tablet, 1, &[]);
    // Beyond a hole, and by another device.
    scene.ack(&phone, 0, &[2, 3]);
    scene.pass(DEADLINE).await;
    assert_eq!((scene.dead(), scene.told.ranges()), (None, vec![]));
    let timeline = scene.timeline(2).await;
    let passage = timeline.passages[0];
    assert_eq!((passage.device, passage.attempts), (Some(PHONE), 1));
    assert!(passage.applied_at > Some(passage.sent_at));
}

#[tokio::test(start_paused = true)]
async fn an_ack_in_the_millisecond_of_the_deadline_is_in_time_and_one_after_it_resolves_the_letter() {
    let scene = Scene::new().await;
    scene.subscribed(PHONE, 0).await;
    let phone = scene.connect(Some(PHONE)).await;
    let silent = scene.connect(None).await;
    // Between two looks.
    scene.pass(SECOND / 4).await;
    scene.message().await;
    scene.pass(MINUTE).await;
    scene.message().await;
    scene.ack(&silent, 0, &[]);
    scene.pass(14 * MINUTE).await;
    scene.ack(&phone, 1, &[]);
    scene.pass(SECOND).await;
    assert_eq!(scene.dead(), None);
    scene.pass(MINUTE).await;
    assert_eq!((scene.dead(), scene.told.ranges()), (Some((2, 2)), vec![(2, 2)]));
    scene.ack(&phone, 2, &[]);
    scene.pass(SECOND).await;
    assert_eq!(scene.dead(), None);
    assert!(scene.store.letters().iter().all(|letter| letter.resolved_at.is_some()));
}

#[tokio::test(start_paused = true)]
async fn what_every_device_refuses_is_dead_at_once() {
    let scene = Scene::new().await;
    scene.subscribed(PHONE, 0).await;
    scene.subscribed(TABLET, 0).await;
    let (phone, tablet) = (scene.connect(Some(PHONE)).await, scene.connect(Some(TABLET)).await);
    scene.message().await;
    scene.message().await;
    scene.refuse(&phone, 2);
    scene.pass(5 * SECOND).await;
    assert_eq!(scene.dead(), None, "the tablet may still take it");
    scene.refuse(&tablet, 2);
    scene.pass(5 * SECOND).await;
    assert_eq!((scene.dead(), scene.told.ranges()), (Some((2, 2)), vec![(2, 2)]));
    let timeline = scene.timeline(2).await;
    let reasons: Vec<_> = timeline.passages.iter().map(storage::watches::Passage::reason).collect();
    assert_eq!(reasons, [Some(Reason::Refused); 2]);
    // The place of the phone passes what it refused: the first is applied, the second is not.
    scene.ack(&phone, 1, &[]);
    scene.pass(2 * DEADLINE).await;
    assert_eq!((scene.dead(), scene.told.ranges()), (Some((2, 2)), vec![(2, 2)]));
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_survives_the_node_and_the_actor() {
    let scene = Scene::new().await;
    scene.subscribed(PHONE, 0).await;
    // Watched already; published and not watched yet; durable and not even published.
    scene.message().await;
    scene.pass(MINUTE).await;
    scene.message().await;
    scene.message_unpublished();
    let scene = scene.crash().await;
    scene.pass(DEADLINE + 5 * SECOND).await;
    assert_eq!(scene.dead(), Some((1, 3)));
    assert_eq!(scene.told.ranges(), [(1, 1)], "the others wait for the next deadline");

    // The escalation was cut off with the node: it is begun again.
    let scene = scene.crash().await;
    scene.pass(2 * MINUTE).await;
    assert_eq!(scene.told.ranges()[1], (1, 3));
    scene.done(true).await;

    scene.message().await;
    scene.fail().await;
    scene.pass(DEADLINE + 5 * SECOND).await;
    assert_eq!(scene.dead(), Some((1, 4)));
}

#[tokio::test(start_paused = true)]
async fn what_was_published_as_the_node_ended_is_found_in_the_journal() {
    let scene = Scene::new().await;
    scene.subscribed(PHONE, 0).await;
    scene.message().await;
    assert_eq!(scene.store.watched(), 0);
    let scene = scene.crash().await;
    assert_eq!(scene.store.watched(), 1);
    scene.message_unpublished();
    let scene = scene.crash().await;
    scene.pass(DEADLINE + SECOND).await;
    assert_eq!(scene.dead(), Some((1, 2)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_loses_nothing() {
    let scene = Scene::new().await;
    scene.subscribed(PHONE, 0).await;
    scene.store.fails.store(true, Ordering::SeqCst);
    scene.message().await;
    scene.pass(DEADLINE + MINUTE).await;
    assert_eq!((scene.store.watched(), scene.dead()), (0, None));
    scene.store.fails.store(false, Ordering::SeqCst);
    scene.pass(10 * SECOND).await;
    assert_eq!((scene.dead(), scene.told.ranges()), (Some((1, 1)), vec![(1, 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_took_everything_leaves_nothing_to_watch() {
    let scene = Scene::new().await;
    scene.subscribed(PHONE, 0).await;
    let phone = scene.connect(Some(PHONE)).await;
    for _ in 0..50 {
        let offset = scene.message().await;
        scene.ack(&phone, offset, &[]);
        scene.pass(SECOND).await;
        assert_eq!(scene.store.watched(), 0);
    }
    scene.cut(&phone);
    assert!(scene.timeline(50).await.passages[0].applied_at.is_some());
}
