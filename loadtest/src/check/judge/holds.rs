//! Promises of a hold: resolved once, captures within it, and what is set aside adds up.

use std::collections::HashMap;

use protocol::http::hold::HoldStatus;
use uuid::Uuid;

use super::{Promise, Verdict};
use crate::check::history::{History, HoldSeen, Kind, Operation, Outcome};

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    let mut resolved: HashMap<Uuid, Vec<&Operation>> = HashMap::new();
    let happened = |operation: &&Operation| matches!(operation.outcome, Outcome::Acknowledged(_));
    for operation in history.operations.iter().filter(happened) {
        if let Kind::Capture(hold) | Kind::Release(hold) = operation.kind {
            resolved.entry(hold).or_default().push(operation);
        }
    }
    for operation in history.operations.iter().filter(happened) {
        let (Kind::Hold(_), Outcome::Acknowledged(answers)) = (operation.kind, &operation.outcome) else { continue };
        let Some(id) = answers.first().map(|answer| answer.id) else { continue };
        let resolutions = resolved.remove(&id).unwrap_or_default();
        let seen = history.people.get(operation.person).map_or(&[][..], |person| person.holds.as_slice());
        let seen: Vec<&HoldSeen> = seen.iter().filter(|hold| hold.id == id).collect();
        let [hold] = seen.as_slice() else {
            verdict.fault(Promise::AcknowledgedOnce, format!("{} holds of {operation:?}", seen.len()));
            continue;
        };
        one(operation, hold, &resolutions, verdict);
    }
    for (id, operations) in resolved {
        verdict.fault(Promise::HoldOnce, format!("hold {id} was resolved and never made: {operations:?}"));
    }
    set_aside(history, verdict);
    for hold in history.people.iter().flat_map(|person| &person.holds) {
        if hold.status == HoldStatus::Held && history.short_holds.contains(&hold.id) {
            verdict.fault(Promise::NothingPending, format!("{hold:?} should have expired"));
        }
    }
}

/// One hold and what was told of its resolution.
fn one(made: &Operation, hold: &HoldSeen, resolutions: &[&Operation], verdict: &mut Verdict) {
    if hold.amount != made.amount {
        verdict.fault(Promise::AcknowledgedOnce, format!("{hold:?} is not what was asked: {made:?}"));
    }
    let captured: i64 = resolutions.iter().filter(|it| matches!(it.kind, Kind::Capture(_))).map(|it| it.amount).sum();
    let due = match resolutions {
        [] if hold.status == HoldStatus::Expired => HoldStatus::Expired,
        [] => HoldStatus::Held,
        [one] if matches!(one.kind, Kind::Capture(_)) => HoldStatus::Captured,
        // Releasing what is released is answered like the release itself: it has no key by which to be told apart.
        releases if releases.iter().all(|it| matches!(it.kind, Kind::Release(_))) => HoldStatus::Released,
        _ => {
            verdict.fault(Promise::HoldOnce, format!("hold {} was resolved by {resolutions:?}", hold.id));
            return;
        }
    };
    if hold.status != due || hold.captured != captured || hold.captured > hold.amount {
        verdict.fault(Promise::HoldOnce, format!("{hold:?} where it is {due:?} with {captured} captured"));
    }
}

/// What is set aside in an account is the sum of its open holds.
fn set_aside(history: &History, verdict: &mut Verdict) {
    for (number, person) in history.people.iter().enumerate() {
        let open =
            |hold: &&HoldSeen| hold.status == HoldStatus::Held && hold.payer.as_deref() == Some(person.handle.as_str());
        let sum: i64 = person.holds.iter().filter(open).map(|hold| hold.amount).sum();
        if sum != person.balance.held {
            let held = person.balance.held;
            verdict.fault(Promise::HoldOnce, format!("person {number}: {held} set aside, open holds of {sum}"));
        }
    }
}
