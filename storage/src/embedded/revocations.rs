//! Revocations among the nodes of one process: by default one, which has nobody to tell.

use async_trait::async_trait;
use tokio::sync::{Mutex, broadcast};

use crate::Error;
use crate::revocations::{Heard, Revocation, Revocations};

/// How many wait for a node that does not listen; beyond it the node is told that it missed some.
const WAITING_MAX: usize = 1_024;

/// One node among those of a process.
pub struct EmbeddedRevocations {
    told: broadcast::Sender<(u64, Revocation)>,
    /// This node, so that it does not hear itself.
    me: u64,
    heard: Mutex<broadcast::Receiver<(u64, Revocation)>>,
}

impl Default for EmbeddedRevocations {
    fn default() -> Self {
        let (told, heard) = broadcast::channel(WAITING_MAX);
        Self { told, me: rand::random(), heard: Mutex::new(heard) }
    }
}

impl EmbeddedRevocations {
    /// Another node beside this one.
    #[must_use]
    pub fn join(&self) -> Self {
        Self { told: self.told.clone(), me: rand::random(), heard: Mutex::new(self.told.subscribe()) }
    }
}

#[async_trait]
impl Revocations for EmbeddedRevocations {
    async fn tell(&self, revocation: Revocation) -> Result<(), Error> {
        // This node listens itself, so there is always somebody.
        self.told.send((self.me, revocation)).ok();
        Ok(())
    }

    async fn heard(&self) -> Heard {
        let mut heard = self.heard.lock().await;
        loop {
            match heard.recv().await {
                Ok((by, _)) if by == self.me => {}
                Ok((_, revocation)) => return Heard::Revoked(revocation),
                Err(broadcast::error::RecvError::Lagged(_)) => return Heard::Missed,
                // `self` holds a sender.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use domain::ids::UserId;
    use uuid::Uuid;

    use super::*;
    use crate::conformance::revocations::all;

    #[tokio::test]
    async fn conforms() {
        let buses = parking_lot::Mutex::new(HashMap::<String, EmbeddedRevocations>::new());
        let join = async |bus: &str| {
            let mut buses = buses.lock();
            Arc::new(buses.entry(bus.to_owned()).or_default().join()) as Arc<dyn Revocations>
        };
        all(join).await;
    }

    #[tokio::test]
    async fn who_does_not_listen_is_told_that_they_missed_some() {
        let (one, other) = (EmbeddedRevocations::default(), UserId(Uuid::from_u128(1)));
        let late = one.join();
        for _ in 0..=WAITING_MAX {
            one.tell(Revocation::Profile { user: other }).await.unwrap();
        }
        assert_eq!(late.heard().await, Heard::Missed);
        assert_eq!(late.heard().await, Heard::Revoked(Revocation::Profile { user: other }), "then it goes on");
    }
}
