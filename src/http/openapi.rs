//! The OpenAPI document: generated from the handlers, served with its page.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use bytes::Bytes;
use protocol::problem::{self, Problem};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};
use utoipa_swagger_ui::SwaggerUi;

/// The parts of the document that no handler says.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "QuickPe",
        description = "A realtime wallet platform. Errors are problems (RFC 9457) whose `code` is stable.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem)),
    modifiers(&Bearer),
    tags(
        (name = "auth", description = "Signing up, in and out."),
        (name = "user", description = "One's own profile, and finding others."),
        (name = "account", description = "One's own money."),
        (name = "holds", description = "Money set aside for a payee."),
        (name = "rooms", description = "Rooms, what is said in them, and notices."),
        (name = "server", description = "For servers with keys of their own."),
        (name = "admin", description = "For administrators."),
        (name = "node", description = "For the node's keepers."),
    )
)]
struct Described;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_with(Components::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The document before its routes.
pub fn described() -> OpenApi {
    Described::openapi()
}

/// Adds to every operation its id and what any may be answered with, and to every answer its headers.
pub fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
            let is_of_rooms = operation.tags.iter().flatten().any(|tag| tag == "rooms" || tag == "server");
            if is_of_rooms && method != "get" {
                add_refusals(operation);
            }
            add_problems(operation);
            add_headers(operation);
        }
    }
}

/// What any command to a room may be refused with.
fn add_refusals(operation: &mut Operation) {
    add_problem(operation, "403", "Not yours to do: `forbidden`, `not_a_member`, `muted` or `blocked`.");
    add_problem(operation, "404", "`not_found`");
    add_problem(operation, "409", "`room_closed` or `message_deleted`");
    add_problem(operation, "422", "A rule refuses it: `room_kind`, `room_full`, `idempotency_key_reused`.");
}

fn add_problem(operation: &mut Operation, status: &str, description: &str) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new().description(description).content(problem::CONTENT_TYPE, content).build();
    operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.into());
}

fn add_problems(operation: &mut Operation) {
    let takes_body = operation.request_body.is_some();
    let is_secured = operation.security.is_some();
    let mut add = |status: &str, description: &str| add_problem(operation, status, description);
    if takes_body {
        add("413", "`too_large`");
        add("415", "`unsupported_media_type`");
    }
    if is_secured {
        add("401", "No token, or none that is good.");
    }
    add("400", "The request cannot be understood, or fields are not valid.");
    add("429", "`rate_limited` or `sign_in_locked`; `Retry-After` says when to come back.");
    add("500", "`internal`");
    add("503", "`busy`, `outcome_unknown`, …; `Retry-After` says when to come back.");
}

fn add_headers(operation: &mut Operation) {
    let is_key = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(it) if it.name == "Idempotency-Key");
    let takes_key = operation.parameters.iter().flatten().any(is_key);
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let mut add = |name: &str, schema: ObjectBuilder, description: &str| {
            let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
            response.headers.entry(name.to_owned()).or_insert_with(|| header.into());
        };
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let number = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let span = text().pattern(Some("^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"));
        add("X-Request-Id", text().min_length(Some(1)).max_length(Some(128)), "The request's id, as in the logs.");
        add("traceparent", span, "The request's span (W3C), in the trace that it came in or in a new one.");
        add("RateLimit-Limit", number(), "Requests a window of the tightest limit; only where there is one.");
        add("RateLimit-Remaining", number(), "How many of them are left.");
        add("RateLimit-Reset", number(), "Seconds until the window ends.");
        if takes_key && matches!(&**status, "201" | "202") {
            let replayed = text().enum_values(Some(["true"]));
            add("Idempotency-Replayed", replayed, "The key was used before: this is the stored outcome.");
        }
        if matches!(&**status, "429" | "503") {
            add("Retry-After", number(), "Seconds to wait, never too few.");
        }
        if status == "401" {
            add("WWW-Authenticate", text().enum_values(Some(["Bearer"])), "How to sign in.");
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, post, patch, delete, put, .. } = item;
    let operations = [("get", get), ("post", post), ("patch", patch), ("delete", delete), ("put", put)];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// `get_rooms_id_members` of `GET /api/v1/rooms/{id}/members`: unique, and a name for generated clients.
fn operation_id(method: &str, path: &str) -> String {
    let path = path.trim_start_matches("/api/v1").trim_start_matches("/api");
    let words = path.split(|at: char| !at.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

/// The document and its page.
pub fn routes<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    // Written once: it never changes while the node runs.
    let text = Bytes::from(serde_json::to_vec(document).unwrap_or_default());
    let page = SwaggerUi::new("/api/docs").config(utoipa_swagger_ui::Config::from("/api/openapi.json"));
    Router::new()
        .route(
            "/api/openapi.json",
            get(move || async move { ([(CONTENT_TYPE, "application/json")], text).into_response() }),
        )
        .route("/", get(|| async { Redirect::temporary("/api/docs") }))
        .merge(Router::<S>::from(page))
}
