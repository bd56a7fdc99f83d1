//! The caller of a route: whose access token came with the request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use domain::ledger::Principal;
use protocol::code::Code;
use storage::identity::Role;

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::tokens::Granted;
use crate::http::context::Context;
use crate::http::extract::Known;
use crate::http::limits;
use crate::wallet::Caller;

/// Anybody who is signed in.
pub struct SignedIn(pub Caller);

/// An administrator.
pub struct Admin(pub Caller);

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Known(context) = <Known as FromRequestParts<_>>::from_request_parts(parts, app).await?;
        let token = bearer(parts).ok_or_else(|| Failure::of(Code::Unauthenticated))?;
        let granted = check(app, token).await?;
        limits::account(app, &context, granted.user).await?;
        Ok(Self(caller(&context, granted)))
    }
}

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let SignedIn(caller) = SignedIn::from_request_parts(parts, app).await?;
        if caller.role == Role::Admin { Ok(Self(caller)) } else { Err(Code::Forbidden.into()) }
    }
}

/// What an access token grants now: it was made here, its time is not over, and its login lives.
///
/// # Errors
/// [`Code::TokenExpired`], [`Code::TokenInvalid`], or the store does not answer.
pub async fn check(app: &App, token: &str) -> Result<Granted, Failure> {
    let granted = app.tokens.verify_access(token, app.now())?;
    match granted.login {
        Some(login) if !app.access.logins.is_live(login).await? => Err(Code::TokenInvalid.into()),
        _ => Ok(granted),
    }
}

fn caller(context: &Context, granted: Granted) -> Caller {
    Caller {
        user: granted.user,
        role: granted.role,
        region: granted.region,
        login: granted.login,
        expires_at: granted.expires_at,
        origin: context.origin(Principal::Person(granted.user)),
    }
}

/// The token of `Authorization: Bearer TOKEN`. The scheme is read without case (RFC 9110).
pub(in crate::http) fn bearer(parts: &Parts) -> Option<&str> {
    let text = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    #[test]
    fn a_token_is_read_from_its_header() {
        for (header, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("", None),
        ] {
            let (parts, ()) = Request::builder().header(AUTHORIZATION, header).body(()).unwrap().into_parts();
            assert_eq!(bearer(&parts), expected, "{header}");
        }
    }
}
