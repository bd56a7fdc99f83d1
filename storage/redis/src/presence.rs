//! Who is online on whatever node: a hash a person, a field a session, and how long it is there by the server's time.
//!
//! **When Redis is away** a node answers what it knows itself: people on other nodes seem offline. When it is back
//! empty, each session is said again within a third of its time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{DeviceId, LoginId, SessionId, UserId};
use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::Script;
use storage::Error;
use storage::embedded::presence::EmbeddedPresence;
use storage::presence::{PEOPLE_MAX, Presence, Present, SESSIONS_PER_USER_MAX};

use crate::client::Redis;
use crate::error::unreadable;

/// People said or asked of at once: enough to keep the connection busy, few enough to be answered in time.
const PEOPLE_AT_ONCE: usize = 64;

/// `ARGV`: how long in milliseconds, how many are kept, then a session and what is said of it, in turn.
const PUT: &str = "
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local till, most = now + ARGV[1], tonumber(ARGV[2])
local said = {}
for i = 3, #ARGV, 2 do said[ARGV[i]] = ARGV[i + 1] end
local there = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local known = tonumber(string.sub(all[i + 1], 1, 16))
  if known <= now or said[all[i]] then
    redis.call('HDEL', KEYS[1], all[i])
  else
    there[#there + 1] = {known, all[i]}
  end
end
if till > now then
  for session, what in pairs(said) do
    redis.call('HSET', KEYS[1], session, string.format('%016.0f', till) .. what)
    there[#there + 1] = {till, session}
  end
end
if #there == 0 then return end
table.sort(there, function(a, b) return a[1] > b[1] end)
for i = most + 1, #there do redis.call('HDEL', KEYS[1], there[i][2]) end
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', there[1][1]))
";

/// The sessions that are there, each with what was said of it.
const OF: &str = "
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local there = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if tonumber(string.sub(all[i + 1], 1, 16)) > now then
    there[#there + 1] = all[i]
    there[#there + 1] = string.sub(all[i + 1], 17)
  end
end
return there
";

/// What is said of a session beside whose and which it is.
type Said = (Option<DeviceId>, Option<LoginId>, Timestamp);

/// Presence on Redis.
pub struct RedisPresence {
    redis: Arc<Redis>,
    /// What this node said itself.
    own: EmbeddedPresence,
    put: Script,
    of: Script,
}

impl RedisPresence {
    /// Over a server.
    pub fn new(redis: Arc<Redis>) -> Self {
        Self { redis, own: EmbeddedPresence::default(), put: Script::new(PUT), of: Script::new(OF) }
    }

    fn key(&self, user: UserId) -> String {
        self.redis.key("present", &user.to_string())
    }

    async fn put_of(&self, user: UserId, sessions: Vec<Present>, lasts: Duration) -> Result<(), Error> {
        let mut script = self.put.key(self.key(user));
        script.arg(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)).arg(SESSIONS_PER_USER_MAX);
        for present in sessions {
            script.arg(&present.session.0.as_bytes()[..]).arg(said(&present)?);
        }
        self.redis.run("presence_put", &script).await
    }

    async fn of_one(&self, user: UserId) -> Result<Vec<Present>, Error> {
        let there: Vec<(Vec<u8>, Vec<u8>)> = self.redis.run("presence_of", &self.of.key(self.key(user))).await?;
        let read = |(session, said): &(Vec<u8>, Vec<u8>)| read(user, session, said);
        let mut there = there.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        there.sort_unstable_by_key(|present| (std::cmp::Reverse(present.since), present.session));
        Ok(there)
    }
}

#[async_trait]
impl Presence for RedisPresence {
    async fn put(&self, sessions: Vec<Present>, now: Timestamp, lasts: Duration) -> Result<(), Error> {
        self.own.put(sessions.clone(), now, lasts).await?;
        let mut people: HashMap<UserId, Vec<Present>> = HashMap::new();
        for present in sessions {
            let said = people.entry(present.user).or_default();
            // Of two words about one session the later counts.
            said.retain(|other| other.session != present.session);
            said.push(present);
        }
        let puts = people.into_iter().map(|(user, sessions)| self.put_of(user, sessions, lasts));
        match stream::iter(puts).buffer_unordered(PEOPLE_AT_ONCE).try_collect().await {
            // This node knows it, and says it again; that Redis is away is told once, where it is noticed.
            Err(Error::Unavailable(_)) => Ok(()),
            put => put,
        }
    }

    async fn of(&self, users: &[UserId], now: Timestamp) -> Result<Vec<Vec<Present>>, Error> {
        let asked: Vec<_> = users.iter().take(PEOPLE_MAX).map(|user| self.of_one(*user)).collect();
        match stream::iter(asked).buffered(PEOPLE_AT_ONCE).try_collect().await {
            Err(Error::Unavailable(_)) => self.own.of(users, now).await,
            found => found,
        }
    }
}

fn said(present: &Present) -> Result<Vec<u8>, Error> {
    let said: Said = (present.device, present.login, present.since);
    postcard::to_stdvec(&said).map_err(|error| Error::Unknown(format!("a session cannot be said: {error}")))
}

fn read(user: UserId, session: &[u8], said: &[u8]) -> Result<Present, Error> {
    let wrong = || unreadable("a session");
    let session = SessionId(uuid::Uuid::from_slice(session).map_err(|_| wrong())?);
    let (device, login, since): Said = postcard::from_bytes(said).map_err(|_| wrong())?;
    Ok(Present { user, device, session, login, since })
}
