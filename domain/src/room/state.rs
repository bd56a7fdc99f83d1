//! A room: the fold of its events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};
use crate::ledger::Principal;
use crate::room::event::{RoomChange, RoomEvent};
use crate::room::kind::{Access, RoomClass, RoomKind};
use crate::sealed::Sealed;
use crate::time::Timestamp;

/// The most members of a group, invited ones included. Bounds its state to about 32 KiB.
pub const MEMBERS_MAX: usize = 1_000;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rank {
    /// May join; reads and writes nothing yet.
    Invited,
    /// Reads and writes.
    Member,
    /// And lets others in and out.
    Moderator,
}

/// Somebody in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What they are.
    pub rank: Rank,
    /// The offset of the event that made them so.
    pub since: u64,
    /// Until when they may not write.
    pub muted_until: Option<Timestamp>,
}

/// What a room is, apart from what was said in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What it is.
    pub kind: RoomKind,
    /// How its messages are delivered.
    pub class: RoomClass,
    /// Who may join.
    pub access: Access,
    /// What it is called.
    pub name: Option<Sealed>,
    /// When it began.
    pub opened_at: Timestamp,
    /// Whether it is over.
    pub closed: bool,
    /// Who is in it, if it is of people.
    pub members: BTreeMap<UserId, Member>,
    /// Who of two people wants to hear no more of the other.
    pub blocked_by: BTreeSet<UserId>,
}

impl Profile {
    /// Whether somebody is in it, not only invited.
    pub fn has(&self, user: UserId) -> bool {
        self.members.get(&user).is_some_and(|member| member.rank > Rank::Invited)
    }

    /// Whether somebody may read it as a member does. Roles and regions are in tokens, not here.
    pub fn is_readable_by(&self, user: UserId) -> bool {
        match &self.kind {
            RoomKind::User(owner) => *owner == user,
            RoomKind::Broadcast => true,
            RoomKind::Role(_) | RoomKind::Region(_) => false,
            RoomKind::Group | RoomKind::Direct(..) => self.has(user),
        }
    }

    /// How many are in it, invited ones not counted.
    pub fn joined(&self) -> usize {
        self.members.values().filter(|member| member.rank > Rank::Invited).count()
    }
}

/// The state of one room: nothing but the fold of its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Which.
    pub id: RoomId,
    /// The offset of its last event; 0 before the first.
    pub head: u64,
    /// How many messages were published in it.
    pub messages: u64,
    /// What it is; `None` until it begins. Shared, because states are copied with every message and
    /// this rarely changes.
    pub profile: Option<Arc<Profile>>,
}

/// Events that do not follow from one another: the journal or a checkpoint is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {offset} of room {room} does not follow from its state: {what}")]
pub struct BrokenRoom {
    /// The room.
    pub room: RoomId,
    /// The event.
    pub offset: u64,
    /// What does not fit.
    pub what: &'static str,
}

impl Room {
    /// A room in which nothing ever happened.
    pub const fn new(id: RoomId) -> Self {
        Self { id, head: 0, messages: 0, profile: None }
    }

    /// Passes over events up to `head` of which it is known that they changed nothing but its head and
    /// how many messages there are: that is all that a message, an edit or a deletion changes.
    pub fn pass(&mut self, head: u64, messages: u64) {
        if head > self.head {
            self.head = head;
            self.messages = messages;
        }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// The event does not follow; the room is as before.
    pub fn apply(&mut self, event: &RoomEvent) -> Result<(), BrokenRoom> {
        let broken = |what| BrokenRoom { room: self.id, offset: event.offset, what };
        if event.room != self.id {
            return Err(broken("it is of another room"));
        }
        if Some(event.offset) != self.head.checked_add(1) {
            return Err(broken("its offset is not the next"));
        }
        let messages = self.messages.checked_add(u64::from(event.change.is_message()));
        if Some(event.messages) != messages {
            return Err(broken("its number of messages is not the next"));
        }
        let mut profile = self.profile.clone();
        change(&mut profile, event).map_err(broken)?;
        self.profile = profile;
        self.head = event.offset;
        self.messages = event.messages;
        Ok(())
    }
}

/// Takes a change into what a room is.
fn change(profile: &mut Option<Arc<Profile>>, event: &RoomEvent) -> Result<(), &'static str> {
    if let RoomChange::Opened { kind, class, access, name } = &event.change {
        if profile.is_some() {
            return Err("the room was opened before");
        }
        let member = |rank| Member { rank, since: event.offset, muted_until: None };
        let members = match (kind, event.meta.origin.by.principal) {
            (RoomKind::Group, Principal::Person(maker)) => BTreeMap::from([(maker, member(Rank::Moderator))]),
            (RoomKind::Direct(one, other), _) => {
                BTreeMap::from([*one, *other].map(|user| (user, member(Rank::Member))))
            }
            _ => BTreeMap::new(),
        };
        *profile = Some(Arc::new(Profile {
            kind: kind.clone(),
            class: *class,
            access: *access,
            name: name.clone(),
            opened_at: event.meta.at,
            closed: false,
            members,
            blocked_by: BTreeSet::new(),
        }));
        return Ok(());
    }
    let profile = profile.as_mut().ok_or("the room was not opened")?;
    match &event.change {
        RoomChange::Opened { .. }
        | RoomChange::Published { .. }
        | RoomChange::Edited { .. }
        | RoomChange::Deleted { .. } => {}
        RoomChange::Renamed { name } => Arc::make_mut(profile).name = Some(name.clone()),
        RoomChange::Closed => Arc::make_mut(profile).closed = true,
        RoomChange::Invited { user } => put(profile, *user, Rank::Invited, event.offset),
        RoomChange::Joined { user } => put(profile, *user, Rank::Member, event.offset),
        RoomChange::Left { user, heir, .. } => {
            let members = &mut Arc::make_mut(profile).members;
            members.remove(user).ok_or("who left was not there")?;
            if let Some(heir) = heir {
                members.get_mut(heir).ok_or("the heir is not there")?.rank = Rank::Moderator;
            }
        }
        RoomChange::RankChanged { user, moderates } => {
            member(profile, *user)?.rank = if *moderates { Rank::Moderator } else { Rank::Member };
        }
        RoomChange::Muted { user, until } => member(profile, *user)?.muted_until = Some(*until),
        RoomChange::Unmuted { user } => member(profile, *user)?.muted_until = None,
        RoomChange::Blocked { by } => {
            Arc::make_mut(profile).blocked_by.insert(*by);
        }
        RoomChange::Unblocked { by } => {
            Arc::make_mut(profile).blocked_by.remove(by);
        }
    }
    Ok(())
}

fn put(profile: &mut Arc<Profile>, user: UserId, rank: Rank, since: u64) {
    Arc::make_mut(profile).members.insert(user, Member { rank, since, muted_until: None });
}

fn member(profile: &mut Arc<Profile>, user: UserId) -> Result<&mut Member, &'static str> {
    Arc::make_mut(profile).members.get_mut(&user).ok_or("the member is not there")
}
