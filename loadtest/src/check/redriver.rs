//! An administrator who lists dead letters, has them offered again, one or many, and sees them resolved.

use std::sync::Arc;
use std::time::Duration;

use protocol::http::admin::{DeadLetter, RedriveRequest, RedriveResponse};
use protocol::http::page::Items;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::freezer::Administrator;
use super::history::{LetterSeen, Stream};
use super::worker::PATIENCE;
use super::world::World;
use crate::http::Client;
use crate::person::Person;

/// How often an administrator looks.
const LOOK: Duration = Duration::from_millis(700);
/// The most letters of one person that are read: beyond it something is very wrong.
const LETTERS_MAX: usize = 20_000;

/// An administrator at work.
pub(crate) struct Redriver {
    world: Arc<World>,
    people: Vec<Person>,
    admin: Administrator,
    client: Client,
    rng: StdRng,
}

impl Redriver {
    /// One who looks after the dead letters of these people.
    pub(crate) fn new(world: Arc<World>, people: Vec<Person>, admin: Administrator, seed: u64) -> Self {
        let client = Client::new(world.target.clone(), PATIENCE);
        Self { world, people, admin, client, rng: StdRng::seed_from_u64(seed.rotate_left(49)) }
    }

    /// Has letters offered again now and then, until `settling` says that nothing new happens; then all of them, until
    /// none is open or `patience` is over. Answers all that there are.
    pub(crate) async fn work(
        mut self,
        mut settling: watch::Receiver<bool>,
        patience: Duration,
    ) -> anyhow::Result<Vec<LetterSeen>> {
        while !*settling.borrow_and_update() {
            tokio::select! {
                _ = settling.changed() => {}
                () = sleep(LOOK) => {
                    // The server may be away.
                    if self.redrive_some().await.is_err() {
                        self.admin.sign_in(&mut self.client).await;
                    }
                }
            }
        }
        let deadline = Instant::now() + patience;
        loop {
            let all = self.all().await;
            let open = |letters: &Vec<LetterSeen>| letters.iter().any(|letter| !letter.resolved);
            match all {
                Ok(letters) if !open(&letters) || Instant::now() >= deadline => return Ok(letters),
                Ok(_) => _ = self.redrive_many(RedriveRequest::default()).await,
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => _ = self.admin.sign_in(&mut self.client).await,
            }
            sleep(LOOK).await;
        }
    }

    /// Has one letter of somebody offered again, or many by a filter.
    async fn redrive_some(&mut self) -> anyhow::Result<()> {
        let turn = self.rng.random_range(0..self.people.len());
        let Some(user) = self.people.get(turn).map(|person| person.id.to_string()) else { return Ok(()) };
        if self.rng.random_bool(0.3) {
            let class = self.rng.random_bool(0.5).then(|| "money".to_owned());
            let rate_per_second = Some(self.rng.random_range(20..=1_000));
            return self.redrive_many(RedriveRequest { class, user: Some(user), rate_per_second, reason: None }).await;
        }
        let path = format!("/api/v1/admin/dead-letters?user={user}&open=true&limit=100");
        let page: Items<DeadLetter> = self.client.get(&path, self.admin.token()).await?.read()?;
        let Some(letter) = page.items.get(self.rng.random_range(0..page.items.len().max(1))) else { return Ok(()) };
        let path = format!("/api/v1/admin/dead-letters/{}/redrive", letter.id);
        let answer = self.client.post(&path, Some(self.admin.token()), None, &()).await?;
        // It may have been resolved since, or be of the ledger.
        if !answer.status.is_success()
            && answer.status != http::StatusCode::CONFLICT
            && !answer.status.is_server_error()
        {
            self.world.foreign(format!("{path} answered {}: {:?}", answer.status, answer.problem()));
        }
        Ok(())
    }

    /// Begins a job, and waits until it is done.
    async fn redrive_many(&mut self, request: RedriveRequest) -> anyhow::Result<()> {
        let path = "/api/v1/admin/dead-letters/redrive";
        let begun = self.client.post(path, Some(self.admin.token()), None, &request).await?;
        let RedriveResponse { job, .. } = begun.read()?;
        let path = format!("{path}/{job}");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let progress: RedriveResponse = self.client.get(&path, self.admin.token()).await?.read()?;
            if progress.done {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// All dead letters of deliveries to these people.
    async fn all(&mut self) -> anyhow::Result<Vec<LetterSeen>> {
        let mut letters = Vec::new();
        for (number, person) in self.people.iter().enumerate() {
            let list = format!("/api/v1/admin/dead-letters?user={}&limit=100", person.id);
            let mut path = list.clone();
            loop {
                let page: Items<DeadLetter> = self.client.get(&path, self.admin.token()).await?.read()?;
                letters.extend(page.items.into_iter().filter_map(|letter| seen(number, letter)));
                match page.next_cursor.filter(|_| letters.len() < LETTERS_MAX) {
                    Some(cursor) => path = format!("{list}&cursor={cursor}"),
                    None => break,
                }
            }
        }
        Ok(letters)
    }
}

/// A letter of a delivery, to one device or to a person.
fn seen(person: usize, letter: DeadLetter) -> Option<LetterSeen> {
    let stream = match letter.class.map(protocol::event::Class::as_str) {
        Some("money") => Stream::Account(person),
        Some("notice") => Stream::User(person),
        Some(_) => Stream::Room(usize::MAX),
        None => return None,
    };
    let offsets = letter.offsets?;
    Some(LetterSeen {
        id: letter.id,
        stream,
        device: letter.device_id,
        offsets: (offsets.from, offsets.to),
        reason: letter.reason,
        last_error: letter.last_error.unwrap_or_default(),
        resolved: letter.resolved_at.is_some(),
    })
}
