//! What each command does, a row a case.

use std::time::Duration;

use domain::ledger::{Fingerprint, Principal};
use domain::room::{
    LeaveCause, MessageKey, Original, Past, Rank, RoomAnswer, RoomChange, RoomFacts, RoomKind, RoomRefused, RoomRequest,
};

use crate::people::{ANNA, BEN, CARA, Hall, create, publish, text};

const DONE: Result<RoomAnswer, RoomRefused> = Ok(RoomAnswer::Done);
const UNCHANGED: Result<RoomAnswer, RoomRefused> = Ok(RoomAnswer::Unchanged);

fn refused(rule: RoomRefused) -> Result<RoomAnswer, RoomRefused> {
    Err(rule)
}

#[test]
fn a_group_is_made_joined_and_left() {
    let mut hall = Hall::of(RoomKind::Group);
    for (who, request, answer) in [
        (ANNA, publish(), refused(RoomRefused::NotFound)),
        (ANNA, create(), DONE),
        (ANNA, create(), UNCHANGED),
        (BEN, create(), refused(RoomRefused::WrongKind)),
        (BEN, RoomRequest::Join, refused(RoomRefused::NotInvited)),
        (BEN, publish(), refused(RoomRefused::NotAMember)),
        (ANNA, RoomRequest::Invite { user: BEN }, DONE),
        (ANNA, RoomRequest::Invite { user: BEN }, UNCHANGED),
        (BEN, publish(), refused(RoomRefused::NotAMember)),
        (BEN, RoomRequest::Join, DONE),
        (BEN, RoomRequest::Join, UNCHANGED),
        (BEN, publish(), DONE),
        (BEN, RoomRequest::Rename { name: text(3) }, refused(RoomRefused::NotAllowed)),
        (ANNA, RoomRequest::Rename { name: text(3) }, DONE),
        (ANNA, RoomRequest::Leave, DONE),
        (ANNA, publish(), refused(RoomRefused::NotAMember)),
        (BEN, RoomRequest::Invite { user: CARA }, DONE),
        (BEN, RoomRequest::Close, DONE),
        (BEN, RoomRequest::Close, UNCHANGED),
        (BEN, publish(), refused(RoomRefused::Closed)),
        (CARA, RoomRequest::Join, refused(RoomRefused::Closed)),
    ] {
        assert_eq!(hall.ask(who, request.clone()), answer, "{who} {request:?}");
    }
    let left = hall.events.iter().find_map(|event| match event.change {
        RoomChange::Left { user, cause, heir } => Some((user, cause, heir)),
        _ => None,
    });
    assert_eq!(left, Some((ANNA, LeaveCause::Left, Some(BEN))), "who joined first moderates on");
    assert_eq!(hall.room.messages, 1);
    assert_eq!(hall.room.head, hall.events.len() as u64);
}

#[test]
fn moderators_mute_promote_and_put_out() {
    let mut hall = Hall::group();
    let mute = |user| RoomRequest::Mute { user, lasts: Duration::from_mins(1) };
    let rank = |user, moderates| RoomRequest::SetModerator { user, moderates };
    for (who, request, answer) in [
        (BEN, mute(ANNA), refused(RoomRefused::NotAllowed)),
        (ANNA, mute(CARA), refused(RoomRefused::TargetNotAMember)),
        (ANNA, mute(ANNA), refused(RoomRefused::TargetIsSelf)),
        (ANNA, mute(BEN), DONE),
        (BEN, publish(), refused(RoomRefused::Muted)),
        (ANNA, RoomRequest::Unmute { user: BEN }, DONE),
        (ANNA, RoomRequest::Unmute { user: BEN }, UNCHANGED),
        (BEN, publish(), DONE),
        (ANNA, mute(BEN), DONE),
        (ANNA, rank(BEN, true), DONE),
        (ANNA, rank(BEN, true), UNCHANGED),
        (BEN, RoomRequest::Kick { user: ANNA }, DONE),
        (ANNA, RoomRequest::Join, refused(RoomRefused::NotInvited)),
    ] {
        assert_eq!(hall.ask(who, request.clone()), answer, "{who} {request:?}");
    }
    assert_eq!(hall.room.profile.as_ref().unwrap().members[&BEN].rank, Rank::Moderator);
    hall.at = hall.at.after(Duration::from_mins(1));
    assert_eq!(hall.ask(BEN, publish()), DONE, "a mute ends by itself");
}

