//! Who the tests are about, and short ways to ask things of a room.

use std::time::Duration;

use domain::ids::{OperationId, RoomId, UserId};
use domain::ledger::{By, Fingerprint, Origin, Principal, Via};
use domain::room::{
    Access, Room, RoomAnswer, RoomClass, RoomCommand, RoomDecided, RoomEvent, RoomFacts, RoomKind, RoomRefused,
    RoomRequest, decide,
};
use domain::sealed::Sealed;
use domain::time::Timestamp;
use uuid::Uuid;

pub(crate) const ANNA: UserId = UserId(Uuid::from_u128(1));
pub(crate) const BEN: UserId = UserId(Uuid::from_u128(2));
pub(crate) const CARA: UserId = UserId(Uuid::from_u128(3));

pub(crate) const NOON: Timestamp = Timestamp(1_700_000_000_000_000);

pub(crate) fn text(bytes: usize) -> Sealed {
    Sealed { owner: ANNA, bytes: vec![7; bytes + 28].into() }
}

pub(crate) fn by(principal: Principal) -> Origin {
    let via = if principal == Principal::System { Via::System } else { Via::Http };
    Origin {
        operation: OperationId(Uuid::from_u128(9)),
        by: By { principal, session: None, device: None, via },
        trace: None,
    }
}

pub(crate) fn publish() -> RoomRequest {
    RoomRequest::Publish { body: text(5), key: None, fingerprint: Some(Fingerprint([1; 16])), lasts: None }
}

pub(crate) fn create() -> RoomRequest {
    RoomRequest::Create { class: RoomClass::Chat, access: Access::Invited, name: Some(text(4)) }
}

/// A room as it is, with all that happened in it.
#[derive(Clone, Debug)]
pub(crate) struct Hall {
    pub room: Room,
    pub kind: Option<RoomKind>,
    pub events: Vec<RoomEvent>,
    pub at: Timestamp,
}

impl Hall {
    pub(crate) fn of(kind: RoomKind) -> Self {
        let id = kind.room().unwrap_or_else(|| RoomId::made(ANNA.0, "key"));
        Self { room: Room::new(id), kind: Some(kind), events: Vec::new(), at: NOON }
    }

    /// A group that Anna made, with Ben in it.
    pub(crate) fn group() -> Self {
        let mut hall = Self::of(RoomKind::Group);
        hall.must(ANNA, create());
        hall.must(ANNA, RoomRequest::Invite { user: BEN });
        hall.must(BEN, RoomRequest::Join);
        hall
    }

    pub(crate) fn ask_with(&self, principal: Principal, facts: &RoomFacts, request: RoomRequest) -> RoomDecided {
        let command = RoomCommand { origin: by(principal), kind: self.kind.clone(), request };
        decide(&self.room, facts, &command, self.at)
    }

    pub(crate) fn take(&mut self, decided: RoomDecided) -> Result<RoomAnswer, RoomRefused> {
        let mut replayed = self.room.clone();
        for event in &decided.events {
            replayed.apply(event).unwrap();
        }
        assert_eq!(replayed, decided.room, "what was decided is the fold of its events");
        self.room = decided.room;
        self.events.extend(decided.events);
        self.at = self.at.after(Duration::from_micros(1));
        decided.answer
    }

    pub(crate) fn ask(&mut self, user: UserId, request: RoomRequest) -> Result<RoomAnswer, RoomRefused> {
        let decided = self.ask_with(Principal::Person(user), &RoomFacts::default(), request);
        self.take(decided)
    }

    pub(crate) fn serve(&mut self, request: RoomRequest) -> Result<RoomAnswer, RoomRefused> {
        let decided = self.ask_with(Principal::System, &RoomFacts::default(), request);
        self.take(decided)
    }

    pub(crate) fn must(&mut self, user: UserId, request: RoomRequest) {
        assert_eq!(self.ask(user, request), Ok(RoomAnswer::Done));
    }
}
