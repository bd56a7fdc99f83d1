//! The identity store's conformance.

use std::sync::Arc;

use storage::conformance::identity;
use storage::identity::{Identity, QuickpeIds, random_quickpe_ids};
use storage::sealing::{KeyEncryptionKey, Keyring};
use storage_cql::{Cql, CqlIdentity};

use super::server::{self, Timed};

/// What people are in. What falls due is passed over when there is nobody whose it is.
const TABLES: [&str; 7] = ["people", "emails", "quickpe_ids", "names", "logins", "login_owners", "erasures"];

async fn fresh(cql: &Arc<Cql>, quickpe_ids: QuickpeIds) -> Arc<dyn Identity> {
    server::empty(cql, &TABLES).await;
    let keyring = Keyring::new(&[KeyEncryptionKey::new([1; 32])]).unwrap();
    Arc::new(CqlIdentity::new(Arc::clone(cql), keyring, quickpe_ids))
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let _timed = Timed::new("identity");
    let cql = server::connect().await;
    identity::all(async || fresh(&cql, random_quickpe_ids()).await, identity::Erased::ByTheEngine).await;
    identity::quickpe_ids_are_unique(async |source| fresh(&cql, source).await).await;
}
