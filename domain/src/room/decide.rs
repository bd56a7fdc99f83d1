//! What a room makes of a command: events, or one named refusal.

use std::time::Duration;

use crate::ids::UserId;
use crate::ledger::{Meta, Origin, Principal};
use crate::room::command::{
    BODY_BYTES_MAX, LASTS_MAX, LASTS_MIN, NAME_BYTES_MAX, Original, RoomCommand, RoomFacts, RoomRequest, TEXT_BYTES_MIN,
};
use crate::room::event::{LeaveCause, RoomChange, RoomEvent};
use crate::room::kind::{Access, RoomClass, RoomKind};
use crate::room::refused::RoomRefused;
use crate::room::state::{MEMBERS_MAX, Member, Profile, Rank, Room};
use crate::sealed::Sealed;
use crate::time::Timestamp;

/// What a room made of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomDecided {
    /// What happened, in order; nothing if it is refused.
    pub events: Vec<RoomEvent>,
    /// The room after them.
    pub room: Room,
    /// What to tell the caller, once the events are durable.
    pub answer: Result<RoomAnswer, RoomRefused>,
}

/// What a caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomAnswer {
    /// The effect is the last of the events.
    Done,
    /// It is as asked already: nothing happened.
    Unchanged,
    /// The key's message was published before, at this offset.
    Replayed {
        /// The message's offset.
        offset: u64,
    },
}

/// Decides a command on the state of now.
pub fn decide(room: &Room, facts: &RoomFacts, command: &RoomCommand, at: Timestamp) -> RoomDecided {
    let mut draft = Draft { room: room.clone(), origin: &command.origin, at, events: Vec::new() };
    let answer = match past(facts, &command.request) {
        Some(answer) => answer,
        None => draft.request(facts, command),
    };
    if answer.is_err() {
        // A room that begins with a command does not begin with one that is refused.
        return RoomDecided { events: Vec::new(), room: room.clone(), answer };
    }
    RoomDecided { events: draft.events, room: draft.room, answer }
}

/// What the key did before, if it did.
fn past(facts: &RoomFacts, request: &RoomRequest) -> Option<Result<RoomAnswer, RoomRefused>> {
    let past = facts.past?;
    let RoomRequest::Publish { fingerprint, .. } = request else { return None };
    let same = past.fingerprint == *fingerprint;
    Some(if same { Ok(RoomAnswer::Replayed { offset: past.offset }) } else { Err(RoomRefused::KeyReused) })
}

/// A decision in the making: the room as it would be after the events so far.
struct Draft<'a> {
    room: Room,
    origin: &'a Origin,
    at: Timestamp,
    events: Vec<RoomEvent>,
}

/// What a step of a decision answers.
type Step<T = ()> = Result<T, RoomRefused>;

