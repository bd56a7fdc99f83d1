//! Presence of one process, in memory.
//!
//! Owns at most [`SESSIONS_PER_USER_MAX`] sessions a person. Those whose time is over are dropped when their person is
//! looked at, and all of them whenever the map has doubled, so memory follows who is there and an idle session costs
//! no time. When the process ends all is lost, and so are the sessions.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::UserId;
use domain::time::Timestamp;
use parking_lot::Mutex;

use crate::Error;
use crate::presence::{PEOPLE_MAX, PUT_MAX, Presence, Present, SESSIONS_PER_USER_MAX};

/// People from whom on the map is looked through for those who are gone.
const PURGE_MIN: usize = 1_024;

/// Presence in memory.
#[derive(Debug)]
pub struct EmbeddedPresence {
    people: Mutex<People>,
}

/// Who is there.
#[derive(Debug)]
struct People {
    sessions: HashMap<UserId, Vec<Entry>>,
    /// How many people there may be before those who are gone are dropped.
    purge_at: usize,
}

/// A session, and how long it is there.
#[derive(Clone, Copy, Debug)]
struct Entry {
    present: Present,
    until: Timestamp,
}

impl Default for EmbeddedPresence {
    fn default() -> Self {
        Self { people: Mutex::new(People { sessions: HashMap::new(), purge_at: PURGE_MIN }) }
    }
}

impl People {
    fn put(&mut self, present: Present, until: Timestamp, now: Timestamp) {
        let entries = self.sessions.entry(present.user).or_default();
        entries.retain(|entry| entry.until > now && entry.present.session != present.session);
        if until > now {
            // Most people have one session: room for four would be the rule otherwise.
            entries.reserve_exact(1);
            entries.push(Entry { present, until });
        }
        if entries.len() > SESSIONS_PER_USER_MAX {
            entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.until));
            entries.truncate(SESSIONS_PER_USER_MAX);
        }
        if entries.is_empty() {
            self.sessions.remove(&present.user);
        }
        if self.sessions.len() > self.purge_at {
            self.sessions.retain(|_, entries| entries.iter().any(|entry| entry.until > now));
            self.sessions.shrink_to_fit();
            self.purge_at = self.sessions.len().saturating_mul(2).max(PURGE_MIN);
        }
    }

    fn of(&self, user: UserId, now: Timestamp) -> Vec<Present> {
        let entries = self.sessions.get(&user).into_iter().flatten();
        let mut there: Vec<_> = entries.filter(|entry| entry.until > now).map(|entry| entry.present).collect();
        there.sort_unstable_by_key(|present| (std::cmp::Reverse(present.since), present.session));
        there
    }
}

#[async_trait]
impl Presence for EmbeddedPresence {
    async fn put(&self, sessions: Vec<Present>, now: Timestamp, lasts: Duration) -> Result<(), Error> {
        if sessions.len() > PUT_MAX {
            return Err(Error::Unknown(format!("more than {PUT_MAX} sessions at once")));
        }
        let until = now.after(lasts);
        let mut people = self.people.lock();
        for present in sessions {
            people.put(present, until, now);
        }
        Ok(())
    }

    async fn of(&self, users: &[UserId], now: Timestamp) -> Result<Vec<Vec<Present>>, Error> {
        let people = self.people.lock();
        Ok(users.iter().take(PEOPLE_MAX).map(|user| people.of(*user, now)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::ids::SessionId;
    use uuid::Uuid;

    use super::*;
    use crate::conformance::presence::all;
    use crate::conformance::time::Paused;

    #[tokio::test(start_paused = true)]
    async fn conforms() {
        all(async || Arc::new(EmbeddedPresence::default()) as Arc<dyn Presence>, &Paused::default()).await;
    }

    #[tokio::test]
    async fn memory_follows_who_is_there() {
        let presence = EmbeddedPresence::default();
        let mut now = Timestamp(1);
        for number in 0..100_000_u128 {
            let (user, session) = (UserId(Uuid::from_u128(number)), SessionId(Uuid::from_u128(number)));
            let present = Present { user, device: None, session, login: None, since: now };
            presence.put(vec![present], now, Duration::from_millis(100)).await.unwrap();
            now = now.after(Duration::from_millis(1));
        }
        let people = presence.people.lock().sessions.len();
        assert!(people <= PURGE_MIN + 1, "{people} people are kept, of whom 100 are there");
    }
}
