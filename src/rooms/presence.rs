//! Who is online, and who is in a room now, as people and servers may know it.
//!
//! Somebody's presence is shown to those who share a room with them. Everybody else, and who is blocked, hears what
//! they would hear of nobody at all.

use std::collections::BTreeMap;

use actors::streams::presence::Telling;
use domain::ids::{DeviceId, RoomId, UserId};
use domain::ledger::Principal;
use domain::room::{Profile, RoomKind};
use protocol::code::Code;
use protocol::http::presence::{NAMED_MAX, PresenceResponse, PresentDevice, PresentUser, RoomPresenceResponse};
use protocol::value::Time;
use storage::presence::Present;

use crate::app::App;
use crate::failure::Failure;
use crate::rooms::readable;
use crate::wallet::Caller;

/// The most rooms of a person that are looked at to find one that two share.
const ROOMS_MAX: usize = 1_000;

/// The newest events of a room of two in which a word of the other is looked for.
const WORDS_LOOKED_AT: usize = 100;

/// How much is told of who is in a room.
pub fn telling(profile: &Profile) -> Telling {
    match profile.kind {
        RoomKind::Direct(..) if !profile.blocked_by.is_empty() => Telling::Nothing,
        RoomKind::Direct(..) => Telling::Names,
        RoomKind::Group if profile.joined() <= NAMED_MAX => Telling::Names,
        _ => Telling::Count,
    }
}

/// A person in a room, as the others see them.
///
/// # Errors
/// The store does not answer.
pub async fn person(app: &App, user: UserId) -> Result<PresentUser, storage::Error> {
    Ok(PresentUser { id: user, party: app.people.party(user).await? })
}

/// Whether somebody is online; of oneself also where.
///
/// # Errors
/// [`Code::NotFound`]: the two share no room, one blocks the other, or there is nobody of this id.
pub async fn of(app: &App, caller: &Caller, user: UserId) -> Result<PresenceResponse, Failure> {
    if caller.user == user {
        return of_anybody(app, user).await;
    }
    if !share_a_room(app, caller.user, user).await? {
        return Err(Code::NotFound.into());
    }
    let sessions = sessions(app, user).await?;
    Ok(PresenceResponse { id: user, online: !sessions.is_empty(), devices: None })
}

/// Whether somebody is online, and where: for themselves, and for servers.
///
/// # Errors
/// [`Code::NotFound`]
pub async fn of_anybody(app: &App, user: UserId) -> Result<PresenceResponse, Failure> {
    if !app.people.card(user).await?.payable {
        return Err(Code::NotFound.into());
    }
    let sessions = sessions(app, user).await?;
    Ok(PresenceResponse { id: user, online: !sessions.is_empty(), devices: Some(by_device(&sessions)) })
}

/// A person's connections, on whatever node.
///
/// # Errors
/// The store of presence does not answer.
pub async fn sessions(app: &App, user: UserId) -> Result<Vec<Present>, Failure> {
    Ok(app.presences.of(&[user]).await?.pop().unwrap_or_default())
}

fn by_device(sessions: &[Present]) -> Vec<PresentDevice> {
    let mut devices: BTreeMap<Option<DeviceId>, Vec<&Present>> = BTreeMap::new();
    for present in sessions {
        devices.entry(present.device).or_default().push(present);
    }
    let device = |(device, sessions): (Option<DeviceId>, Vec<&Present>)| {
        let since = sessions.iter().map(|present| present.since).min().unwrap_or_default();
        let mut logins: Vec<_> = sessions.iter().filter_map(|present| present.login).collect();
        logins.sort_unstable();
        logins.dedup();
        let sessions = sessions.iter().map(|present| present.session).collect();
        PresentDevice { device, since: Time::of(since), sessions, logins }
    };
    devices.into_iter().map(device).collect()
}

/// Who is in a room now.
///
/// # Errors
/// [`Code::NotFound`]; [`Code::Blocked`] in a room of two of whom one wants to hear no more of the other.
pub async fn room(app: &App, caller: &Caller, room: RoomId) -> Result<RoomPresenceResponse, Failure> {
    let (_, profile) = readable(app, caller, room).await?;
    in_room(app, room, &profile).await
}

/// Who is in a room now, for servers.
///
/// # Errors
/// As [`room`].
pub async fn any_room(app: &App, room: RoomId) -> Result<RoomPresenceResponse, Failure> {
    let state = app.chat.state(room).await?;
    let profile = state.profile.as_ref().ok_or_else(|| Failure::of(Code::NotFound))?;
    in_room(app, room, profile).await
}

async fn in_room(app: &App, room: RoomId, profile: &Profile) -> Result<RoomPresenceResponse, Failure> {
    let people = app.streams.people_present(room);
    let online = u64::try_from(people.len()).unwrap_or(u64::MAX);
    match telling(profile) {
        Telling::Nothing => Err(Code::Blocked.into()),
        Telling::Count => Ok(RoomPresenceResponse { online, users: None }),
        Telling::Names => {
            let mut users = Vec::with_capacity(people.len());
            for user in people {
                users.push(person(app, user).await?);
            }
            Ok(RoomPresenceResponse { online, users: Some(users) })
        }
    }
}

/// Whether two people may know of each other whether they are online.
async fn share_a_room(app: &App, one: UserId, other: UserId) -> Result<bool, Failure> {
    let direct = RoomKind::direct(one, other).and_then(|kind| kind.room());
    let direct = direct.ok_or_else(|| Failure::of(Code::Internal))?;
    let between = app.chat.state(direct).await?;
    if let Some(profile) = &between.profile {
        if !profile.blocked_by.is_empty() {
            return Ok(false);
        }
        // Anybody can make a room with anybody: it counts when the other has taken part in it.
        if !profile.closed && took_part(app, other, direct).await? {
            return Ok(true);
        }
    }
    let of_one = app.chat.rooms_of(one, None, ROOMS_MAX).await?;
    let of_other = app.chat.rooms_of(other, None, ROOMS_MAX).await?;
    let theirs: std::collections::BTreeSet<_> = of_other.iter().map(|membership| membership.room).collect();
    for membership in of_one.iter().filter(|membership| membership.room != direct && theirs.contains(&membership.room))
    {
        // Views may be a little behind: what they say of who is in is looked at again.
        let state = app.chat.state(membership.room).await?;
        let Some(profile) = &state.profile else { continue };
        if !profile.closed && profile.has(one) && profile.has(other) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether somebody has read or written in a room of two.
async fn took_part(app: &App, user: UserId, room: RoomId) -> Result<bool, Failure> {
    if app.deliveries.read_mark(user, room.0).await?.upto > 0 {
        return Ok(true);
    }
    let newest = app.chat.events_before(room, u64::MAX, WORDS_LOOKED_AT).await?;
    Ok(newest.iter().any(|event| event.meta.origin.by.principal == Principal::Person(user)))
}
