//! What the coordinator and its workers say to each other: JSON, a line each.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::meter::Delta;
use crate::who::Bearer;

/// What a worker holds: its share of all sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    /// Where the server is.
    pub(crate) server: SocketAddr,
    /// A name for this run; devices are called after it.
    pub(crate) run: String,
    /// The number of the first session.
    pub(crate) first: usize,
    /// Whose each session is.
    pub(crate) bearers: Vec<Bearer>,
    /// From which address each session comes; from any if there is none.
    pub(crate) addresses: Vec<IpAddr>,
    /// Which stream each session follows; the last stands for all that follow.
    pub(crate) streams: Vec<String>,
    /// Whether sessions name a device, so that the server keeps their place.
    pub(crate) devices: bool,
    /// How many handshakes may be under way at once.
    pub(crate) in_flight: usize,
}

/// What to do next; a worker says when it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
pub(crate) enum Step {
    /// Connect all sessions, say hello and subscribe.
    Connect {
        /// Connects a second, whatever becomes of them; as fast as `in_flight` allows if absent.
        rate: Option<f64>,
    },
    /// Stay connected.
    Hold {
        /// For so long.
        millis: u64,
    },
    /// From now on connections may end: the server is about to be killed.
    Brace,
    /// Cut what is still connected, then come back as the same devices, without a place of their own.
    Resume {
        /// Where the server is now.
        server: SocketAddr,
        /// Each begins at a random time in so long.
        spread_ms: u64,
        /// How long it may take, with all attempts.
        patience_ms: u64,
    },
    /// Publish to the followed rooms.
    Publish {
        /// Messages a second, of all workers together.
        rate: f64,
        /// For so long.
        millis: u64,
        /// Bytes of a body.
        bytes: usize,
        /// How many of the run's sessions publish, from the first.
        publishers: usize,
    },
    /// Sessions from this number of the run on read nothing any more, and stay connected.
    Stall {
        /// The first of them.
        from: usize,
    },
    /// Wait until each session that reads has heard everything of its stream.
    Settle {
        /// How long it may take.
        patience_ms: u64,
        /// The newest offset of streams; of others the account's balance is asked.
        heads: BTreeMap<String, u64>,
    },
    /// Close all.
    Close,
}

/// What a worker says.
#[derive(Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "camelCase")]
pub(crate) enum Word {
    /// It has its job.
    Ready,
    /// What happened since the last time.
    Delta(Delta),
    /// The step is done.
    Done {
        /// The newest offsets of streams that this worker was told of.
        heads: BTreeMap<String, u64>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let steps = [
            Step::Connect { rate: Some(7500.0) },
            Step::Resume { server: "127.0.0.1:5001".parse().unwrap(), spread_ms: 0, patience_ms: 1 },
            Step::Settle { patience_ms: 1, heads: BTreeMap::from([("room:a".into(), 7)]) },
            Step::Stall { from: 4_000 },
            Step::Close,
        ];
        for step in steps {
            let line = serde_json::to_string(&step).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Step>(&line).unwrap(), step);
        }
    }
}
