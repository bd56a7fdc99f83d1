//! Of several rules broken, the first of [`RoomRefused`]'s order is named: for every set of rules that
//! a request can break at once.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::UserId;
use domain::ledger::{Fingerprint, Principal};
use domain::room::state::MEMBERS_MAX;
use domain::room::{Member, Original, Past, Profile, Rank, RoomFacts, RoomKind, RoomRefused, RoomRequest};
use uuid::Uuid;

use crate::people::{ANNA, BEN, CARA, Hall, publish, text};

/// A request about to be made.
#[derive(Clone)]
struct Subject {
    hall: Hall,
    who: UserId,
    facts: RoomFacts,
    request: RoomRequest,
}

impl Subject {
    fn profile(&mut self) -> &mut Profile {
        Arc::make_mut(self.hall.room.profile.as_mut().unwrap())
    }
}

/// Breaks one rule, whatever else is broken.
type Fault = (RoomRefused, fn(&mut Subject));

const KEY_REUSED: Fault = (RoomRefused::KeyReused, |subject| {
    subject.facts.past = Some(Past { offset: 1, fingerprint: Some(Fingerprint([9; 16])) });
});
const NOT_FOUND: Fault = (RoomRefused::NotFound, |subject| subject.hall.room.profile = None);
const WRONG_KIND: Fault = (RoomRefused::WrongKind, |subject| {
    let members = subject.hall.room.profile.as_ref().map(|profile| profile.members.clone());
    if let Some(members) = members {
        subject.profile().kind = RoomKind::direct(ANNA, BEN).unwrap();
        subject.profile().members = members;
        subject.hall.kind = None;
    }
});
const CLOSED: Fault = (RoomRefused::Closed, |subject| {
    if subject.hall.room.profile.is_some() {
        subject.profile().closed = true;
    }
});
const STRANGER: Fault = (RoomRefused::NotAMember, |subject| subject.who = CARA);
const NOT_MODERATOR: Fault = (RoomRefused::NotAllowed, |subject| {
    if subject.hall.room.profile.is_some() {
        let who = subject.who;
        if let Some(member) = subject.profile().members.get_mut(&who) {
            member.rank = Rank::Member;
        }
    }
});
const NOT_AUTHOR: Fault = (RoomRefused::NotAllowed, |subject| {
    if let Some(original) = &mut subject.facts.original {
        original.by = Principal::System;
    }
});
const MUTED: Fault = (RoomRefused::Muted, |subject| {
    let (who, until) = (subject.who, subject.hall.at.after(Duration::from_mins(1)));
    if subject.hall.room.profile.is_some()
        && let Some(member) = subject.profile().members.get_mut(&who)
    {
        member.muted_until = Some(until);
    }
});
const BLOCKED: Fault = (RoomRefused::Blocked, |subject| {
    if subject.hall.room.profile.is_some() {
        subject.profile().blocked_by.insert(BEN);
    }
});
const TARGET_AWAY: Fault = (RoomRefused::TargetNotAMember, |subject| target(&mut subject.request, CARA));
const TARGET_SELF: Fault = (RoomRefused::TargetIsSelf, |subject| {
    let who = subject.who;
    target(&mut subject.request, who);
});
const FULL: Fault = (RoomRefused::Full, |subject| {
    if subject.hall.room.profile.is_some() {
        let member = Member { rank: Rank::Member, since: 1, muted_until: None };
        let more = (1_000..).map(|number| (UserId(Uuid::from_u128(number)), member));
        subject.profile().members.extend(more.take(MEMBERS_MAX));
    }
});
const NO_MESSAGE: Fault = (RoomRefused::MessageNotFound, |subject| subject.facts.original = None);
const DELETED: Fault = (RoomRefused::MessageDeleted, |subject| {
    if let Some(original) = &mut subject.facts.original {
        original.deleted = true;
    }
});
const NO_NAME: Fault = (RoomRefused::NameOutOfRange, |subject| match &mut subject.request {
    RoomRequest::Rename { name } => *name = text(257),
    other => panic!("has no name: {other:?}"),
});
const NO_BODY: Fault = (RoomRefused::BodyOutOfRange, |subject| match &mut subject.request {
    RoomRequest::Publish { body, .. } | RoomRequest::Edit { body, .. } => *body = text(0),
    other => panic!("has no body: {other:?}"),
});
const TOO_LONG: Fault = (RoomRefused::DurationOutOfRange, |subject| match &mut subject.request {
    RoomRequest::Publish { lasts, .. } => *lasts = Some(Duration::from_hours(24 * 91)),
    RoomRequest::Mute { lasts, .. } => *lasts = Duration::ZERO,
    other => panic!("lasts for ever: {other:?}"),
});

