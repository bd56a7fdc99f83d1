//! Random histories against a model that is as simple as can be, and slow.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ids::UserId;
use domain::ledger::Principal;
use domain::room::{
    Access, Original, Rank, Room, RoomAnswer, RoomChange, RoomClass, RoomFacts, RoomKind, RoomRefused, RoomRequest,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::people::{Hall, text};

/// What somebody does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Create(bool),
    Invite(u8),
    Join,
    Leave,
    Kick(u8),
    Moderator(u8, bool),
    Mute(u8),
    Unmute(u8),
    Publish,
    Edit(u8),
    Delete(u8),
    Close,
    Wait,
}

/// A group as a list of what everybody may do.
#[derive(Default)]
struct Model {
    open: bool,
    made: bool,
    closed: bool,
    /// Who is in it, in the order in which they came: a rank and whether they are muted.
    members: Vec<(u8, Rank, bool)>,
    /// Who said it, and whether it is deleted, by offset.
    messages: BTreeMap<u64, (u8, bool)>,
    head: u64,
}

fn user(number: u8) -> UserId {
    UserId(Uuid::from_u128(u128::from(number) + 1))
}

fn act() -> impl Strategy<Value = (u8, Act)> {
    let who = 0_u8..4;
    let act = prop_oneof![
        1 => any::<bool>().prop_map(Act::Create),
        4 => (0_u8..4).prop_map(Act::Invite),
        4 => Just(Act::Join),
        1 => Just(Act::Leave),
        1 => (0_u8..4).prop_map(Act::Kick),
        1 => (0_u8..4, any::<bool>()).prop_map(|(user, is)| Act::Moderator(user, is)),
        1 => (0_u8..4).prop_map(Act::Mute),
        1 => (0_u8..4).prop_map(Act::Unmute),
        6 => Just(Act::Publish),
        2 => any::<u8>().prop_map(Act::Edit),
        2 => any::<u8>().prop_map(Act::Delete),
        1 => Just(Act::Wait),
    ];
    prop_oneof![40 => (who.clone(), act), 1 => (who, Just(Act::Close))]
}

impl Model {
    fn rank(&self, who: u8) -> Option<Rank> {
        self.members.iter().find(|member| member.0 == who).map(|member| member.1)
    }

    fn is_in(&self, who: u8) -> bool {
        self.rank(who).is_some_and(|rank| rank > Rank::Invited)
    }

    fn is_muted(&self, who: u8) -> bool {
        self.members.iter().any(|member| member.0 == who && member.2)
    }

    /// A message chosen by a number, or one that is none.
    fn message(&self, choice: u8) -> u64 {
        let at = usize::from(choice) % (self.messages.len() + 1);
        self.messages.keys().nth(at).copied().unwrap_or(u64::MAX)
    }

    fn remove(&mut self, who: u8) {
        self.members.retain(|member| member.0 != who);
        if !self.members.iter().any(|member| member.1 == Rank::Moderator)
            && let Some(heir) = self.members.iter_mut().find(|member| member.1 == Rank::Member)
        {
            heir.1 = Rank::Moderator;
        }
    }

    /// Whether it is done (`true`), as asked already (`false`), or refused.
    fn act(&mut self, who: u8, act: Act) -> Option<bool> {
        let done = self.try_act(who, act);
        self.head += u64::from(done == Some(true));
        done
    }

    fn try_act(&mut self, who: u8, act: Act) -> Option<bool> {
        if let Act::Create(open) = act {
            if self.made {
                return self.is_in(who).then_some(false);
            }
            (self.made, self.open) = (true, open);
            self.members.push((who, Rank::Moderator, false));
            return Some(true);
        }
        let moderates = self.rank(who) == Some(Rank::Moderator);
        if !self.made || (self.closed && !matches!(act, Act::Leave | Act::Close)) {
            return None;
        }
        match act {
            Act::Create(_) | Act::Wait => None,
            Act::Close | Act::Invite(_) | Act::Kick(_) | Act::Moderator(..) | Act::Mute(_) | Act::Unmute(_)
                if !moderates =>
            {
                None
            }
            Act::Close => Some(!std::mem::replace(&mut self.closed, true)),
            Act::Join => match self.rank(who) {
                Some(Rank::Invited) => {
                    // Who joins comes last among those who are in.
                    self.members.retain(|member| member.0 != who);
                    self.members.push((who, Rank::Member, false));
                    Some(true)
                }
                Some(_) => Some(false),
                None if self.open => {
                    self.members.push((who, Rank::Member, false));
                    Some(true)
                }
                None => None,
            },
            Act::Leave => {
                self.rank(who)?;
                self.remove(who);
                Some(true)
            }
            Act::Publish => {
                (self.is_in(who) && !self.is_muted(who)).then(|| self.messages.insert(self.head + 1, (who, false)))?;
                Some(true)
            }
            Act::Edit(choice) => {
                let message = self.messages.get(&self.message(choice)).copied()?;
                (self.is_in(who) && message == (who, false) && !self.is_muted(who)).then_some(true)
            }
            Act::Delete(choice) => {
                let of = self.message(choice);
                let message = self.messages.get_mut(&of)?;
                let may = self.members.iter().any(|member| {
                    member.0 == who && (member.1 == Rank::Moderator || (member.1 > Rank::Invited && message.0 == who))
                });
                may.then(|| !std::mem::replace(&mut message.1, true))
            }
            Act::Invite(whom) | Act::Kick(whom) | Act::Moderator(whom, _) | Act::Mute(whom) | Act::Unmute(whom)
                if whom == who =>
            {
                None
            }
            Act::Invite(whom) => {
                let new = self.rank(whom).is_none();
                if new {
                    self.members.push((whom, Rank::Invited, false));
                }
                Some(new)
            }
            Act::Kick(whom) => {
                self.rank(whom)?;
                self.remove(whom);
                Some(true)
            }
            Act::Moderator(whom, moderates) => {
                let member = self.members.iter_mut().find(|member| member.0 == whom && member.1 > Rank::Invited)?;
                let rank = if moderates { Rank::Moderator } else { Rank::Member };
                Some(std::mem::replace(&mut member.1, rank) != rank)
            }
            Act::Mute(whom) => {
                self.members.iter_mut().find(|member| member.0 == whom)?.2 = true;
                Some(true)
            }
            Act::Unmute(whom) => {
                let member = self.members.iter_mut().find(|member| member.0 == whom)?;
                Some(std::mem::replace(&mut member.2, false))
            }
        }
    }
}

