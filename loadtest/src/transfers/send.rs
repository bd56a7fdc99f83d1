//! Sending transfers, each when it is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::Mutex;
use protocol::amount::Amount;
use protocol::http::account::{TransactionResponse, TransferRequest};
use uuid::Uuid;

use crate::http::{Client, Target};
use crate::meter::Meter;
use crate::pace::{Pace, Ticket};
use crate::who::Bearer;

/// How long an answer may take before the transfer counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most transfers whose id is kept, to match them with what payees hear.
const SENT_MAX: usize = 4_000_000;

/// When each transfer was due, by its id.
pub(super) type Due = Mutex<Vec<(Uuid, Instant)>>;

/// What all connections share.
pub(super) struct Load {
    /// Where the server is.
    pub(super) target: Target,
    /// Begins every idempotency key.
    pub(super) run: String,
    /// Who pays and is paid.
    pub(super) people: Arc<[Bearer]>,
    /// The first so many of them are paid.
    pub(super) payees: usize,
    /// When each is due.
    pub(super) pace: Arc<Pace>,
    /// What happens.
    pub(super) meter: Arc<Meter>,
    /// What was sent, where payees listen.
    pub(super) sent: Option<Due>,
}

/// What became of one transfer.
pub(crate) enum Sent {
    /// It was made; its body, if it is of use.
    Done {
        /// The payee's side was not known yet.
        pending: bool,
        /// Its id, if that matters.
        id: Option<Uuid>,
    },
    /// It was refused, for this reason.
    Refused(String),
    /// No answer in time, a broken connection, or none that could be read.
    Unanswered,
}

impl Load {
    /// Sends one transfer after the other, each when it is due.
    pub(super) async fn send_on_one_connection(self: Arc<Self>) {
        let mut client = Client::new(self.target.clone(), PATIENCE);
        while let Some(Ticket { number, due }) = self.pace.next().await {
            let sent = Instant::now();
            let outcome = self.send(&mut client, number).await;
            if !self.pace.counts(due) {
                continue;
            }
            self.meter.time("late", sent.saturating_duration_since(due));
            match outcome {
                Sent::Done { pending, id } => {
                    self.meter.time("answer", due.elapsed());
                    self.meter.count(if pending { "pending" } else { "completed" });
                    if let (Some(id), Some(kept)) = (id, &self.sent) {
                        let mut kept = kept.lock();
                        if kept.len() < SENT_MAX {
                            kept.push((id, due));
                        }
                    }
                }
                Sent::Refused(code) => self.meter.count(format!("refused {code}")),
                Sent::Unanswered => self.meter.count("unanswered"),
            }
        }
    }

    async fn send(&self, client: &mut Client, ticket: u64) -> Sent {
        let Some((payer, payee)) = pair(ticket, self.people.len(), self.payees) else { return Sent::Unanswered };
        let (Some(payer), Some(payee)) = (self.people.get(payer), self.people.get(payee)) else {
            return Sent::Unanswered;
        };
        transfer(client, payer, payee.id, &format!("{}-{ticket}", self.run), self.sent.is_some()).await
    }
}

/// Payer and payee of a ticket: two who differ, spread over the people by the golden ratio.
fn pair(ticket: u64, people: usize, payees: usize) -> Option<(usize, usize)> {
    let spread = ticket.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let people = people as u64;
    let payee = (spread >> 33).checked_rem(payees as u64)?;
    let others = people.checked_sub(1)?;
    let payer = (payee + 1 + ((spread >> 3) & 0x3fff_ffff).checked_rem(others)?).checked_rem(people)?;
    Some((usize::try_from(payer).ok()?, usize::try_from(payee).ok()?))
}

/// Pays the smallest unit.
pub(crate) async fn transfer(client: &mut Client, payer: &Bearer, payee: Uuid, key: &str, with_id: bool) -> Sent {
    let body = TransferRequest {
        to: Some(payee.to_string()),
        recipient: None,
        amount: Amount::from_text("0.01"),
        description: None,
        category: None,
    };
    match client.post("/api/v1/account/transfer", Some(&payer.token), Some(key), &body).await {
        Err(_) => Sent::Unanswered,
        Ok(answer) if answer.status == StatusCode::CREATED || answer.status == StatusCode::ACCEPTED => {
            let pending = answer.status == StatusCode::ACCEPTED;
            // Parsing costs the tool; where nobody listens the status says enough.
            match with_id.then(|| answer.read::<TransactionResponse>()) {
                None => Sent::Done { pending, id: None },
                Some(Ok(body)) => Sent::Done { pending, id: Some(body.transaction.id.0) },
                Some(Err(_)) => Sent::Unanswered,
            }
        }
        Ok(answer) => Sent::Refused(
            answer.problem().map_or_else(|| answer.status.to_string(), |problem| problem.code.to_string()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_pays_themselves() {
        for (people, payees) in [(2, 2), (3, 1), (1000, 64)] {
            for ticket in 0..1000 {
                let (payer, payee) = pair(ticket, people, payees).unwrap();
                assert!(payer != payee && payer < people && payee < payees, "{ticket} of {people}, {payees}");
            }
        }
        assert_eq!(pair(0, 1, 1), None);
        assert_eq!(pair(0, 0, 0), None);
    }
}
