//! Who pays whom.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use protocol::amount::Amount;
use protocol::http::account::FundingRequest;
use uuid::Uuid;

use crate::http::{Client, Target};
use crate::person;

/// What each person gets who was signed up here: a hundred million transfers of the smallest unit.
const FUNDS: &str = "1000000";
/// How long a deposit may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A person who has money and pays.
pub(crate) struct Payer {
    /// The id.
    pub(crate) id: Uuid,
    /// An access token that outlives the run.
    pub(crate) token: String,
}

/// The people of a file, or new ones with funds.
pub(crate) async fn people(
    target: &Target,
    run: &str,
    file: Option<&Path>,
    count: usize,
) -> anyhow::Result<Vec<Payer>> {
    let people = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            read(&text).with_context(|| path.display().to_string())?
        }
        None => fund(target, run, count).await?,
    };
    ensure!(people.len() >= 2, "transfers need two people");
    Ok(people)
}

fn read(text: &str) -> anyhow::Result<Vec<Payer>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let (id, token) = line.split_once('\t').with_context(|| format!("line {}: no tab", number + 1))?;
            let id = id.trim().parse().with_context(|| format!("line {}: no user id", number + 1))?;
            Ok(Payer { id, token: token.trim().to_owned() })
        })
        .collect()
}

async fn fund(target: &Target, run: &str, count: usize) -> anyhow::Result<Vec<Payer>> {
    let people = person::sign_up(target, run, count).await?;
    let mut client = Client::new(target.clone(), PATIENCE);
    let mut payers = Vec::with_capacity(people.len());
    for person in people {
        let body = FundingRequest { amount: Amount::from_text(FUNDS), description: None };
        let key = format!("{run}-fund-{}", person.id);
        let answer = client.post("/api/v1/account/deposit", Some(&person.token), Some(&key), &body).await?;
        answer.read::<serde_json::Value>().context("deposit")?;
        payers.push(Payer { id: person.id, token: person.token });
    }
    Ok(payers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_an_id_and_a_token_a_line() {
        let payers =
            read("0193503e-6f00-7000-8000-000000000001\ta.b.c\n\n0193503e-6f00-7000-8000-000000000002\td.e.f\r\n");
        let payers = payers.unwrap();
        assert_eq!(payers.len(), 2);
        assert_eq!(payers[1].token, "d.e.f");
        let error = read("\n0193503e-6f00-7000-8000-000000000001 a.b.c").map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
