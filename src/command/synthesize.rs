//! `quickpe admin synthesize`: people with funded accounts, to try things with.
//!
//! They share one real hash of one password, because hashing it for each would take 25 ms a person; their money comes
//! in through the real commands. Making the same number again adds as many more.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use actors::call::CommandError;
use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use domain::ids::{AccountId, OperationId, TransferId, UserId, random};
use domain::ledger::{Command, Opening, Party, Request};
use domain::money::Minor;
use futures_util::StreamExt;
use storage::identity::{CREATE_MAX, Email, NewUser, PersonName, Role, SignUp};

use crate::command::Context;
use crate::command::failure::Failure;
use crate::command::output::Output;
use crate::config::Profile;
use crate::node::stores::Progress;

/// The password of all of them.
pub const PASSWORD: &str = "synthetic-password";

/// Commands in flight at a time: enough to fill every shard's next record.
const IN_FLIGHT: usize = 2_048;

/// People made in one commit.
const BATCH: usize = 5_000;
const _: () = assert!(BATCH <= CREATE_MAX);

/// How long what is busy is left alone, at most: the journal makes room within milliseconds.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(50);

/// How often a command is given again whose outcome is not known in time: minutes, on a machine that does much else.
const UNKNOWN_MAX: u32 = 12;

/// Makes `count` people, who then pay each other `transfers` times.
///
/// # Errors
/// The profile is not development, the balance is no amount, or a store does not answer.
pub async fn run(
    context: &Context,
    count: u32,
    balance: &str,
    tokens: Option<&Path>,
    transfers: u64,
    out: &Output,
) -> Result<(), Failure> {
    let app = &context.app;
    if app.config.profile != Profile::Development {
        return Err(Failure::usage("people are synthesized in the development profile only"));
    }
    let balance = app.currency.parse(balance).ok().filter(|balance| balance.is_balance());
    let balance = balance.ok_or_else(|| Failure::usage("`--balance` is no amount"))?;
    let hash =
        tokio::task::spawn_blocking(password_hash).await.map_err(|error| Failure::failed(error.to_string()))??;
    let mut users = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    let run = context.app.new_id().simple().to_string();
    while users.len() < usize::try_from(count).unwrap_or(usize::MAX) {
        let first = users.len();
        let most = usize::try_from(count).unwrap_or(usize::MAX).min(first + BATCH);
        let batch: Result<Vec<_>, _> = (first..most).map(|number| new_user(context, &run, number, &hash)).collect();
        for made in app.identity.create_users(batch?).await? {
            match made {
                SignUp::Created(user) => users.push(user.id),
                SignUp::EmailTaken | SignUp::IdTaken => return Err(Failure::failed("a new person's name is taken")),
            }
        }
        out.progress(Progress { done: users.len() as u64, of: u64::from(count), records: 0 });
    }
    if balance.is_positive() {
        fund(context, &users, balance, out).await?;
    }
    if transfers > 0 {
        pay(context, &users, transfers, out).await?;
    }
    if let Some(path) = tokens {
        write_tokens(context, &users, path)?;
    }
    let amount = app.currency.format(balance);
    let code = app.currency.code();
    out.line(format!("{count} people with {amount} {code} each, all with the password `{PASSWORD}`")).await;
    Ok(())
}

fn new_user(context: &Context, run: &str, number: usize, hash: &str) -> Result<NewUser, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let name = |text: String| PersonName::parse(&text).map_err(|error| failed(&error));
    Ok(NewUser {
        id: UserId(context.app.new_id()),
        email: Email::parse(&format!("{number}.{run}@synthetic.example")).map_err(|error| failed(&error))?,
        first_name: name("Synthetic".to_owned())?,
        last_name: name(format!("Person {number}"))?,
        password_hash: hash.to_owned(),
        role: Role::User,
        region: None,
        created_at: context.app.clock.now(),
    })
}

/// Deposits to everybody.
async fn fund(context: &Context, users: &[UserId], balance: Minor, out: &Output) -> Result<(), Failure> {
    let deposits = users.iter().copied().map(|user| {
        let account = AccountId::of(user, context.app.currency);
        let transfer = TransferId(random(account, rand::random()));
        submit(context, user, Request::Deposit { transfer, amount: balance, fingerprint: None, note: None })
    });
    many_at_a_time(deposits, users.len() as u64, out).await
}

/// Has one of them pay another the smallest amount there is, `count` times.
async fn pay(context: &Context, users: &[UserId], count: u64, out: &Output) -> Result<(), Failure> {
    if users.len() < 2 {
        return Err(Failure::usage("`--transfers` needs two people"));
    }
    let payments = (0..count).map(|_| {
        let payer = rand::random_range(0..users.len());
        let payee = (payer + rand::random_range(1..users.len())) % users.len();
        let (payer, payee) = (users[payer], users[payee]);
        let account = |user| AccountId::of(user, context.app.currency);
        let request = Request::Transfer {
            transfer: TransferId(random(account(payer), rand::random())),
            payee: Party { user: payee, account: account(payee) },
            amount: Minor::new(1),
            fingerprint: None,
            note: None,
        };
        submit(context, payer, request)
    });
    many_at_a_time(payments, count, out).await
}

/// Does all of it, some of it at a time.
async fn many_at_a_time(
    work: impl Iterator<Item = impl Future<Output = Result<(), Failure>>>,
    of: u64,
    out: &Output,
) -> Result<(), Failure> {
    let mut flight = futures_util::stream::iter(work).buffer_unordered(IN_FLIGHT);
    let mut done = 0;
    while let Some(ended) = flight.next().await {
        ended?;
        done += 1;
        out.progress(Progress { done, of, records: 0 });
    }
    Ok(())
}

async fn submit(context: &Context, owner: UserId, request: Request) -> Result<(), Failure> {
    let app = &context.app;
    let account = AccountId::of(owner, app.currency);
    let origin = actors::ledger::system_origin(OperationId(app.new_id()));
    let command = Command { origin, opening: Opening { owner, currency: app.currency }, request };
    let mut unknown = 0;
    loop {
        match app.ledger.submit(account, command.clone()).await {
            Ok(_) => return Ok(()),
            // A transfer has one effect, however often it is asked for.
            Err(CommandError::Unknown) if unknown < UNKNOWN_MAX => unknown += 1,
            Err(CommandError::Busy { retry_after } | CommandError::PayeeUnavailable { retry_after }) => {
                tokio::time::sleep(retry_after.min(PATIENCE)).await;
            }
            Err(error) => return Err(Failure::failed(format!("a synthetic command failed: {error}"))),
        }
    }
}

/// One real hash of [`PASSWORD`].
fn password_hash() -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("the password cannot be hashed: {error}"));
    let hash = Argon2::default().hash_password(PASSWORD.as_bytes()).map_err(|error| failed(&error))?;
    Ok(hash.to_string())
}

/// One line a person: id, tab, access token. Only the owner may read the file.
fn write_tokens(context: &Context, users: &[UserId], path: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", path.display()));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    let mut file = BufWriter::new(file);
    let now = context.app.clock.now();
    for user in users {
        let token = context.app.tokens.issue_access(*user, Role::User, None, None, now);
        let token = token.map_err(|code| Failure::failed(code.message()))?;
        writeln!(file, "{user}\t{token}").map_err(failed)?;
    }
    file.flush().map_err(failed)
}
