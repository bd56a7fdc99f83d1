//! What is said in rooms: JSON text, sealed under the key of who wrote it, or whom the platform wrote it about.
//!
//! What the server says to a role, a region or everybody is nobody's personal data, and there is no person whose
//! erasure should take it along: it stands in the clear, under the nil id, behind as many zeros as a seal has.

use domain::ids::UserId;
use domain::ledger::Fingerprint;
use domain::sealed::Sealed;
use protocol::code::Code;
use protocol::frame::BODY_BYTES_MAX;
use protocol::json::Json;
use protocol::problem::FieldCode;
use storage::sealing::{OVERHEAD_BYTES, Purpose};
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;

/// Who stands for nobody.
const NOBODY: UserId = UserId(Uuid::nil());

/// What is said, by or about whom.
pub struct Words {
    /// Sealed.
    pub body: Sealed,
    /// Tells it from another under one key.
    pub fingerprint: Fingerprint,
}

/// Seals what a person says, or what the platform says about them.
///
/// # Errors
/// It is too long, or the person was erased.
pub async fn of_person(app: &App, person: UserId, body: &Json, ttl_ms: Option<u64>) -> Result<Words, Failure> {
    let fingerprint = fingerprint(app, person, body, ttl_ms).await?;
    Ok(Words { body: seal(app, person, body).await?, fingerprint })
}

/// Seals a message of a person's, or about them.
///
/// # Errors
/// It is too long, or the person was erased.
pub async fn seal(app: &App, person: UserId, body: &Json) -> Result<Sealed, Failure> {
    in_range(body)?;
    let sealed = app.sealer.seal(person, Purpose::Message, body.get()).await?;
    sealed.ok_or_else(|| Failure::of(Code::TokenInvalid))
}

/// What tells a message from another under one key.
///
/// # Errors
/// The person was erased.
pub async fn fingerprint(app: &App, person: UserId, body: &Json, ttl_ms: Option<u64>) -> Result<Fingerprint, Failure> {
    let canonical = format!("{} {}", ttl_ms.unwrap_or(0), body.get());
    let print = app.sealer.fingerprint(person, canonical.as_bytes()).await?;
    print.map(Fingerprint).ok_or_else(|| Failure::of(Code::TokenInvalid))
}

/// What the server says to nobody in particular.
///
/// # Errors
/// It is too long.
pub fn of_server(body: &Json, ttl_ms: Option<u64>) -> Result<Words, Failure> {
    in_range(body)?;
    let canonical = format!("{} {}", ttl_ms.unwrap_or(0), body.get());
    let mut print = [0; 16];
    print.copy_from_slice(blake3::hash(canonical.as_bytes()).as_bytes().split_at(16).0);
    let mut bytes = vec![0; OVERHEAD_BYTES];
    bytes.extend_from_slice(body.get().as_bytes());
    Ok(Words { body: Sealed { owner: NOBODY, bytes: bytes.into() }, fingerprint: Fingerprint(print) })
}

/// What was said; nothing of who was erased.
///
/// # Errors
/// The store does not answer.
pub async fn open(app: &App, sealed: &Sealed) -> Result<Option<Json>, Failure> {
    let text = if sealed.owner == NOBODY {
        let bytes = sealed.bytes.get(OVERHEAD_BYTES..).unwrap_or_default();
        Some(String::from_utf8_lossy(bytes).into_owned())
    } else {
        app.sealer.unseal(Purpose::Message, sealed).await?.map(|text| text.to_string())
    };
    text.map(Json::from_text).transpose().map_err(|_| Failure::of(Code::Internal))
}

/// Seals what a room is called.
///
/// # Errors
/// It is empty or too long, or who named it was erased.
pub async fn name(app: &App, person: UserId, name: &str) -> Result<Sealed, Failure> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Failure::field("name", FieldCode::TooShort, "has 1 to 64 characters"));
    }
    if name.chars().count() > protocol::http::room::NAME_CHARS_MAX {
        return Err(Failure::field("name", FieldCode::TooLong, "has 1 to 64 characters"));
    }
    let sealed = app.sealer.seal(person, Purpose::RoomName, name).await?;
    sealed.ok_or_else(|| Failure::of(Code::TokenInvalid))
}

/// What a room is called; nothing if who named it was erased.
///
/// # Errors
/// The store does not answer.
pub async fn open_name(app: &App, sealed: &Sealed) -> Result<Option<String>, Failure> {
    Ok(app.sealer.unseal(Purpose::RoomName, sealed).await?.map(|text| text.to_string()))
}

fn in_range(body: &Json) -> Result<(), Failure> {
    if body.get().len() > BODY_BYTES_MAX {
        return Err(Failure::field("body", FieldCode::TooLong, "has at most 16 KiB of text"));
    }
    Ok(())
}