impl Draft<'_> {
    /// Adds a change.
    fn push(&mut self, change: RoomChange) -> Step<RoomAnswer> {
        let message = u64::from(change.is_message());
        let event = RoomEvent {
            room: self.room.id,
            offset: self.room.head.saturating_add(1),
            messages: self.room.messages.saturating_add(message),
            meta: Meta { at: self.at, origin: self.origin.clone() },
            change,
        };
        // Only rules that were looked at lead here; a room of 2⁶⁴ events is refused all the same.
        self.room.apply(&event).map_err(|_| RoomRefused::WrongKind)?;
        self.events.push(event);
        Ok(RoomAnswer::Done)
    }

    fn request(&mut self, facts: &RoomFacts, command: &RoomCommand) -> Step<RoomAnswer> {
        if let RoomRequest::Create { class, access, name } = &command.request {
            return self.create(command.kind.as_ref(), *class, *access, name.as_ref());
        }
        self.begin(command.kind.as_ref())?;
        match &command.request {
            RoomRequest::Create { .. } => Ok(RoomAnswer::Unchanged),
            RoomRequest::Rename { name } => {
                self.made()?;
                self.moderates()?;
                in_range(name, NAME_BYTES_MAX, RoomRefused::NameOutOfRange)?;
                self.push(RoomChange::Renamed { name: name.clone() })
            }
            RoomRequest::Invite { user } => self.invite(*user),
            RoomRequest::Join => self.join(),
            RoomRequest::Leave => {
                self.group()?;
                let user = self.person()?;
                self.member(user).ok_or(RoomRefused::NotAMember)?;
                self.leave(user, LeaveCause::Left)
            }
            RoomRequest::Kick { user } => {
                self.target(*user)?;
                self.leave(*user, LeaveCause::Kicked)
            }
            RoomRequest::SetModerator { user, moderates } => {
                let member = self.target(*user)?;
                if member.rank == Rank::Invited {
                    return Err(RoomRefused::TargetNotAMember);
                }
                if (member.rank == Rank::Moderator) == *moderates {
                    return Ok(RoomAnswer::Unchanged);
                }
                self.push(RoomChange::RankChanged { user: *user, moderates: *moderates })
            }
            RoomRequest::Mute { user, lasts } => {
                self.target(*user)?;
                lasts_in_range(*lasts)?;
                self.push(RoomChange::Muted { user: *user, until: self.at.after(*lasts) })
            }
            RoomRequest::Unmute { user } => {
                let member = self.target(*user)?;
                if member.muted_until.is_none() {
                    return Ok(RoomAnswer::Unchanged);
                }
                self.push(RoomChange::Unmuted { user: *user })
            }
            RoomRequest::Close => {
                if matches!(self.profile()?.kind, RoomKind::Direct(..)) || self.profile()?.kind.is_implicit() {
                    return Err(RoomRefused::WrongKind);
                }
                if self.profile()?.closed {
                    return self.may_moderate().map(|()| RoomAnswer::Unchanged);
                }
                self.may_moderate()?;
                self.push(RoomChange::Closed)
            }
            RoomRequest::Publish { body, key, fingerprint, lasts } => {
                self.may_write()?;
                in_range(body, BODY_BYTES_MAX, RoomRefused::BodyOutOfRange)?;
                lasts.map_or(Ok(()), lasts_in_range)?;
                self.push(RoomChange::Published {
                    body: body.clone(),
                    key: *key,
                    fingerprint: *fingerprint,
                    expires_at: lasts.map(|lasts| self.at.after(lasts)),
                })
            }
            RoomRequest::Edit { of, body } => {
                self.not_closed()?;
                self.in_room()?;
                if facts.original.is_some_and(|original| !self.is_by_caller(&original)) {
                    return Err(RoomRefused::NotAllowed);
                }
                self.may_write()?;
                let original = self.alive(facts)?;
                if original.deleted {
                    return Err(RoomRefused::MessageDeleted);
                }
                in_range(body, BODY_BYTES_MAX, RoomRefused::BodyOutOfRange)?;
                self.push(RoomChange::Edited { of: *of, body: body.clone() })
            }
            RoomRequest::Delete { of } => {
                self.not_closed()?;
                self.in_room()?;
                if facts.original.is_some_and(|original| !self.is_by_caller(&original)) {
                    self.may_moderate()?;
                }
                if self.alive(facts)?.deleted {
                    return Ok(RoomAnswer::Unchanged);
                }
                self.push(RoomChange::Deleted { of: *of })
            }
            RoomRequest::Block | RoomRequest::Unblock => self.block(&command.request),
        }
    }

    /// Makes the room. Made before by the same person, it is as asked.
    fn create(
        &mut self,
        kind: Option<&RoomKind>,
        class: RoomClass,
        access: Access,
        name: Option<&Sealed>,
    ) -> Step<RoomAnswer> {
        let kind = kind.ok_or(RoomRefused::WrongKind)?;
        if kind.room().is_some_and(|derived| derived != self.room.id) || kind.is_implicit() {
            return Err(RoomRefused::WrongKind);
        }
        if let Some(profile) = &self.room.profile {
            let mine = match self.origin.by.principal {
                Principal::System => true,
                Principal::Person(user) => profile.has(user),
            };
            return if profile.kind == *kind && mine { Ok(RoomAnswer::Unchanged) } else { Err(RoomRefused::WrongKind) };
        }
        match (kind, self.origin.by.principal) {
            (RoomKind::Group, Principal::Person(_))
            | (RoomKind::Broadcast | RoomKind::Direct(..), Principal::System) => {}
            (RoomKind::Direct(one, other), Principal::Person(user)) if user == *one || user == *other => {}
            (RoomKind::Direct(..), Principal::Person(_)) => return Err(RoomRefused::NotAMember),
            _ => return Err(RoomRefused::NotAllowed),
        }
        name.map_or(Ok(()), |name| in_range(name, NAME_BYTES_MAX, RoomRefused::NameOutOfRange))?;
        self.push(RoomChange::Opened { kind: kind.clone(), class, access, name: name.cloned() })
    }

    /// A room that nobody has to make begins with its first command; any other must be there.
    fn begin(&mut self, kind: Option<&RoomKind>) -> Step {
        if let Some(profile) = &self.room.profile {
            return match kind {
                Some(kind) if profile.kind != *kind => Err(RoomRefused::WrongKind),
                _ => Ok(()),
            };
        }
        let kind = kind.filter(|kind| kind.room().is_some()).ok_or(RoomRefused::NotFound)?;
        if kind.room() != Some(self.room.id) {
            return Err(RoomRefused::WrongKind);
        }
        let class = if matches!(kind, RoomKind::User(_)) { RoomClass::Notice } else { RoomClass::Chat };
        self.push(RoomChange::Opened { kind: kind.clone(), class, access: Access::Invited, name: None }).map(drop)
    }

    fn invite(&mut self, user: UserId) -> Step<RoomAnswer> {
        self.group()?;
        self.moderates()?;
        if self.origin.by.principal == Principal::Person(user) {
            return Err(RoomRefused::TargetIsSelf);
        }
        if self.member(user).is_some() {
            return Ok(RoomAnswer::Unchanged);
        }
        self.not_full()?;
        self.push(RoomChange::Invited { user })
    }

    fn join(&mut self) -> Step<RoomAnswer> {
        self.group()?;
        self.not_closed()?;
        let user = self.person()?;
        match (self.member(user).map(|member| member.rank), self.profile()?.access) {
            (Some(Rank::Member | Rank::Moderator), _) => return Ok(RoomAnswer::Unchanged),
            (Some(Rank::Invited), _) => {}
            (None, Access::Open) => self.not_full()?,
            (None, Access::Invited) => return Err(RoomRefused::NotInvited),
        }
        self.push(RoomChange::Joined { user })
    }

    /// Somebody goes. A group whose last moderator goes is left to who joined it first.
    fn leave(&mut self, user: UserId, cause: LeaveCause) -> Step<RoomAnswer> {
        let members = &self.profile()?.members;
        let others = || members.iter().filter(|(other, member)| **other != user && member.rank > Rank::Invited);
        let heir = if others().any(|(_, member)| member.rank == Rank::Moderator) {
            None
        } else {
            others().min_by_key(|(_, member)| member.since).map(|(other, _)| *other)
        };
        self.push(RoomChange::Left { user, cause, heir })
    }

    fn block(&mut self, request: &RoomRequest) -> Step<RoomAnswer> {
        if !matches!(self.profile()?.kind, RoomKind::Direct(..)) {
            return Err(RoomRefused::WrongKind);
        }
        let by = self.person()?;
        self.member(by).ok_or(RoomRefused::NotAMember)?;
        let blocks = matches!(request, RoomRequest::Block);
        if self.profile()?.blocked_by.contains(&by) == blocks {
            return Ok(RoomAnswer::Unchanged);
        }
        self.push(if blocks { RoomChange::Blocked { by } } else { RoomChange::Unblocked { by } })
    }

    // ---- rules, in the order of `RoomRefused` --------------------------------------------------------

    fn profile(&self) -> Step<&Profile> {
        self.room.profile.as_deref().ok_or(RoomRefused::NotFound)
    }

    fn group(&self) -> Step {
        if self.profile()?.kind == RoomKind::Group { Ok(()) } else { Err(RoomRefused::WrongKind) }
    }

    /// A room that somebody made, and may name.
    fn made(&self) -> Step {
        match self.profile()?.kind {
            RoomKind::Group | RoomKind::Broadcast => Ok(()),
            _ => Err(RoomRefused::WrongKind),
        }
    }

    fn not_closed(&self) -> Step {
        if self.profile()?.closed { Err(RoomRefused::Closed) } else { Ok(()) }
    }

    /// The person who asks. The server is in no room.
    const fn person(&self) -> Step<UserId> {
        match self.origin.by.principal {
            Principal::Person(user) => Ok(user),
            Principal::System => Err(RoomRefused::NotAMember),
        }
    }

    fn member(&self, user: UserId) -> Option<Member> {
        self.room.profile.as_ref()?.members.get(&user).copied()
    }

    /// The caller is the server, or is in a room of people, or it is none of people.
    fn in_room(&self) -> Step {
        let Principal::Person(user) = self.origin.by.principal else { return Ok(()) };
        let profile = self.profile()?;
        if profile.kind.is_of_people() && !profile.has(user) { Err(RoomRefused::NotAMember) } else { Ok(()) }
    }

    /// The caller moderates the room, or is the server.
    fn may_moderate(&self) -> Step {
        self.in_room()?;
        let Principal::Person(user) = self.origin.by.principal else { return Ok(()) };
        match self.member(user) {
            Some(Member { rank: Rank::Moderator, .. }) => Ok(()),
            _ => Err(RoomRefused::NotAllowed),
        }
    }

    fn moderates(&self) -> Step {
        self.not_closed()?;
        self.may_moderate()
    }

    /// The caller may write: is in the room, or is the server where only it writes; is not muted and not
    /// blocked.
    fn may_write(&self) -> Step {
        self.not_closed()?;
        self.in_room()?;
        let Principal::Person(user) = self.origin.by.principal else { return Ok(()) };
        let profile = self.profile()?;
        if !profile.kind.is_of_people() {
            return Err(RoomRefused::NotAllowed);
        }
        if self.member(user).and_then(|member| member.muted_until).is_some_and(|until| until > self.at) {
            return Err(RoomRefused::Muted);
        }
        if profile.blocked_by.iter().any(|by| *by != user) {
            return Err(RoomRefused::Blocked);
        }
        Ok(())
    }

    /// The member whom a moderator does something to.
    fn target(&self, user: UserId) -> Step<Member> {
        self.group()?;
        self.moderates()?;
        let member = self.member(user).ok_or(RoomRefused::TargetNotAMember)?;
        if self.origin.by.principal == Principal::Person(user) {
            return Err(RoomRefused::TargetIsSelf);
        }
        Ok(member)
    }

    fn not_full(&self) -> Step {
        if self.profile()?.members.len() >= MEMBERS_MAX { Err(RoomRefused::Full) } else { Ok(()) }
    }

    fn is_by_caller(&self, original: &Original) -> bool {
        original.by == self.origin.by.principal
    }

    /// The message, if there is one that still is of interest.
    fn alive(&self, facts: &RoomFacts) -> Step<Original> {
        facts
            .original
            .filter(|original| original.expires_at.is_none_or(|at| at > self.at))
            .ok_or(RoomRefused::MessageNotFound)
    }
}

fn in_range(text: &Sealed, most: usize, refused: RoomRefused) -> Step {
    if (TEXT_BYTES_MIN..=most).contains(&text.bytes.len()) { Ok(()) } else { Err(refused) }
}

fn lasts_in_range(lasts: Duration) -> Step {
    if (LASTS_MIN..=LASTS_MAX).contains(&lasts) { Ok(()) } else { Err(RoomRefused::DurationOutOfRange) }
}
