//! The OpenAPI document: generated from the handlers, served with its page.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use bytes::Bytes;
use protocol::problem::{self, Problem};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, OpenApi, Ref, ResponseBuilder};
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

/// Adds to every operation what any may be answered with.
pub fn complete(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let takes_body = operation.request_body.is_some();
            let is_secured = operation.security.is_some();
            let mut add = |status: &str, description: &str| {
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
                let response =
                    ResponseBuilder::new().description(description).content(problem::CONTENT_TYPE, content).build();
                operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.into());
            };
            if takes_body {
                add("413", "`too_large`");
                add("415", "`unsupported_media_type`");
            }
            if is_secured {
                add("401", "No token, or none that is good.");
            }
            add("400", "The request cannot be understood, or fields are not valid.");
            add("429", "`rate_limited` or `sign_in_locked`; `Retry-After` says when to come back.");
            add("default", "Any other problem.");
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete, &mut item.put].into_iter().flatten()
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
