//! The embedded deliveries store: the conformance suite, crashes, and what is on the disk.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use storage::conformance::deliveries::all;
use storage::conformance::watches;
use storage::deliveries::{Cursor, CursorWrite, Deliveries};
use storage::embedded::deliveries::EmbeddedDeliveries;
use storage::watches::Watches;
use tempfile::TempDir;
use uuid::Uuid;

fn open(folder: &Path) -> Arc<dyn Deliveries> {
    Arc::new(EmbeddedDeliveries::open(folder).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let folder = TempDir::new().unwrap();
    let number = AtomicU32::new(0);
    let next = || folder.path().join(number.fetch_add(1, Ordering::Relaxed).to_string());
    all(async || open(&next())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_as_a_store_of_watches() {
    let folder = TempDir::new().unwrap();
    let number = AtomicU32::new(0);
    let next = || folder.path().join(number.fetch_add(1, Ordering::Relaxed).to_string());
    watches::all(async || Arc::new(EmbeddedDeliveries::open(&next()).unwrap()) as Arc<dyn Watches>).await;
}

/// What kill -9 leaves is the file as the system holds it: a copy taken while the store is open.
#[tokio::test]
async fn a_cursor_that_was_answered_survives_a_crash_and_a_rewrite() {
    let folder = TempDir::new().unwrap();
    let deliveries = EmbeddedDeliveries::open(folder.path()).unwrap();
    let (user, stream) = (UserId(Uuid::from_u128(1)), Uuid::from_u128(2));
    let device =
        deliveries.device(user, "asha-rao-phone", DeviceId(Uuid::from_u128(3)), Timestamp(1)).await.unwrap().device;
    for offset in 1..=20 {
        let cursor = Cursor { epoch: "e".to_owned(), offset, at: Timestamp(offset) };
        deliveries.put_cursors(vec![CursorWrite { user, device: device.id, stream, cursor }]).await.unwrap();
        if offset == 10 {
            deliveries.compact().await.unwrap();
        }
        let crashed = TempDir::new().unwrap();
        let file = crashed.path().join("deliveries.redb");
        fs::copy(folder.path().join("deliveries.redb"), &file).unwrap();
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"asha-rao"), "a device's name is not kept as it came");
        let reopened = EmbeddedDeliveries::open(crashed.path()).unwrap();
        assert_eq!(reopened.cursor(user, device.id, stream).await.unwrap().unwrap().offset, offset);
        let again =
            reopened.device(user, "asha-rao-phone", DeviceId(Uuid::from_u128(4)), Timestamp(2)).await.unwrap().device;
        assert_eq!(again.id, device.id);
    }
}