#[test]
fn two_people_block_each_other() {
    let mut hall = Hall::of(RoomKind::direct(BEN, ANNA).unwrap());
    for (who, request, answer) in [
        (CARA, publish(), refused(RoomRefused::NotAMember)),
        (ANNA, publish(), DONE),
        (BEN, RoomRequest::Block, DONE),
        (BEN, RoomRequest::Block, UNCHANGED),
        (ANNA, publish(), refused(RoomRefused::Blocked)),
        (BEN, publish(), DONE),
        (BEN, RoomRequest::Unblock, DONE),
        (ANNA, publish(), DONE),
        (ANNA, RoomRequest::Leave, refused(RoomRefused::WrongKind)),
        (ANNA, RoomRequest::Close, refused(RoomRefused::WrongKind)),
    ] {
        assert_eq!(hall.ask(who, request.clone()), answer, "{who} {request:?}");
    }
    assert_eq!(hall.room.profile.as_ref().unwrap().joined(), 2);
}

#[test]
fn only_the_server_writes_where_nobody_is_a_member() {
    for kind in
        [RoomKind::User(ANNA), RoomKind::Role("support".parse().unwrap()), RoomKind::Region("in".parse().unwrap())]
    {
        let mut hall = Hall::of(kind);
        assert_eq!(hall.ask(ANNA, publish()), Err(RoomRefused::NotAllowed));
        assert_eq!((hall.room.head, hall.events.len()), (0, 0), "a refusal opens nothing");
        assert_eq!(hall.serve(publish()), DONE);
        assert_eq!((hall.room.head, hall.room.messages), (2, 1));
        assert_eq!(hall.serve(RoomRequest::Close), Err(RoomRefused::WrongKind));
    }
    let mut hall = Hall::of(RoomKind::Broadcast);
    assert_eq!(hall.ask(ANNA, create()), Err(RoomRefused::NotAllowed));
    assert_eq!(hall.serve(create()), DONE);
    assert_eq!(hall.ask(ANNA, publish()), Err(RoomRefused::NotAllowed));
    assert_eq!(hall.serve(publish()), DONE);
    assert!(hall.room.profile.as_ref().unwrap().is_readable_by(CARA));
}

#[test]
fn an_id_is_of_its_kind() {
    let mut hall = Hall::of(RoomKind::User(ANNA));
    hall.kind = Some(RoomKind::User(BEN));
    assert_eq!(hall.serve(publish()), Err(RoomRefused::WrongKind));
    hall.kind = None;
    assert_eq!(hall.serve(publish()), Err(RoomRefused::NotFound));
}

#[test]
fn a_key_publishes_once() {
    let hall = Hall::group();
    let publish = |print| RoomRequest::Publish {
        body: text(1),
        key: Some(MessageKey([1; 16])),
        fingerprint: Some(Fingerprint([print; 16])),
        lasts: None,
    };
    let past = Some(Past { offset: 4, fingerprint: Some(Fingerprint([1; 16])) });
    let facts = RoomFacts { past, original: None };
    for (print, answer) in [(1, Ok(RoomAnswer::Replayed { offset: 4 })), (2, Err(RoomRefused::KeyReused))] {
        let decided = hall.ask_with(Principal::Person(BEN), &facts, publish(print));
        assert_eq!((decided.answer, decided.events.len()), (answer, 0));
    }
}

#[test]
fn messages_are_edited_and_deleted_by_who_may() {
    let hall = Hall::group();
    let of = |by, deleted| {
        let original = Some(Original { by: Principal::Person(by), expires_at: None, deleted });
        RoomFacts { past: None, original }
    };
    let edit = || RoomRequest::Edit { of: 9, body: text(2) };
    let delete = || RoomRequest::Delete { of: 9 };
    let nothing = RoomFacts::default();
    let expired = RoomFacts {
        original: Some(Original { by: Principal::Person(BEN), expires_at: Some(hall.at), deleted: false }),
        past: None,
    };
    for (who, facts, request, answer) in [
        (BEN, &of(BEN, false), edit(), DONE),
        (ANNA, &of(BEN, false), edit(), refused(RoomRefused::NotAllowed)),
        (BEN, &of(BEN, true), edit(), refused(RoomRefused::MessageDeleted)),
        (BEN, &nothing, edit(), refused(RoomRefused::MessageNotFound)),
        (BEN, &expired, edit(), refused(RoomRefused::MessageNotFound)),
        (BEN, &of(BEN, false), delete(), DONE),
        (ANNA, &of(BEN, false), delete(), DONE),
        (BEN, &of(ANNA, false), delete(), refused(RoomRefused::NotAllowed)),
        (BEN, &of(BEN, true), delete(), UNCHANGED),
        (BEN, &nothing, delete(), refused(RoomRefused::MessageNotFound)),
        (CARA, &of(CARA, false), delete(), refused(RoomRefused::NotAMember)),
    ] {
        assert_eq!(hall.ask_with(Principal::Person(who), facts, request.clone()).answer, answer, "{who} {request:?}");
    }
}
