//! Who takes part: people with access tokens, however they came by them.
//!
//! What a token costs depends on where it is from, so every result says which way it was:
//! `--mint` signs tokens with the development key of a node's data folder, `--signin` signs in over
//! HTTP at a rate of its own before anything is measured, `--tokens` alone takes tokens from a file,
//! and without any of them people sign up.

mod file;
mod mint;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::mint::Mint;
use crate::http::{Client, Target};
use crate::length::float;
use crate::pace::Pace;
use crate::person::{self, Person};

/// How many sessions one person may have; the server closes the oldest of more.
pub(crate) const SESSIONS_PER_PERSON_MAX: usize = 32;
/// The most sign-ins in flight: a server hashes as many at once as it has cores.
const SIGN_INS_IN_FLIGHT: usize = 8;
/// The default of `--people`: few enough to sign up in seconds.
const PEOPLE: usize = 64;

/// Where the tokens come from.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// Sign the tokens with the development key in the node's data folder (see --data).
    #[arg(long, conflicts_with = "signin")]
    mint: bool,
    /// The node's data folder, for --mint.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// Sign each session in over HTTP before anything is measured.
    #[arg(long)]
    signin: bool,
    /// Sign-ins a second, for --signin.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    signin_rate: u32,
    /// People who are there: a user's id, a tab and an access token a line, as `quickpe admin
    /// synthesize --tokens` writes them. With --mint only the ids are used.
    #[arg(long)]
    tokens: Option<PathBuf>,
    /// How many people to sign up if --tokens names none; sessions share them, at most 32 each.
    #[arg(long, alias = "users", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    people: Option<u32>,
}

/// Someone with an access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bearer {
    /// The user's id.
    pub(crate) id: Uuid,
    /// The token.
    pub(crate) token: String,
}

/// People, and how they came by their tokens.
pub(crate) struct Bearers {
    /// Each with a token.
    pub(crate) all: Vec<Bearer>,
    /// Which way, for the result.
    pub(crate) way: String,
}

impl Bearers {
    /// Whose session this is: sessions go round the people.
    pub(crate) fn of(&self, session: usize) -> Option<&Bearer> {
        self.all.get(session.checked_rem(self.all.len())?)
    }
}

impl Options {
    /// Whether people come from a file, and may be taken to have money.
    pub(crate) fn has_file(&self) -> bool {
        self.tokens.is_some()
    }

    /// People for so many sessions.
    pub(crate) async fn bearers(&self, target: &Target, run: &str, sessions: usize) -> anyhow::Result<Bearers> {
        let listed = self.tokens.as_deref().map(file::read).transpose()?;
        let needed = sessions.div_ceil(SESSIONS_PER_PERSON_MAX);
        let count = match (&listed, self.people) {
            (Some(listed), None) => listed.len(),
            (Some(listed), Some(people)) => (people as usize).min(listed.len()),
            (None, Some(people)) => people as usize,
            (None, None) => PEOPLE.max(needed).min(sessions.max(1)),
        };
        ensure!(
            count >= needed,
            "{sessions} sessions need at least {needed} people, at most {SESSIONS_PER_PERSON_MAX} sessions each; there are {count}"
        );
        if self.signin {
            ensure!(listed.is_none(), "--signin signs up people of its own: leave --tokens out");
            let people = person::sign_up(target, run, count).await?;
            return sign_in(target, people, sessions, self.signin_rate).await;
        }
        let mint = self.mint.then(|| Mint::open(&self.data)).transpose()?;
        let (mut all, source) = if let Some(mut listed) = listed {
            listed.truncate(count);
            (listed, "from a file")
        } else {
            let people = person::sign_up(target, run, count).await?;
            let all = people.into_iter().map(|person| Bearer { id: person.id, token: person.token });
            (all.collect(), "who signed up")
        };
        let Some(mint) = mint else {
            let way = format!("tokens of {} people {source}", all.len());
            return Ok(Bearers { all, way });
        };
        for bearer in &mut all {
            bearer.token = mint.token(bearer.id)?;
        }
        let way = format!("--mint: tokens signed with the development key for {} people {source}", all.len());
        Ok(Bearers { all, way })
    }
}

/// Signs in once a session, at a rate.
async fn sign_in(target: &Target, people: Vec<Person>, sessions: usize, rate: u32) -> anyhow::Result<Bearers> {
    let (count, began) = (people.len(), std::time::Instant::now());
    let length = Duration::from_secs(sessions as u64).div_f64(f64::from(rate));
    let pace = Pace::start(Some(rate), Duration::ZERO, length + Duration::from_secs(1));
    let turns = (0..sessions).map(|number| {
        let (pace, people) = (&pace, &people);
        async move {
            pace.next().await.context("the sign-ins took too long")?;
            let mut person = people.get(number % count).cloned().context("nobody signed up")?;
            let mut client = Client::new(target.clone(), person::SIGN_PATIENCE);
            person.sign_in(&mut client).await?;
            anyhow::Ok(Bearer { id: person.id, token: person.token })
        }
    });
    let all: Vec<_> = futures_util::stream::iter(turns).buffered(SIGN_INS_IN_FLIGHT).try_collect().await?;
    let made = float(all.len() as u64) / began.elapsed().as_secs_f64();
    let way = format!("--signin: {} sign-ins of {count} people over HTTP, {made:.0}/s", all.len());
    Ok(Bearers { all, way })
}
