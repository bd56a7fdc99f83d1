//! Servers of the tests.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use storage_redis::{Redis, RedisConfig, State};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::sync::OnceCell;

/// How long it is waited for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of a server that keeps nothing on the disk.
const IN_MEMORY: [&str; 6] = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];

/// Where the shared server is.
static SHARED: OnceCell<String> = OnceCell::const_new();

/// Prefixes that were given away by this process.
static PREFIXES: AtomicU32 = AtomicU32::new(0);

/// A server of one test's own, ended with it.
pub(crate) struct Server {
    folder: TempDir,
    arguments: Vec<String>,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts one that keeps nothing on the disk, with more arguments.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::launch(free_port(), &[&IN_MEMORY, arguments].concat()).await
    }

    /// Starts one with a file of configuration, which it may write, and more arguments.
    pub(crate) async fn start_with(file: &Path, arguments: &[&str]) -> Self {
        let base = [file.to_str().unwrap(), "--bind", "127.0.0.1"];
        Self::launch(free_port(), &[&base, arguments].concat()).await
    }

    /// Starts one on a port that is known already.
    pub(crate) async fn start_at(port: u16) -> Self {
        Self::launch(port, &IN_MEMORY).await
    }

    async fn launch(port: u16, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { folder, arguments, port, child: None };
        server.restart().await;
        server
    }

    /// Starts it again on the same port. It has forgotten everything.
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let mut command = tokio::process::Command::new("redis-server");
        command.args(&self.arguments).arg("--port").arg(self.port.to_string());
        command.arg("--dir").arg(self.folder.path()).arg("--logfile").arg(self.folder.path().join("log"));
        self.child = Some(command.kill_on_drop(true).spawn().expect("there is no redis-server: run ops/setup"));
        // One that asks for a password answers too.
        let answers = |said: &str| said == "PONG" || said.starts_with("NOAUTH");
        eventually("the server answers", async || answers(&self.cli(&["ping"]))).await;
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// Has it sent a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.child.as_ref().and_then(Child::id).unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &process]).status().unwrap().success());
    }

    /// What an independent client is answered.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let asked = Command::new("redis-cli").arg("-p").arg(self.port.to_string()).args(words).output().unwrap();
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
    }

    pub(crate) fn config(&self) -> RedisConfig {
        of_port(self.port)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// How a server on a port is reached. A loaded machine may be slow, so answers are waited for a little longer.
pub(crate) fn of_port(port: u16) -> RedisConfig {
    RedisConfig {
        urls: vec![format!("redis://127.0.0.1:{port}")],
        request_timeout_ms: 500,
        connect_timeout_ms: 2_000,
        ..RedisConfig::default()
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// How the shared server is reached, under a prefix that nobody else has.
pub(crate) async fn shared() -> RedisConfig {
    let url = SHARED.get_or_init(|| async { std::env::var("REDIS_TEST_URL").unwrap_or_else(|_| start()) }).await;
    let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("test-{}-{number}-{}", std::process::id(), rand_suffix());
    RedisConfig { urls: vec![url.clone()], prefix, ..of_port(0) }
}

/// So that a process of the same id, later, has other keys.
fn rand_suffix() -> u16 {
    u16::try_from(uuid::Uuid::new_v4().as_u128() & 0xffff).unwrap()
}

fn start() -> String {
    let command = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/redis/start");
    let started = Command::new(command).output().unwrap();
    assert!(started.status.success(), "ops/redis/start: {}", String::from_utf8_lossy(&started.stderr));
    String::from_utf8_lossy(&started.stdout).trim().to_owned()
}

/// A client, connected.
pub(crate) async fn connect(config: &RedisConfig) -> Arc<Redis> {
    let redis = Redis::open(config).await.unwrap();
    reaches(&redis, State::Closed).await;
    redis
}

/// Waits until the breaker is there.
pub(crate) async fn reaches(redis: &Redis, state: State) {
    let mut watch = redis.watch();
    let reached = watch.wait_for(|now| *now == state);
    tokio::time::timeout(PATIENCE, reached).await.expect("the breaker does not get there").unwrap();
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never: {what}"));
}
