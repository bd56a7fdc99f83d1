//! Idempotency keys: the id and the fingerprint of a command.
//!
//! A key's scope is (principal, deciding account, key). With a key the effect's id is derived from the three, so that
//! it is unique for ever; without one it is random and each request is new.

use domain::ids::{AccountId, derived, random};
use domain::ledger::Fingerprint;
use protocol::code::Code;
use protocol::http::is_idempotency_key;
use serde::Serialize;
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;
use crate::wallet::Caller;

/// The id of a command's effect and what tells its request from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The id of the transfer or hold that the command makes.
    pub id: Uuid,
    /// Of the request, if it has a key.
    pub fingerprint: Option<Fingerprint>,
}

/// Names the effect of a command that `account` decides. `canonical` is the request in one form, all of it that the
/// caller chose.
///
/// # Errors
/// The key is missing where it is required, or is none.
pub async fn keyed<T: Serialize + Sync>(
    app: &App,
    caller: &Caller,
    account: AccountId,
    key: Option<&str>,
    canonical: &T,
) -> Result<Keyed, Failure> {
    let Some(key) = key else {
        if app.config.http.is_key_required(app.config.profile) {
            return Err(Code::IdempotencyKeyRequired.into());
        }
        return Ok(Keyed { id: random(account, rand::random()), fingerprint: None });
    };
    if !is_idempotency_key(key) {
        return Err(Code::IdempotencyKeyInvalid.into());
    }
    let plaintext = serde_json::to_vec(canonical).map_err(|_| Failure::of(Code::Internal))?;
    let fingerprint = app.sealer.fingerprint(caller.user, &plaintext).await?;
    // Nobody without a data key is anybody: the caller was erased after their token was made.
    let fingerprint = fingerprint.ok_or_else(|| Failure::of(Code::TokenInvalid))?;
    let id = derived(account, caller.origin.by.principal.id(), key);
    Ok(Keyed { id, fingerprint: Some(Fingerprint(fingerprint)) })
}
