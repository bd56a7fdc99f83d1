//! Who is in which room, as far as its followers were told.
//!
//! Owns the marks of rooms in which somebody came or went, and what was told of each room that has followers: whom, or
//! in a large room how many. Pure but for its lock: time is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use domain::ids::{RoomId, UserId};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::streams::presence::Telling;

/// Who is in which room.
#[derive(Debug, Default)]
pub(crate) struct Register {
    rooms: Mutex<Rooms>,
}

#[derive(Debug, Default)]
struct Rooms {
    /// Rooms to be looked at, in the order in which they were marked; each once.
    marked: VecDeque<RoomId>,
    is_marked: BTreeSet<RoomId>,
    /// When rooms are to be looked at again.
    later: BTreeSet<(Instant, RoomId)>,
    told: HashMap<RoomId, Told>,
}

/// What the followers of a room were told.
#[derive(Debug, Default)]
struct Told {
    /// Who is there; nobody where only a number is told.
    people: BTreeSet<UserId>,
    /// How many are there.
    online: usize,
    /// Who went and may come back, and until when.
    missing: BTreeMap<UserId, Instant>,
    /// Until when a lower number may rise again.
    fewer: Option<Instant>,
}

/// What is different from what was told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    /// How many are there.
    pub(super) online: usize,
    /// Who came.
    pub(super) join: Vec<UserId>,
    /// Who went.
    pub(super) leave: Vec<UserId>,
}

impl Register {
    /// Somebody came to a room, or went.
    pub(crate) fn mark(&self, room: RoomId) {
        self.rooms.lock().mark(room);
    }

    /// The rooms to be looked at now, each once. They are not marked any more.
    pub(super) fn due(&self, now: Instant) -> VecDeque<RoomId> {
        let mut rooms = self.rooms.lock();
        while let Some((at, room)) = rooms.later.first().copied().filter(|(at, _)| *at <= now) {
            rooms.later.remove(&(at, room));
            rooms.mark(room);
        }
        rooms.is_marked.clear();
        std::mem::take(&mut rooms.marked)
    }

    /// How many rooms are marked.
    pub(super) fn marked(&self) -> usize {
        self.rooms.lock().marked.len()
    }

    /// Nobody follows the room: there is nobody to tell.
    pub(super) fn forget(&self, room: RoomId) {
        self.rooms.lock().told.remove(&room);
    }

    /// Who is in a room: those who are there, and those who were told of and may come back.
    pub(crate) fn with_missing(&self, room: RoomId, mut there: BTreeSet<UserId>) -> BTreeSet<UserId> {
        if let Some(told) = self.rooms.lock().told.get(&room) {
            there.extend(&told.people);
        }
        there
    }

    /// Takes who is there, and answers what is to be told of it, if anything is.
    pub(super) fn compare(
        &self,
        room: RoomId,
        telling: Telling,
        there: &BTreeSet<UserId>,
        now: Instant,
        debounce: Duration,
    ) -> Option<News> {
        let mut rooms = self.rooms.lock();
        let told = rooms.told.entry(room).or_default();
        let (news, again) = match telling {
            Telling::Nothing => {
                *told = Told::default();
                (None, None)
            }
            Telling::Count => told.count(there.len(), now, debounce),
            Telling::Names => told.names(there, now, debounce),
        };
        if let Some(again) = again {
            rooms.later.insert((again, room));
        }
        news
    }
}

impl Rooms {
    fn mark(&mut self, room: RoomId) {
        if self.is_marked.insert(room) {
            self.marked.push_back(room);
        }
    }
}

impl Told {
    /// Compares how many are there. Answers the news, and when to look again.
    fn count(&mut self, online: usize, now: Instant, debounce: Duration) -> (Option<News>, Option<Instant>) {
        self.people.clear();
        self.missing.clear();
        if online < self.online {
            let until = *self.fewer.get_or_insert(now + debounce);
            if now < until {
                return (None, Some(until));
            }
        }
        self.fewer = None;
        if online == self.online {
            return (None, None);
        }
        self.online = online;
        (Some(News { online, join: Vec::new(), leave: Vec::new() }), None)
    }

