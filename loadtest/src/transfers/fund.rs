//! Money for people who have just signed up.

use std::time::Duration;

use anyhow::Context;
use protocol::amount::Amount;
use protocol::http::account::FundingRequest;

use crate::http::{Client, Target};
use crate::who::Bearer;

/// What each gets: enough to pay the smallest unit for hours.
const FUNDS: &str = "1000000";
/// How long a deposit may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Deposits to everybody.
pub(crate) async fn fund(target: &Target, run: &str, people: &[Bearer]) -> anyhow::Result<()> {
    let mut client = Client::new(target.clone(), PATIENCE);
    for person in people {
        let body = FundingRequest { amount: Amount::from_text(FUNDS), description: None };
        let key = format!("{run}-fund-{}", person.id);
        let answer = client.post("/api/v1/account/deposit", Some(&person.token), Some(&key), &body).await?;
        answer.read::<serde_json::Value>().context("deposit")?;
    }
    Ok(())
}
