//! Apache Cassandra for tests: servers of a test's own, which end with it, and the one that many tests share.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Apache Cassandra by `ops/cassandra`, stopped when dropped.
pub(crate) struct Servers {
    /// What the addresses begin with.
    net: &'static str,
    begun: Instant,
    settings: &'static [(&'static str, &'static str)],
}

impl Servers {
    /// Starts so many nodes from nothing, at `net`.1 and on, with more settings for `ops/cassandra/start`.
    pub(crate) fn start(net: &'static str, count: u8, settings: &'static [(&'static str, &'static str)]) -> Self {
        let servers = Self { net, begun: Instant::now(), settings };
        // What an earlier run left, if it was cut short.
        servers.ops("stop", &[]);
        std::fs::remove_dir_all(servers.folder()).ok();
        servers.ops("start", &[&count.to_string()]);
        eprintln!("{count} servers at {net}: there after {:.1} s", servers.begun.elapsed().as_secs_f64());
        servers
    }

    /// The address of a node.
    pub(crate) fn node(&self, number: u8) -> String {
        format!("{}.{number}:9042", self.net)
    }

    /// Where the nodes' files are.
    pub(crate) fn folder(&self) -> PathBuf {
        root().join("target").join(format!("cassandra-{}", self.net))
    }

    /// Does to a node what `ops/cassandra/fault` can.
    pub(crate) fn fault(&self, what: &str, node: u8) {
        self.ops("fault", &[what, &node.to_string()]);
    }

    fn ops(&self, command: &str, arguments: &[&str]) {
        let done = Command::new(root().join("ops/cassandra").join(command))
            .args(arguments)
            .env("CASSANDRA_DIR", self.folder())
            .env("CASSANDRA_NET", self.net)
            .envs(self.settings.iter().copied())
            .output()
            .unwrap();
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.ops("stop", &[]);
        eprintln!("servers at {}: {:.1} s in all", self.net, self.begun.elapsed().as_secs_f64());
    }
}

/// The root of the repository, from the folder of whichever crate tests.
pub(crate) fn root() -> PathBuf {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.filter(|folder| folder.join("ops/cassandra").is_dir()).last().unwrap().to_owned()
}

/// The server that tests share: the one that `CQL_TEST_NODE` names, or else one in `target/cassandra`, which goes on
/// running for the next time.
pub(crate) fn shared_node() -> String {
    if let Ok(node) = std::env::var("CQL_TEST_NODE") {
        return node;
    }
    let started = Command::new(root().join("ops/cassandra/start")).arg("1").output().unwrap();
    assert!(started.status.success(), "ops/cassandra/start: {}", String::from_utf8_lossy(&started.stderr));
    String::from_utf8_lossy(&started.stdout).trim().to_owned()
}
