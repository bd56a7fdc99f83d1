//! A data folder and the configuration of a node on a CQL store.

use std::path::Path;
use std::process::Output;

use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::process::{Node, code, quickpe, said};

/// One test at a time: servers of two would have the machine between them.
pub(crate) static ALONE: Mutex<()> = Mutex::const_new(());

/// Where a node is at home.
pub(crate) struct Home {
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Home {
    /// A node of a keyspace on these servers. 64 shards, because each takes two transactions when a node starts.
    pub(crate) fn new(nodes: &str, keyspace: &str) -> Self {
        let settings = vec![
            ("QUICKPE_STORAGE__KIND", "cql".to_owned()),
            ("QUICKPE_STORAGE__SHARDS", "64".to_owned()),
            ("QUICKPE_STORAGE__CQL__NODES", nodes.to_owned()),
            ("QUICKPE_STORAGE__CQL__KEYSPACE", keyspace.to_owned()),
            ("QUICKPE_STORAGE__CQL__CONNECT_TIMEOUT_MS", "3000".to_owned()),
        ];
        Self { folder: tempfile::tempdir().unwrap(), settings }
    }

    /// The same with another setting: the last word counts.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// Changes a setting.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.settings.retain(|(other, _)| *other != name);
        self.settings.push((name, value.into()));
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        quickpe(self.data())
            // For commands that would serve: no port of another's.
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .envs(self.settings.iter().map(|(name, value)| (*name, value)))
            .output()
            .unwrap()
    }

    /// Runs a command that succeeds. Answers what it said.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(code(&done), 0, "{}", said(&done));
        said(&done)
    }

    /// Runs a command that fails with an exit code, and says why.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str], exit: i32, why: &str) {
        let refused = self.run(arguments);
        assert_eq!(code(&refused), exit, "{}", said(&refused));
        assert!(said(&refused).contains(why), "`{why}` is not in: {}", said(&refused));
    }

    /// Makes funded people on a node that serves; answers their ids and access tokens.
    #[track_caller]
    pub(crate) fn people(&self, count: usize, balance: &str) -> Vec<(String, String)> {
        let file = self.data().join("tokens.tsv");
        let (users, path) = (count.to_string(), file.display().to_string());
        self.done(&["admin", "synthesize", "--users", &users, "--balance", balance, "--tokens", &path]);
        let text = std::fs::read_to_string(file).unwrap();
        let pairs = text.lines().map(|line| line.split_once('\t').unwrap());
        pairs.map(|(id, token)| (id.to_owned(), token.to_owned())).collect()
    }

    /// Starts a node and waits until it is ready.
    pub(crate) fn serve(&self) -> Node {
        self.serve_with(&[])
    }

    /// Starts a node with flags and waits until it is ready.
    pub(crate) fn serve_with(&self, flags: &[&str]) -> Node {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Node::start_flagged(self.data(), flags, &settings)
    }
}

/// What the node wrote stands behind a test that failed.
impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.data().join("stderr.log")).unwrap_or_default());
        }
    }
}
