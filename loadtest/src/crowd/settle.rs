//! Whether everybody heard everything.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::Crowd;
use super::member::Member;

/// How many sessions are asked at once.
const ASKED_AT_ONCE: usize = 128;
/// How long an answer may take before it is asked for again: the server may be busy.
const ASK_AGAIN: Duration = Duration::from_secs(2);

impl Crowd {
    /// Waits until each session that reads has heard up to the newest offset of its stream; counts who has not.
    pub(super) async fn settle(self: &Rc<Self>, patience: Duration, heads: &BTreeMap<String, u64>) {
        let deadline = Instant::now() + patience;
        let reading = self.members.iter().filter(|member| !member.is_stalled());
        let settling = futures_util::stream::iter(reading).map(|member| async move {
            let head = heads.get(self.stream(member)).copied();
            match timeout_at(deadline, self.settled(member, head)).await {
                Ok(true) => self.meter.count("settled"),
                Ok(false) => self.meter.fault("unsettled", || format!("session {} is not connected", member.number)),
                Err(_) => self.meter.fault("unsettled", || {
                    let wanted = head.or(member.balance.get());
                    format!("session {}: heard up to {} of {wanted:?}", member.number, member.place())
                }),
            }
        });
        settling.buffer_unordered(ASKED_AT_ONCE).collect::<()>().await;
    }

    /// Waits until a session has heard all; false if it cannot.
    async fn settled(&self, member: &Member, head: Option<u64>) -> bool {
        let Some(line) = member.line() else { return false };
        let head = match head {
            Some(head) => head,
            None => loop {
                member.balance.set(None);
                if line.send(r#"{"type":"call","id":"balance","method":"account.balance"}"#).is_err() {
                    return false;
                }
                let again = Instant::now() + ASK_AGAIN;
                while member.balance.get().is_none() && timeout_at(again, member.changed.notified()).await.is_ok() {}
                if let Some(offset) = member.balance.get() {
                    break offset;
                }
            },
        };
        while member.place() < head {
            member.changed.notified().await;
        }
        true
    }
}
