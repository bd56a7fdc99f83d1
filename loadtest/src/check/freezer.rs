//! An administrator who freezes people and lets them go again.

use std::sync::Arc;
use std::time::Duration;

use protocol::amount::Amount;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use super::history::{Kind, Operation, Outcome};
use super::submit::{Attempt, Command, by_http};
use super::worker::PATIENCE;
use super::world::World;
use crate::http::{Client, Target};
use crate::person::Person;
use crate::process;

/// Who may freeze people, and redrive dead letters.
#[derive(Clone)]
pub(crate) struct Administrator {
    token: String,
    /// Who signs in again when the token ends; of a token alone nobody is known.
    person: Option<Person>,
}

impl Administrator {
    /// The holder of this token.
    pub(crate) fn of_token(token: String) -> Self {
        Self { token, person: None }
    }

    /// Somebody new, whom `grant`, run with their e-mail and the role behind it, makes an administrator.
    pub(crate) async fn granted(target: &Target, run: &str, grant: &str) -> anyhow::Result<Self> {
        let mut person = Person::sign_up(target, run, "admin").await?;
        process::run(grant, &[person.email(), "admin"]).await?;
        // Tokens say the role that somebody had when they were made.
        person.sign_in(&mut Client::new(target.clone(), PATIENCE)).await?;
        Ok(Self { token: person.token.clone(), person: Some(person) })
    }

    /// The access token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Gets a new token, if it can.
    pub(crate) async fn sign_in(&mut self, client: &mut Client) -> bool {
        let Some(person) = &mut self.person else { return false };
        // A node that is down is asked again with the old token, and says so again.
        if person.sign_in(client).await.is_ok() {
            self.token.clone_from(&person.token);
        }
        true
    }
}

/// An administrator at work.
pub(crate) struct Freezer {
    world: Arc<World>,
    people: Vec<Person>,
    admin: Administrator,
    client: Client,
    rng: StdRng,
    operations: Vec<Operation>,
}

impl Freezer {
    /// One who freezes these people.
    pub(crate) fn new(world: Arc<World>, people: Vec<Person>, admin: Administrator, seed: u64) -> Self {
        let client = Client::new(world.target.clone(), PATIENCE);
        Self { world, people, admin, client, rng: StdRng::seed_from_u64(!seed), operations: Vec::new() }
    }

    /// Freezes one after the other until the run stops. Everyone is free at the end.
    pub(crate) async fn work(mut self) -> Vec<Operation> {
        let mut number = 0_u64;
        while !self.world.stopping() {
            sleep(Duration::from_millis(self.rng.random_range(200..1500))).await;
            let person = self.rng.random_range(0..self.people.len());
            number += 1;
            self.perform(person, number, Kind::Freeze(person)).await;
            sleep(Duration::from_millis(self.rng.random_range(50..600))).await;
            self.perform(person, number, Kind::Unfreeze(person)).await;
        }
        self.operations
    }

    async fn perform(&mut self, person: usize, number: u64, kind: Kind) {
        let word = if matches!(kind, Kind::Freeze(_)) { "freeze" } else { "unfreeze" };
        let command = Command {
            kind,
            amount: Amount::from_text("0"),
            payee: self.people.get(person).map(|person| person.id.to_string()).unwrap_or_default(),
            expires_in: None,
            tag: format!("{}-{word}-{number}", self.world.run),
        };
        let started = self.world.now();
        let outcome = self.outcome(&command).await;
        let ended = self.world.now();
        self.operations.push(Operation { person, kind, amount: 0, tag: command.tag, started, ended, outcome });
    }

    async fn outcome(&mut self, command: &Command) -> Outcome {
        loop {
            match by_http(&mut self.client, &self.admin.token, command).await {
                Attempt::Done { answer, .. } => return Outcome::Acknowledged(vec![answer]),
                Attempt::Refused(code) => return Outcome::Refused(code),
                Attempt::SignIn | Attempt::Again(_) if self.world.given_up() => return Outcome::Unknown,
                Attempt::SignIn if self.admin.sign_in(&mut self.client).await => {}
                Attempt::SignIn => return Outcome::Refused("the administrator's token has ended".into()),
                Attempt::Foreign(what) => {
                    self.world.foreign(what);
                    return Outcome::Unknown;
                }
                Attempt::Again(after) => sleep(after.unwrap_or(Duration::from_millis(100))).await,
            }
        }
    }
}
