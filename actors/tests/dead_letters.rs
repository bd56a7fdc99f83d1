//! Dead letters of deliveries: how they grow, shrink and are resolved, in the actor over the real store.

#![allow(clippy::unwrap_used, reason = "a test that fails says so")]

use std::sync::Arc;

use actors::clock::WallClock;
use actors::config::DeliveryConfig;
use actors::dead_letters::{
    Applied, DeadLetterBox, DeadLetterStore, DeadLetters, DeadLettersArgs, Died, RedriveError, Reported,
};
use actors::streams::Streams;
use async_trait::async_trait;
use domain::delivery::Class;
use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use parking_lot::Mutex;
use ractor::Actor;
use storage::Error;
use storage::deliveries::{DeadLetterFilter, DeadLetterId, Deliveries, Reason};
use storage::embedded::deliveries::EmbeddedDeliveries;
use uuid::Uuid;

const USER: UserId = UserId(Uuid::from_u128(1));
const STREAM: Uuid = Uuid::from_u128(2);
const PHONE: Option<DeviceId> = Some(DeviceId(Uuid::from_u128(3)));
const TABLET: Option<DeviceId> = Some(DeviceId(Uuid::from_u128(4)));

/// A clock that is set.
#[derive(Default)]
struct Clock(Mutex<Timestamp>);

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// The ledger has no letters here.
struct NoLedger;

#[async_trait]
impl DeadLetterStore for NoLedger {
    async fn keep(&self, _: Reported) -> Result<(), Error> {
        Ok(())
    }
}

struct Scene {
    post: DeadLetterBox,
    deliveries: Arc<dyn Deliveries>,
    clock: Arc<Clock>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deliveries: Arc<dyn Deliveries> = Arc::new(EmbeddedDeliveries::open(folder.path()).unwrap());
        let (post, clock) = (DeadLetterBox::default(), Arc::new(Clock::default()));
        let args = DeadLettersArgs {
            store: Arc::new(NoLedger),
            deliveries: Arc::clone(&deliveries),
            streams: Streams::new("e".to_owned(), DeliveryConfig::default(), post.clone(), 7),
            clock: Arc::clone(&clock) as _,
            post: post.clone(),
        };
        Actor::spawn(None, DeadLetters, args).await.unwrap();
        Self { post, deliveries, clock, _folder: folder }
    }

    async fn died(&self, device: Option<DeviceId>, reason: Reason, offsets: (u64, u64), at: u64) {
        *self.clock.0.lock() = Timestamp(at * 1_000_000);
        let last_error = format!("at {at}");
        let (user, stream, class) = (USER, STREAM, Class::Money);
        let attempts = u32::try_from(at).unwrap();
        assert!(self.post.died(Died { user, device, stream, class, offsets, attempts, reason, last_error }).await);
    }

    async fn applied(&self, device: Option<DeviceId>, offsets: &[u64], cursor: Option<(u64, u64)>) {
        *self.clock.0.lock() = Timestamp(99_000_000);
        self.post.applied(USER, device, STREAM, Applied { offsets: offsets.into(), cursor });
        // Mail is handled in order: when this is answered, that is done.
        assert!(matches!(self.post.redrive(DeadLetterId(Uuid::nil())).await, Err(RedriveError::NotFound)));
    }

    /// The open letters: reason, offsets, attempts.
    async fn open(&self) -> Vec<(Reason, (u64, u64), u32)> {
        let letters = self.deliveries.open_dead_letters(USER, STREAM).await.unwrap();
        letters.iter().map(|letter| (letter.reason, letter.offsets.unwrap(), letter.attempts)).collect()
    }
}

#[tokio::test]
async fn a_run_of_one_device_is_one_letter_and_a_repeat_counts_attempts() {
    let scene = Scene::new().await;
    scene.died(PHONE, Reason::Refused, (5, 5), 1).await;
    scene.died(PHONE, Reason::Refused, (6, 6), 2).await;
    assert_eq!(scene.open().await, [(Reason::Refused, (5, 6), 2)]);
    scene.died(PHONE, Reason::Refused, (9, 9), 3).await;
    scene.died(TABLET, Reason::Refused, (7, 7), 4).await;
    scene.died(PHONE, Reason::Unacknowledged, (7, 7), 5).await;
    assert_eq!(scene.open().await.len(), 4, "another run, another device, another reason");
    // Redriven, and failed again: the letter that tells of it, whatever the reason is now.
    scene.died(PHONE, Reason::Unacknowledged, (5, 5), 8).await;
    assert_eq!(scene.open().await[0], (Reason::Refused, (5, 6), 8));
}

#[tokio::test]
async fn what_a_device_applied_resolves_its_own_letters() {
    let scene = Scene::new().await;
    scene.died(PHONE, Reason::Refused, (5, 5), 1).await;
    scene.died(PHONE, Reason::Refused, (6, 6), 2).await;
    scene.applied(TABLET, &[5, 6], None).await;
    scene.applied(PHONE, &[7], Some((4, 20))).await;
    assert_eq!(scene.open().await, [(Reason::Refused, (5, 6), 2)], "a place that passed it says nothing");
    scene.applied(PHONE, &[5], None).await;
    assert_eq!(scene.open().await, [(Reason::Refused, (6, 6), 2)]);
    scene.applied(PHONE, &[6], None).await;
    assert_eq!(scene.open().await, []);
    let all = scene.deliveries.dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap();
    assert_eq!(all.letters[0].resolved_at, Some(Timestamp(99_000_000)));
}

#[tokio::test]
async fn any_device_resolves_what_is_dead_for_the_person() {
    let scene = Scene::new().await;
    scene.died(None, Reason::Deadline, (5, 9), 1).await;
    scene.died(None, Reason::Deadline, (10, 12), 2).await;
    assert_eq!(scene.open().await, [(Reason::Deadline, (5, 12), 2)], "one growing range");
    scene.applied(TABLET, &[6, 7], Some((5, 7))).await;
    assert_eq!(scene.open().await, [(Reason::Deadline, (5, 12), 2)], "5 is not applied");
    scene.applied(TABLET, &[5, 6, 7], Some((4, 7))).await;
    assert_eq!(scene.open().await, [(Reason::Deadline, (8, 12), 2)]);
    scene.applied(PHONE, &[], Some((7, 30))).await;
    assert_eq!(scene.open().await, []);
}

#[tokio::test]
async fn only_open_letters_of_deliveries_are_redriven() {
    let scene = Scene::new().await;
    scene.died(PHONE, Reason::Refused, (5, 5), 1).await;
    let letters = scene.deliveries.open_dead_letters(USER, STREAM).await.unwrap();
    let redriven = scene.post.redrive(letters[0].id).await.unwrap();
    assert!(redriven.redrive);
    scene.applied(PHONE, &[5], None).await;
    let again = scene.post.redrive(letters[0].id).await;
    assert!(matches!(again, Err(RedriveError::NotRedrivable(_))));
}
