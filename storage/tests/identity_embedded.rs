//! The embedded identity store: the conformance suite, crashes, and what is left of an erased person.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use domain::time::Timestamp;
use storage::conformance::identity::{Erased, all, quickpe_ids_are_unique, signed_up, somebody};
use storage::embedded::identity::EmbeddedIdentity;
use storage::identity::{Identity, NewUser, Person, QuickpeIds, SignUp, random_quickpe_ids};
use storage::sealing::{KeyEncryptionKey, Keyring};
use tempfile::TempDir;
use tokio::task::JoinSet;

fn keyring(bytes: &[u8]) -> Keyring {
    let keys: Vec<_> = bytes.iter().map(|byte| KeyEncryptionKey::new([*byte; 32])).collect();
    Keyring::new(&keys).unwrap()
}

fn open(folder: &Path) -> Arc<dyn Identity> {
    open_with(folder, random_quickpe_ids())
}

fn open_with(folder: &Path, ids: QuickpeIds) -> Arc<dyn Identity> {
    Arc::new(EmbeddedIdentity::open(folder, keyring(&[1]), ids).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let folder = TempDir::new().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    let next = || folder.path().join(number.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string());
    all(async || open(&next()), Erased::ByRewriting).await;
    quickpe_ids_are_unique(async |ids| open_with(&next(), ids)).await;
}

/// What kill -9 leaves is the file as the system holds it: a copy taken while the store is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_crash() {
    let folder = TempDir::new().unwrap();
    let identity = open(folder.path());
    for round in 0..5_u128 {
        let mut tries = JoinSet::new();
        for number in 1..=20 {
            let identity = Arc::clone(&identity);
            tries.spawn(async move { signed_up(&identity, somebody(round * 100 + number)).await });
        }
        let users = tries.join_all().await;
        if round == 3 {
            identity.compact().await.unwrap();
        }
        let crashed = TempDir::new().unwrap();
        // A rewrite that was cut off left this; it must not be in the way.
        fs::write(crashed.path().join("identity.rewrite"), b"half a file").unwrap();
        fs::copy(folder.path().join("identity.redb"), crashed.path().join("identity.redb")).unwrap();
        let reopened = open(crashed.path());
        for user in users {
            assert_eq!(reopened.person(user.id).await.unwrap(), Some(Person::Live(user.clone())));
            let there = identity.data_key(user.id).await.unwrap();
            assert!(there.is_some());
            assert_eq!(reopened.data_key(user.id).await.unwrap(), there);
        }
        assert!(!crashed.path().join("identity.rewrite").exists());
    }
}

#[tokio::test]
async fn an_erasure_goes_on_after_a_crash_at_any_step() {
    let folder = TempDir::new().unwrap();
    let user = {
        let identity = open(folder.path());
        let user = signed_up(&identity, somebody(1)).await.id;
        identity.begin_erasure(user, Timestamp(5)).await.unwrap();
        user
    };
    {
        let identity = open(folder.path());
        assert!(!identity.unfinished_erasures().await.unwrap()[0].key_destroyed);
        identity.destroy_key(user).await.unwrap();
    }
    {
        let identity = open(folder.path());
        assert!(identity.unfinished_erasures().await.unwrap()[0].key_destroyed);
        assert!(identity.remove_identity(user, Timestamp(6)).await.unwrap());
    }
    let identity = open(folder.path());
    assert_eq!(identity.unfinished_erasures().await.unwrap(), []);
    assert_eq!(identity.compaction_due().await.unwrap().unwrap().erasures, 1, "the debt outlives the process");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_wait_for_a_rewrite_and_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let identity = open(folder.path());
    identity.create_users((1..=2_000).map(somebody).collect()).await.unwrap();
    let mut writers = JoinSet::new();
    for number in 10_001..=10_040 {
        let identity = Arc::clone(&identity);
        writers.spawn(async move {
            let user = signed_up(&identity, somebody(number)).await;
            assert!(identity.person(user.id).await.unwrap().is_some(), "read your own write");
            user
        });
    }
    for _ in 0..3 {
        identity.compact().await.unwrap();
    }
    let users = writers.join_all().await;
    drop(identity);
    let identity = open(folder.path());
    for user in users {
        assert_eq!(identity.person(user.id).await.unwrap(), Some(Person::Live(user)));
    }
    assert!(identity.person(somebody(2_000).id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_key_of_a_foreign_keyring_is_said_and_an_older_one_still_opens() {
    let folder = TempDir::new().unwrap();
    let user = signed_up(&open(folder.path()), somebody(1)).await.id;
    let opened = |keys: &[u8]| EmbeddedIdentity::open(folder.path(), keyring(keys), random_quickpe_ids()).unwrap();
    assert!(opened(&[2, 1]).data_key(user).await.unwrap().is_some());
    assert!(opened(&[2]).data_key(user).await.unwrap_err().to_string().contains("not configured"));
}

#[tokio::test]
async fn a_second_opener_is_kept_out() {
    let folder = TempDir::new().unwrap();
    let _held = open(folder.path());
    let second = EmbeddedIdentity::open(folder.path(), keyring(&[1]), random_quickpe_ids());
    assert!(matches!(second.err(), Some(storage::Error::Locked(_))));
}

#[tokio::test]
async fn a_damaged_file_is_an_error() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("identity.redb"), vec![7; 8_192]).unwrap();
    let damaged = EmbeddedIdentity::open(folder.path(), keyring(&[1]), random_quickpe_ids());
    assert!(damaged.is_err());
}

#[tokio::test]
async fn more_people_than_one_call_takes_are_refused() {
    let folder = TempDir::new().unwrap();
    let identity = open(folder.path());
    let many: Vec<NewUser> = (1..=10_001).map(somebody).collect();
    assert!(identity.create_users(many).await.is_err());
    assert!(matches!(identity.create_user(somebody(1)).await.unwrap(), SignUp::Created(_)));
}
