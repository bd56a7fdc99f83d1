//! Dead letters, as administrators see and resolve them. What they do is written to the log under the target `audit`.

use std::sync::Arc;

use actors::dead_letters::{Progress, RedriveError};
use axum::extract::State;
use axum::http::StatusCode;
use domain::delivery::Class;
use domain::ids::OperationId;
use protocol::code::Code;
use protocol::http::admin::{DeadLetter, DeadLetterKind, DeadLettersQuery, Offsets, RedriveRequest, RedriveResponse};
use protocol::http::page::Items;
use protocol::problem::{FieldCode, FieldError, Problem};
use protocol::value::Time;
use storage::deliveries::{self, DeadLetterFilter, DeadLetterId, Reason};

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::Admin;
use crate::http::body::Json;
use crate::http::extract::{Id, Params};
use crate::wallet::{cursor, statement};

/// How many dead letters a second a job redrives if nobody says otherwise, and at most: each may make as many messages
/// as its range has.
const RATE_DEFAULT: u32 = 50;
const RATE_MAX: u32 = 1_000;

/// What failed for good, the newest first.
#[utoipa::path(get, path = "/admin/dead-letters", tag = "admin", params(DeadLettersQuery), responses(
    (status = 200, description = "A page.", body = Items<DeadLetter>),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Admin,
    Params(query): Params<DeadLettersQuery>,
) -> Result<axum::Json<Items<DeadLetter>>, Failure> {
    let limit = usize::try_from(statement::limit(query.limit)?).unwrap_or(usize::MAX);
    let before = query.cursor.as_deref().map(cursor::read_dead_letters).transpose()?.map(DeadLetterId);
    let filter = filter(query.reason.as_deref(), query.class.as_deref(), query.user.as_deref())?;
    let filter = DeadLetterFilter { open: query.open.unwrap_or(false), ..filter };
    let page = app.deliveries.dead_letters(filter, before, limit).await?;
    let next_cursor = page.next.map(|next| cursor::dead_letters(next.0));
    Ok(axum::Json(Items { items: page.letters.iter().map(shown).collect(), next_cursor }))
}

