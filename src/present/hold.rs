//! A hold, as its payer and payee see it.

use actors::projector::cells::{HoldOutcome, HoldRow};
use domain::ids::UserId;
use domain::ledger::ReleaseCause;
use domain::money::Minor;
use protocol::amount::Major;
use protocol::http::hold::{Hold, HoldStatus};
use protocol::value::Time;

use crate::app::App;
use crate::failure::Failure;
use crate::present::note::Note;

/// A hold, with names and text as they are now.
///
/// # Errors
/// A store does not answer.
pub async fn hold(app: &App, viewer: UserId, row: &HoldRow) -> Result<Hold, Failure> {
    let note = Note::open(&app.sealer, row.note.as_ref(), viewer).await?;
    let (status, captured_minor) = status(row.outcome);
    Ok(Hold {
        id: row.hold,
        status,
        amount: Major::of(row.amount, row.currency),
        amount_minor: row.amount,
        captured_minor,
        currency: row.currency.into(),
        payer: app.people.party(row.payer.user).await?,
        payee: app.people.party(row.payee.user).await?,
        expires_at: Time::of(row.expires_at),
        description: note.description,
    })
}

/// The protocol's word for how far a hold is, and how much of it was captured.
const fn status(outcome: HoldOutcome) -> (HoldStatus, Minor) {
    match outcome {
        HoldOutcome::Held => (HoldStatus::Held, Minor::ZERO),
        HoldOutcome::Captured { amount, .. } => (HoldStatus::Captured, amount),
        HoldOutcome::Released(ReleaseCause::Payer | ReleaseCause::Payee) => (HoldStatus::Released, Minor::ZERO),
        HoldOutcome::Released(ReleaseCause::Expired) => (HoldStatus::Expired, Minor::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::TransferId;
    use uuid::Uuid;

    #[test]
    fn every_outcome_has_its_status() {
        let captured = HoldOutcome::Captured { transfer: TransferId(Uuid::nil()), amount: Minor::new(3) };
        for (outcome, expected) in [
            (HoldOutcome::Held, (HoldStatus::Held, 0)),
            (captured, (HoldStatus::Captured, 3)),
            (HoldOutcome::Released(ReleaseCause::Payer), (HoldStatus::Released, 0)),
            (HoldOutcome::Released(ReleaseCause::Payee), (HoldStatus::Released, 0)),
            (HoldOutcome::Released(ReleaseCause::Expired), (HoldStatus::Expired, 0)),
        ] {
            let (status, captured) = status(outcome);
            assert_eq!((status, captured.get()), expected, "{outcome:?}");
        }
    }
}