fn target(request: &mut RoomRequest, whom: UserId) {
    match request {
        RoomRequest::Kick { user } | RoomRequest::Mute { user, .. } | RoomRequest::Invite { user } => *user = whom,
        other => panic!("is about nobody: {other:?}"),
    }
}

/// Breaks every subset of the rules and looks for the first.
fn check(request: &RoomRequest, faults: &[Fault]) {
    assert!(faults.windows(2).all(|pair| pair[0].0 <= pair[1].0), "faults stand in the order of the rules");
    for set in 1_u32..1 << faults.len() {
        let mut subject =
            Subject { hall: Hall::group(), who: ANNA, facts: RoomFacts::default(), request: request.clone() };
        if request.original().is_some() {
            subject.facts.original = Some(Original { by: Principal::Person(ANNA), expires_at: None, deleted: false });
        }
        let broken: Vec<_> = faults.iter().enumerate().filter(|(at, _)| set & 1 << at != 0).map(|(_, it)| it).collect();
        // Who asks is settled first: other faults are about them.
        for stranger in [true, false] {
            for (_, fault) in broken.iter().filter(|(rule, _)| (*rule == RoomRefused::NotAMember) == stranger) {
                fault(&mut subject);
            }
        }
        let decided = subject.hall.ask_with(Principal::Person(subject.who), &subject.facts, subject.request.clone());
        assert_eq!(
            decided.answer,
            Err(broken[0].0),
            "{request:?} with {:?}",
            broken.iter().map(|it| it.0).collect::<Vec<_>>()
        );
        assert_eq!((decided.events.len(), &decided.room), (0, &subject.hall.room));
    }
    let mut whole = Hall::group();
    let original =
        request.original().map(|_| Original { by: Principal::Person(ANNA), expires_at: None, deleted: false });
    let decided = whole.ask_with(Principal::Person(ANNA), &RoomFacts { past: None, original }, request.clone());
    assert!(whole.take(decided).is_ok(), "without a fault it is done: {request:?}");
}

#[test]
fn publishing() {
    check(&publish(), &[KEY_REUSED, NOT_FOUND, CLOSED, STRANGER, MUTED, BLOCKED, NO_BODY]);
    check(&publish(), &[NOT_FOUND, CLOSED, STRANGER, MUTED, NO_BODY, TOO_LONG]);
}

#[test]
fn editing_and_deleting() {
    let edit = RoomRequest::Edit { of: 3, body: text(1) };
    check(&edit, &[NOT_FOUND, CLOSED, STRANGER, NOT_AUTHOR, MUTED, BLOCKED]);
    check(&edit, &[CLOSED, STRANGER, MUTED, NO_MESSAGE, NO_BODY]);
    check(&edit, &[CLOSED, STRANGER, MUTED, DELETED, NO_BODY]);
    let delete = RoomRequest::Delete { of: 3 };
    check(&delete, &[NOT_FOUND, CLOSED, STRANGER, NO_MESSAGE]);
}

#[test]
fn moderating() {
    let mute = RoomRequest::Mute { user: BEN, lasts: Duration::from_mins(1) };
    check(&mute, &[NOT_FOUND, CLOSED, STRANGER, NOT_MODERATOR, TARGET_SELF, TOO_LONG]);
    check(&mute, &[WRONG_KIND, CLOSED, STRANGER, NOT_MODERATOR, TOO_LONG]);
    let kick = RoomRequest::Kick { user: BEN };
    check(&kick, &[NOT_FOUND, CLOSED, STRANGER, NOT_MODERATOR, TARGET_SELF]);
    check(&kick, &[WRONG_KIND, CLOSED, NOT_MODERATOR, TARGET_AWAY]);
    let rename = RoomRequest::Rename { name: text(3) };
    check(&rename, &[WRONG_KIND, CLOSED, STRANGER, NOT_MODERATOR, NO_NAME]);
    let invite = RoomRequest::Invite { user: CARA };
    check(&invite, &[WRONG_KIND, CLOSED, NOT_MODERATOR, FULL]);
    check(&invite, &[NOT_FOUND, CLOSED, NOT_MODERATOR, TARGET_SELF]);
}
