//! What administrators do and see.

use std::sync::Arc;

use axum::extract::State;
use domain::ids::UserId;
use protocol::code::Code;
use protocol::http::admin::{DeadLetter, DeadLetterKind, FreezeRequest, FreezeResponse};
use protocol::http::page::{Items, PageQuery};
use protocol::problem::Problem;
use protocol::value::Time;
use storage::deliveries::{self, DeadLetterFilter, DeadLetterId, Reason};

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::Admin;
use crate::http::body::Json;
use crate::http::extract::{Id, Params};
use crate::wallet::{cursor, freeze as freezing, statement};

/// Stops money going out of an account, into it, or both.
#[utoipa::path(post, path = "/admin/accounts/{userId}/freeze", tag = "admin", request_body = FreezeRequest,
    params(("userId" = uuid::Uuid, Path, description = "Whose account.")), responses(
    (status = 200, description = "What is frozen now.", body = FreezeResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn freeze(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(owner): Id<UserId>,
    Json(request): Json<FreezeRequest>,
) -> Result<axum::Json<FreezeResponse>, Failure> {
    freezing::freeze(&app, &caller, owner, &request, true).await.map(axum::Json)
}

/// Lets what was stopped go again.
#[utoipa::path(post, path = "/admin/accounts/{userId}/unfreeze", tag = "admin", request_body = FreezeRequest,
    params(("userId" = uuid::Uuid, Path, description = "Whose account.")), responses(
    (status = 200, description = "What is frozen now.", body = FreezeResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn unfreeze(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(owner): Id<UserId>,
    Json(request): Json<FreezeRequest>,
) -> Result<axum::Json<FreezeResponse>, Failure> {
    freezing::freeze(&app, &caller, owner, &request, false).await.map(axum::Json)
}

/// What failed for good, the newest first.
#[utoipa::path(get, path = "/admin/dead-letters", tag = "admin", params(PageQuery), responses(
    (status = 200, description = "A page.", body = Items<DeadLetter>),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn dead_letters(
    State(app): State<Arc<App>>,
    _: Admin,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Items<DeadLetter>>, Failure> {
    let limit = usize::try_from(statement::limit(query.limit)?).unwrap_or(usize::MAX);
    let before = query.cursor.as_deref().map(cursor::read_dead_letters).transpose()?.map(DeadLetterId);
    let letters = app.deliveries.dead_letters(DeadLetterFilter::default(), before, limit).await?;
    // A full page may be the last; the next is then empty.
    let last = letters.last().filter(|_| letters.len() == limit);
    let next_cursor = last.map(|letter| cursor::dead_letters(letter.id.0));
    Ok(axum::Json(Items { items: letters.iter().map(shown).collect(), next_cursor }))
}

/// One of them.
#[utoipa::path(get, path = "/admin/dead-letters/{id}", tag = "admin",
    params(("id" = uuid::Uuid, Path, description = "The dead letter.")), responses(
    (status = 200, description = "The dead letter.", body = DeadLetter),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn dead_letter(
    State(app): State<Arc<App>>,
    _: Admin,
    Id(id): Id<DeadLetterId>,
) -> Result<axum::Json<DeadLetter>, Failure> {
    let letter = app.deliveries.dead_letter(id).await?.ok_or_else(|| Failure::of(Code::NotFound))?;
    Ok(axum::Json(shown(&letter)))
}

fn shown(letter: &deliveries::DeadLetter) -> DeadLetter {
    let subject = (letter.transfer.map(|id| id.0)).or(letter.stream).or(letter.user.map(|id| id.0));
    DeadLetter {
        id: letter.id.to_string(),
        kind: kind(letter.reason),
        reason: letter.reason.name().to_owned(),
        message: [&*letter.last_error, &*letter.detail].map(str::trim).join(" ").trim().to_owned(),
        subject: subject.map(|id| id.to_string()).unwrap_or_default(),
        amount_minor: None,
        currency: None,
        attempts: letter.attempts,
        first_at: Time::of(letter.first_at),
        last_at: Time::of(letter.last_at),
        resolved_at: None,
    }
}

const fn kind(reason: Reason) -> DeadLetterKind {
    match reason {
        Reason::Suspense => DeadLetterKind::Suspense,
        Reason::Quarantined => DeadLetterKind::Quarantine,
        Reason::Unserved => DeadLetterKind::Command,
        Reason::Refused | Reason::Unacknowledged | Reason::Deadline => DeadLetterKind::Delivery,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_kind() {
        let kinds = Reason::ALL.map(kind);
        let delivery = DeadLetterKind::Delivery;
        let expected = [DeadLetterKind::Suspense, DeadLetterKind::Quarantine, DeadLetterKind::Command];
        assert_eq!(kinds[..3], expected);
        assert_eq!(kinds[3..], [delivery; 3]);
    }
}
