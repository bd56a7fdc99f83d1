//! What every adapter of revocations must do. Each check joins nodes to a bus of its own; [`all`] runs them all.
#![allow(clippy::unwrap_used, reason = "a suite says that it failed by panicking")]

use std::sync::Arc;
use std::time::Duration;

use domain::ids::{LoginId, UserId};
use uuid::Uuid;

use crate::revocations::{Heard, Revocation, Revocations};

/// How long it is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs every check. `join` makes one more node on the bus of the given name, which hears all that is told from then on.
pub async fn all(join: impl AsyncFn(&str) -> Arc<dyn Revocations>) {
    what_one_tells_the_others_hear(&join).await;
    nobody_hears_themselves(&join).await;
    nothing_of_before_is_heard(&join).await;
    many_are_heard_in_order(&join).await;
}

/// A revocation that can be told from others.
fn numbered(number: u128) -> Revocation {
    Revocation::Login { user: UserId(Uuid::from_u128(1)), login: LoginId(Uuid::from_u128(number)) }
}

async fn next(node: &Arc<dyn Revocations>) -> Heard {
    tokio::time::timeout(PATIENCE, node.heard()).await.unwrap()
}

async fn what_one_tells_the_others_hear(join: &impl AsyncFn(&str) -> Arc<dyn Revocations>) {
    let (one, other, third) = (join("others").await, join("others").await, join("others").await);
    let user = UserId(Uuid::from_u128(7));
    let all = [
        numbered(1),
        Revocation::Connections { user, which: None },
        Revocation::Connections { user, which: Some(Uuid::from_u128(9)) },
        Revocation::Profile { user },
        Revocation::Erased { user },
    ];
    for revocation in all {
        one.tell(revocation).await.unwrap();
    }
    for node in [&other, &third] {
        for revocation in all {
            assert_eq!(next(node).await, Heard::Revoked(revocation));
        }
    }
}

async fn nobody_hears_themselves(join: &impl AsyncFn(&str) -> Arc<dyn Revocations>) {
    let (one, other) = (join("selves").await, join("selves").await);
    one.tell(numbered(1)).await.unwrap();
    assert_eq!(next(&other).await, Heard::Revoked(numbered(1)));
    other.tell(numbered(2)).await.unwrap();
    assert_eq!(next(&one).await, Heard::Revoked(numbered(2)), "its own is passed over");
}

async fn nothing_of_before_is_heard(join: &impl AsyncFn(&str) -> Arc<dyn Revocations>) {
    let one = join("before").await;
    one.tell(numbered(1)).await.unwrap();
    let late = join("before").await;
    one.tell(numbered(2)).await.unwrap();
    assert_eq!(next(&late).await, Heard::Revoked(numbered(2)));
}

async fn many_are_heard_in_order(join: &impl AsyncFn(&str) -> Arc<dyn Revocations>) {
    let (one, other) = (join("many").await, join("many").await);
    let told = tokio::spawn(async move {
        for number in 0..500 {
            one.tell(numbered(number)).await.unwrap();
        }
    });
    for number in 0..500 {
        assert_eq!(next(&other).await, Heard::Revoked(numbered(number)));
    }
    told.await.unwrap();
}