    /// Compares who is there. Answers the news, and when to look again.
    fn names(&mut self, there: &BTreeSet<UserId>, now: Instant, debounce: Duration) -> (Option<News>, Option<Instant>) {
        self.fewer = None;
        self.missing.retain(|user, _| !there.contains(user));
        for user in self.people.difference(there) {
            self.missing.entry(*user).or_insert(now + debounce);
        }
        let leave: Vec<_> = self.missing.iter().filter(|(_, until)| **until <= now).map(|(user, _)| *user).collect();
        let join: Vec<_> = there.difference(&self.people).copied().collect();
        for user in &leave {
            self.missing.remove(user);
            self.people.remove(user);
        }
        self.people.extend(&join);
        let again = self.missing.values().min().copied();
        let online = self.people.len();
        let is_news = !join.is_empty() || !leave.is_empty() || online != self.online;
        self.online = online;
        (is_news.then_some(News { online, join, leave }), again)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ROOM: RoomId = RoomId(Uuid::from_u128(9));
    const DEBOUNCE: Duration = Duration::from_secs(5);

    fn people(numbers: &[u128]) -> BTreeSet<UserId> {
        numbers.iter().map(|number| UserId(Uuid::from_u128(*number))).collect()
    }

    fn news(online: usize, join: &[u128], leave: &[u128]) -> News {
        let list = |numbers| people(numbers).into_iter().collect();
        News { online, join: list(join), leave: list(leave) }
    }

    /// Compares at so many seconds.
    struct World {
        register: Register,
        start: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { register: Register::default(), start: Instant::now() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn compare(&self, seconds: u64, telling: Telling, there: &[u128]) -> Option<News> {
            self.register.compare(ROOM, telling, &people(there), self.at(seconds), DEBOUNCE)
        }

        fn due(&self, seconds: u64) -> usize {
            self.register.due(self.at(seconds)).len()
        }
    }

    #[test]
    fn who_comes_is_told_at_once_and_who_goes_when_they_stay_away() {
        let world = World::new();
        let names = |seconds, there: &[u128]| world.compare(seconds, Telling::Names, there);
        assert_eq!(names(0, &[1, 2]), Some(news(2, &[1, 2], &[])));
        assert_eq!(names(1, &[1, 2]), None);
        assert_eq!(names(2, &[1, 3]), Some(news(3, &[3], &[])), "2 may come back");
        assert_eq!(world.register.with_missing(ROOM, people(&[1, 3])), people(&[1, 2, 3]));
        assert_eq!(names(4, &[1, 2, 3]), None, "and did");
        assert_eq!(names(6, &[1]), None);
        assert_eq!((world.due(10), world.due(11)), (1, 1), "looked at again when that time is over");
        assert_eq!(names(11, &[1]), Some(news(1, &[], &[2, 3])));
        assert_eq!(world.due(100), 0);
    }

    #[test]
    fn of_a_large_room_only_a_number_is_told() {
        let world = World::new();
        let count = |seconds, there: &[u128]| world.compare(seconds, Telling::Count, there);
        assert_eq!(count(0, &[1, 2, 3]), Some(news(3, &[], &[])));
        assert_eq!(count(1, &[1]), None, "they may come back");
        assert_eq!(count(2, &[4, 5, 6]), None, "as many as before");
        assert_eq!(count(3, &[1]), None);
        assert_eq!(count(8, &[1, 2]), Some(news(2, &[], &[])), "what is true then");
        assert_eq!(world.compare(9, Telling::Names, &[1, 2]), Some(news(2, &[1, 2], &[])), "the room is small now");
        assert_eq!(world.compare(9, Telling::Nothing, &[1]), None);
        assert_eq!(world.register.with_missing(ROOM, people(&[1])), people(&[1]));
    }

    #[test]
    fn a_room_is_looked_at_once_however_often_it_is_marked() {
        let world = World::new();
        for _ in 0..3 {
            world.register.mark(ROOM);
            world.register.mark(RoomId(Uuid::from_u128(8)));
        }
        assert_eq!(world.register.marked(), 2);
        assert_eq!(world.register.due(world.at(0)), [ROOM, RoomId(Uuid::from_u128(8))]);
        assert_eq!(world.due(0), 0);
    }
}
