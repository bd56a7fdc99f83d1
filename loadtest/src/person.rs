//! A person who signs up, and signs in again when the token ends.

use std::time::Duration;

use anyhow::Context;
use protocol::http::auth::{SignInRequest, SignUpRequest, TokensResponse};
use uuid::Uuid;

use crate::http::{Client, Target};

/// Long enough for every profile.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Signing up or in hashes a password, and many people do it at once here.
pub(crate) const SIGN_PATIENCE: Duration = Duration::from_mins(1);

/// A person of this run.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// The id.
    pub(crate) id: Uuid,
    /// The public handle.
    pub(crate) handle: String,
    /// The access token of now.
    pub(crate) token: String,
    email: String,
    first_name: String,
}

impl Person {
    /// Signs a new person up.
    pub(crate) async fn sign_up(target: &Target, run: &str, name: &str) -> anyhow::Result<Self> {
        let email = format!("loadtest-{run}-{name}@example.com");
        let first_name = format!("Person{name}");
        let body = SignUpRequest {
            first_name: first_name.clone(),
            last_name: format!("Run{run}"),
            email: email.clone(),
            password: PASSWORD.into(),
            device: None,
            region: None,
        };
        let mut client = Client::new(target.clone(), SIGN_PATIENCE);
        let answer = client.post("/api/v1/auth/signup", None, None, &body).await.context("sign-up")?;
        let tokens: TokensResponse = answer.read().context("sign-up")?;
        Ok(Self {
            id: tokens.user.id.0,
            handle: tokens.user.quickpe_id.to_string(),
            token: tokens.token,
            email,
            first_name,
        })
    }

    /// The e-mail, to sign in with.
    pub(crate) fn email(&self) -> &str {
        &self.email
    }

    /// The first name, to be found by.
    pub(crate) fn first_name(&self) -> &str {
        &self.first_name
    }

    /// Someone who never signed up.
    #[cfg(test)]
    pub(crate) fn named(number: usize) -> Self {
        let email = format!("{number}@example.com");
        let (handle, first_name) = (format!("QP{number:010}"), format!("Person{number}"));
        Self { id: Uuid::nil(), handle, token: String::new(), email, first_name }
    }

    /// Gets a new token.
    pub(crate) async fn sign_in(&mut self, client: &mut Client) -> anyhow::Result<()> {
        let body = SignInRequest { email: self.email.clone(), password: PASSWORD.into(), device: None };
        let answer = client.post("/api/v1/auth/signin", None, None, &body).await?;
        self.token = answer.read::<TokensResponse>().context("sign-in")?.token;
        Ok(())
    }
}

/// Signs `count` people up, a few at a time.
pub(crate) async fn sign_up(target: &Target, run: &str, count: usize) -> anyhow::Result<Vec<Person>> {
    use futures_util::{StreamExt, TryStreamExt};
    let people = (0..count).map(async |number| Person::sign_up(target, run, &number.to_string()).await);
    futures_util::stream::iter(people).buffered(8).try_collect().await
}