/// One of them.
#[utoipa::path(get, path = "/admin/dead-letters/{id}", tag = "admin",
    params(("id" = uuid::Uuid, Path, description = "The dead letter.")), responses(
    (status = 200, description = "The dead letter.", body = DeadLetter),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn one(
    State(app): State<Arc<App>>,
    _: Admin,
    Id(id): Id<DeadLetterId>,
) -> Result<axum::Json<DeadLetter>, Failure> {
    let letter = app.deliveries.dead_letter(id).await?.ok_or_else(|| Failure::of(Code::NotFound))?;
    Ok(axum::Json(shown(&letter)))
}

/// Removes one for good. What it tells of is not sent again.
#[utoipa::path(delete, path = "/admin/dead-letters/{id}", tag = "admin",
    params(("id" = uuid::Uuid, Path, description = "The dead letter.")), responses(
    (status = 204, description = "It is gone."),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn purge(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(id): Id<DeadLetterId>,
) -> Result<StatusCode, Failure> {
    let removed = app.deliveries.remove_dead_letter(id).await?;
    tracing::info!(target: "audit", admin = %caller.user, letter = %id, removed, "a dead letter is purged");
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(Code::NotFound.into()) }
}

/// Offers the messages of one again: at once to who is connected, to others when they come back.
#[utoipa::path(post, path = "/admin/dead-letters/{id}/redrive", tag = "admin",
    params(("id" = uuid::Uuid, Path, description = "The dead letter.")), responses(
    (status = 200, description = "The dead letter; it is resolved when its messages are applied.", body = DeadLetter),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "`not_redrivable`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn redrive(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(id): Id<DeadLetterId>,
) -> Result<axum::Json<DeadLetter>, Failure> {
    let redriven = app.dead_letters.redrive(id).await;
    tracing::info!(target: "audit", admin = %caller.user, letter = %id, done = redriven.is_ok(), "a dead letter is redriven");
    match redriven {
        Ok(letter) => Ok(axum::Json(shown(&letter))),
        Err(RedriveError::NotFound) => Err(Code::NotFound.into()),
        Err(RedriveError::NotRedrivable(letter)) => Err(Failure::of(Code::NotRedrivable).saying(instead(&letter))),
        Err(RedriveError::Store(error)) => Err(error.into()),
        Err(RedriveError::Away) => Err(Code::Busy.into()),
    }
}

/// What to do about a letter that cannot be redriven.
fn instead(letter: &deliveries::DeadLetter) -> String {
    match letter.reason {
        Reason::Suspense | Reason::Quarantined => letter.detail.clone(),
        Reason::Unserved => "A command is not sent again: its sender does so, with the same key.".to_owned(),
        Reason::Escalation => "What was not taken since is escalated again at the next deadline.".to_owned(),
        Reason::Refused | Reason::Unacknowledged | Reason::Deadline => "It is resolved.".to_owned(),
    }
}

/// Offers the messages of all open ones of deliveries that pass a filter again, at a rate.
#[utoipa::path(post, path = "/admin/dead-letters/redrive", tag = "admin", request_body = RedriveRequest, responses(
    (status = 202, description = "The job, which has begun.", body = RedriveResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn redrive_all(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Json(request): Json<RedriveRequest>,
) -> Result<(StatusCode, axum::Json<RedriveResponse>), Failure> {
    let filter = filter(request.reason.as_deref(), request.class.as_deref(), request.user.as_deref())?;
    let rate = request.rate_per_second.unwrap_or(RATE_DEFAULT);
    if !(1..=RATE_MAX).contains(&rate) {
        let code = if rate == 0 { FieldCode::TooSmall } else { FieldCode::TooLarge };
        return Err(Failure::field("ratePerSecond", code, "must be 1 to 1000"));
    }
    let job = caller.origin.operation;
    tracing::info!(target: "audit", admin = %caller.user, %job, ?filter, rate, "dead letters are redriven");
    app.dead_letters.redrive_all(job, Arc::clone(&app.deliveries), filter, rate);
    Ok((StatusCode::ACCEPTED, axum::Json(progressed(job, app.dead_letters.progress(job).unwrap_or_default()))))
}

/// How far such a job is. Jobs are remembered until the node stops, the last sixteen of them.
#[utoipa::path(get, path = "/admin/dead-letters/redrive/{job}", tag = "admin",
    params(("job" = uuid::Uuid, Path, description = "The job.")), responses(
    (status = 200, description = "The job.", body = RedriveResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn progress(
    State(app): State<Arc<App>>,
    _: Admin,
    Id(job): Id<OperationId>,
) -> Result<axum::Json<RedriveResponse>, Failure> {
    let progress = app.dead_letters.progress(job).ok_or_else(|| Failure::of(Code::NotFound))?;
    Ok(axum::Json(progressed(job, progress)))
}

fn progressed(job: OperationId, progress: Progress) -> RedriveResponse {
    let Progress { redriven, skipped, done, failed } = progress;
    RedriveResponse { job: job.to_string(), redriven, skipped, done, failed }
}

/// Reads the conditions of a list or a job.
fn filter(reason: Option<&str>, class: Option<&str>, user: Option<&str>) -> Result<DeadLetterFilter, Failure> {
    let wrong = |field, why| Failure::from(FieldError::of(field, FieldCode::Malformed, why));
    let reason = reason.map(|name| {
        let known = Reason::ALL.into_iter().find(|reason| reason.name() == name);
        known.ok_or_else(|| wrong("reason", "is not a reason of a dead letter"))
    });
    let class = class.map(|name| Class::of(name).ok_or_else(|| wrong("class", "is not a class of streams")));
    let user = user.map(|id| id.parse().map_err(|_| wrong("user", "is not an id")));
    Ok(DeadLetterFilter {
        reason: reason.transpose()?,
        class: class.transpose()?,
        user: user.transpose()?,
        open: false,
    })
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
        user_id: letter.user.map(|user| user.to_string()),
        device_id: letter.device.map(|device| device.to_string()),
        class: letter.class,
        stream: letter.class.and(letter.stream).map(|stream| stream.to_string()),
        offsets: letter.offsets.map(|(from, to)| Offsets { from, to }),
        last_error: letter.class.map(|_| letter.last_error.clone()),
        redrive: letter.redrive,
        attempts: letter.attempts,
        first_at: Time::of(letter.first_at),
        last_at: Time::of(letter.last_at),
        resolved_at: letter.resolved_at.map(Time::of),
    }
}

const fn kind(reason: Reason) -> DeadLetterKind {
    match reason {
        Reason::Suspense => DeadLetterKind::Suspense,
        Reason::Quarantined => DeadLetterKind::Quarantine,
        Reason::Unserved => DeadLetterKind::Command,
        Reason::Refused | Reason::Unacknowledged | Reason::Deadline => DeadLetterKind::Delivery,
        Reason::Escalation => DeadLetterKind::Escalation,
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
        assert_eq!(kinds[3..6], [delivery; 3]);
        assert_eq!(kinds[6..], [DeadLetterKind::Escalation]);
    }

    #[test]
    fn conditions_are_read_strictly() {
        let user = "0193503e-6f00-7000-8000-000000000001";
        let read = filter(Some("deadline"), Some("notice"), Some(user)).unwrap();
        assert_eq!((read.reason, read.class), (Some(Reason::Deadline), Some(Class::Notice)));
        assert_eq!(read.user.map(|user| user.to_string()).as_deref(), Some(user));
        for (wrong, field) in [
            (filter(Some("late"), None, None), "reason"),
            (filter(None, Some("mail"), None), "class"),
            (filter(None, None, Some("me")), "user"),
        ] {
            assert_eq!(wrong.unwrap_err().errors[0].field, field);
        }
    }
}