fn request(model: &Model, act: Act) -> Option<RoomRequest> {
    Some(match act {
        Act::Wait => return None,
        Act::Create(open) => RoomRequest::Create {
            class: RoomClass::Chat,
            access: if open { Access::Open } else { Access::Invited },
            name: None,
        },
        Act::Invite(whom) => RoomRequest::Invite { user: user(whom) },
        Act::Join => RoomRequest::Join,
        Act::Leave => RoomRequest::Leave,
        Act::Kick(whom) => RoomRequest::Kick { user: user(whom) },
        Act::Moderator(whom, moderates) => RoomRequest::SetModerator { user: user(whom), moderates },
        Act::Mute(whom) => RoomRequest::Mute { user: user(whom), lasts: Duration::from_hours(24) },
        Act::Unmute(whom) => RoomRequest::Unmute { user: user(whom) },
        Act::Publish => RoomRequest::Publish { body: text(1), key: None, fingerprint: None, lasts: None },
        Act::Edit(choice) => RoomRequest::Edit { of: model.message(choice), body: text(2) },
        Act::Delete(choice) => RoomRequest::Delete { of: model.message(choice) },
        Act::Close => RoomRequest::Close,
    })
}

proptest! {
    #[test]
    fn a_group_is_as_the_model_says(acts in prop::collection::vec(act(), 1..120)) {
        let mut hall = Hall::of(RoomKind::Group);
        let mut model = Model::default();
        for (who, act) in acts {
            let Some(request) = request(&model, act) else { continue };
            let original = request.original().and_then(|of| model.messages.get(&of)).map(|(by, deleted)| Original {
                by: Principal::Person(user(*by)),
                expires_at: None,
                deleted: *deleted,
            });
            let decided = hall.ask_with(Principal::Person(user(who)), &RoomFacts { past: None, original }, request);
            let answer = hall.take(decided);
            let expected = model.act(who, act);
            let told = match answer {
                Ok(RoomAnswer::Done) => Some(true),
                Ok(RoomAnswer::Unchanged) => Some(false),
                Ok(RoomAnswer::Replayed { .. }) => unreachable!("nothing has a key"),
                Err(_) => None,
            };
            prop_assert_eq!(told, expected, "{} {:?}: {:?}", who, act, answer);
            if let Err(refused) = answer {
                prop_assert!(model.made || refused == RoomRefused::NotFound);
            }

            prop_assert_eq!(hall.room.head, model.head);
            prop_assert_eq!(hall.room.messages, model.messages.len() as u64);
            let members = hall.room.profile.as_ref().map(|profile| profile.members.clone()).unwrap_or_default();
            let ranks: BTreeMap<_, _> = members.iter().map(|(user, member)| (*user, member.rank)).collect();
            let expected: BTreeMap<_, _> = model.members.iter().map(|member| (user(member.0), member.1)).collect();
            prop_assert_eq!(ranks, expected);
        }
        // The stream is dense, and a replay of it is the room.
        let mut replayed = Room::new(hall.room.id);
        let mut messages = 0;
        for (offset, event) in (1..).zip(&hall.events) {
            prop_assert_eq!(event.offset, offset);
            messages += u64::from(matches!(event.change, RoomChange::Published { .. }));
            prop_assert_eq!(event.messages, messages);
            replayed.apply(event).unwrap();
        }
        prop_assert_eq!(&replayed, &hall.room);
        // No event is taken twice, and none out of order.
        if let Some(last) = hall.events.last() {
            prop_assert!(replayed.apply(last).is_err());
            prop_assert_eq!(&replayed, &hall.room);
        }
    }
}
