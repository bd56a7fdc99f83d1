//! Whether the store answers: asked by the node itself, so that it is known before a client's request finds it out.
//!
//! Once a second each node of the store is asked whether it is there, and a quorum for the row that every store has: as
//! many nodes as a transaction needs. One question at a time, each waited for as long as any request. A missed answer may
//! be one slow moment of the store; two in a row say that it does not answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use metrics::{gauge, histogram};
use parking_lot::Mutex;
use storage::Error;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use crate::Cql;
use crate::config::{CqlConfig, Serial};
use crate::metrics::{NODES, PROBE_SECONDS, QUORUM, STATE, record_driver};

/// How often the store is asked.
const BEAT: Duration = Duration::from_secs(1);

/// From so many missed answers in a row on the store does not answer.
const MISSED_MAX: u32 = 2;

/// Nodes that are asked together.
const ASKING_MAX: usize = 16;

/// How the store was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// A quorum answers, and so does every node.
    #[default]
    Whole,
    /// A quorum answers. Some nodes do not.
    Short {
        /// How many do not.
        down: usize,
        /// How many there are.
        of: usize,
    },
    /// A quorum did not answer when it was last asked; before that it did.
    Late,
    /// A quorum does not answer.
    Silent,
}

/// Asks the store again and again.
pub struct Pulse {
    cql: Arc<Cql>,
    question: String,
    /// The data centre whose nodes matter; every one's do if transactions are agreed on in all.
    home: Option<String>,
    standing: Mutex<Standing>,
}

impl Pulse {
    /// Of a store that has just answered.
    pub fn new(cql: Arc<Cql>, config: &CqlConfig) -> Self {
        let home = match config.serial {
            Serial::Local => Some(config.data_centre.clone()),
            Serial::Global => None,
        };
        let question = format!("SELECT id FROM {}.founding WHERE id = 0 LIMIT 1", cql.keyspace());
        Self { cql, question, home, standing: Mutex::default() }
    }

    /// How the store was found when it was last asked.
    pub fn standing(&self) -> Standing {
        *self.standing.lock()
    }

    /// Asks until it is dropped.
    pub async fn run(&self) {
        let mut beats = tokio::time::interval(BEAT);
        // A store that was slow to answer is not asked more often to make up for it.
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut missed = 0;
        loop {
            beats.tick().await;
            let (quorum, (down, of)) = tokio::join!(self.quorum(), self.nodes());
            record_driver(&self.cql.connection().session().get_metrics());
            missed = if quorum.is_ok() { 0 } else { u32::saturating_add(missed, 1) };
            let standing = judge(missed, down, of);
            let before = std::mem::replace(&mut *self.standing.lock(), standing);
            if before != standing {
                tell(standing, quorum);
            }
        }
    }

    /// Asks a quorum.
    async fn quorum(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let answered = self.cql.connection().has_quorum(&self.question).await;
        histogram!(PROBE_SECONDS).record(begun.elapsed().as_secs_f64());
        gauge!(QUORUM).set(if answered.is_ok() { 1.0 } else { 0.0 });
        answered
    }

    /// Asks each node that matters. Answers how many are down, and of how many.
    async fn nodes(&self) -> (usize, usize) {
        let connection = self.cql.connection();
        let nodes = matter(connection.nodes(), self.home.as_deref());
        let of = nodes.len();
        let asked = stream::iter(nodes).map(|node| {
            let question = "SELECT key FROM system.local LIMIT 1".to_owned();
            connection.ask::<(String,)>(question, false, Some(node))
        });
        let down =
            asked.buffer_unordered(ASKING_MAX).filter(|answer| std::future::ready(answer.is_err())).count().await;
        for (state, count) in [("up", of.saturating_sub(down)), ("down", down)] {
            #[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "nodes of a store, some tens")]
            gauge!(NODES, STATE => state).set(count as f64);
        }
        (down, of)
    }
}

/// The nodes in the data centre, or all of them.
fn matter(nodes: BTreeMap<Uuid, Option<String>>, home: Option<&str>) -> Vec<Uuid> {
    let is_there = |centre: Option<&str>| home.is_none() || centre == home;
    nodes.into_iter().filter(|(_, centre)| is_there(centre.as_deref())).map(|(node, _)| node).collect()
}

/// What answers say of the store.
const fn judge(missed: u32, down: usize, of: usize) -> Standing {
    match missed {
        0 if down == 0 => Standing::Whole,
        0 => Standing::Short { down, of },
        missed if missed < MISSED_MAX => Standing::Late,
        _ => Standing::Silent,
    }
}

/// Says in the log that the store was found otherwise than before.
fn tell(standing: Standing, quorum: Result<(), Error>) {
    let why = quorum.err().map(|error| error.to_string());
    match standing {
        Standing::Whole => tracing::info!("the store answers, with all its nodes"),
        Standing::Short { down, of } => tracing::warn!(down, of, "nodes of the store do not answer; a quorum does"),
        Standing::Late => tracing::warn!(why, "the store did not answer when it was asked"),
        Standing::Silent => tracing::error!(why, "the store does not answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missed_answer_is_late_and_two_are_silence() {
        assert_eq!(judge(0, 0, 3), Standing::Whole);
        assert_eq!(judge(0, 1, 3), Standing::Short { down: 1, of: 3 });
        assert_eq!(judge(1, 0, 3), Standing::Late);
        assert_eq!(judge(2, 2, 3), Standing::Silent);
    }

    #[test]
    fn nodes_of_another_data_centre_matter_when_transactions_are_agreed_on_there() {
        let node = |number: u8, centre: &str| (Uuid::from_bytes([number; 16]), Some(centre.to_owned()));
        let nodes = || BTreeMap::from([node(1, "here"), node(2, "there"), node(3, "here")]);
        assert_eq!(matter(nodes(), Some("here")).len(), 2);
        assert_eq!(matter(nodes(), None).len(), 3);
    }
}
