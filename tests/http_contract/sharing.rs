//! What nodes share on Redis, with a real one: limits, caches, ended sign-ins; and a node without it.

use std::process::{Child, Command};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::ids::{LoginId, UserId};
use quickpe::config::Config;
use quickpe::config::keys::{KeysConfig, SigningKeyConfig};
use quickpe::revoking;
use reqwest::Method;
use serde_json::{Value, json};
use storage::identity::Role;
use uuid::Uuid;

use crate::node::{PASSWORD, Somebody, TestNode, answer};

/// How long it is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Redis of the test's own. What it writes when it is asked to can be read as it is.
struct Redis {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Redis {
    async fn start() -> Self {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--rdbcompression", "no", "--port", &port.to_string()]);
        command.arg("--dir").arg(folder.path()).arg("--logfile").arg(folder.path().join("log"));
        let redis = Self { child: command.spawn().expect("there is no redis-server: run ops/setup"), port, folder };
        eventually("Redis answers", async || redis.cli(&["ping"]) == "PONG").await;
        redis
    }

    fn cli(&self, words: &[&str]) -> String {
        let asked = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words).output().unwrap();
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
    }

    /// All that it holds.
    fn dump(&self) -> Vec<u8> {
        assert_eq!(self.cli(&["save"]), "OK");
        std::fs::read(self.folder.path().join("dump.rdb")).unwrap()
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A node that uses it, of one platform with all others.
    async fn node(&self) -> TestNode {
        let key = || STANDARD.encode([7; 32]);
        let keys = KeysConfig {
            signing: vec![SigningKeyConfig { kid: "shared".to_owned(), secret: key() }],
            refresh: vec![key()],
            encryption: vec![key()],
        };
        let port = self.port;
        TestNode::start_with(move |config: &mut Config| {
            config.keys = keys;
            config.redis.urls = vec![format!("redis://127.0.0.1:{port}")];
            // A loaded machine may be slow.
            config.redis.request_timeout_ms = 2_000;
        })
        .await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn health(node: &TestNode) -> Value {
    answer(node.request(Method::GET, "//health")).await.expect(200)
}

/// The level of a cache, as an administrator sees it.
async fn cache(node: &TestNode, admin: &Somebody, name: &str, level: u64) -> Value {
    let report = node.get(admin, "/admin/cache").await.expect(200);
    let caches = report["caches"].as_array().unwrap();
    caches.iter().find(|cache| cache["name"] == name && cache["level"] == level).unwrap_or(&Value::Null).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_its_redis_is_degraded_and_serves() {
    let mut redis = Redis::start().await;
    let (one, other) = (redis.node().await, redis.node().await);
    assert_eq!(health(&one).await["parts"]["redis"]["status"], "ok");
    let fail = async |node: &TestNode| node.sign_in("asha@example.com", "wrong password").await.status.as_u16();
    for _ in 0..5 {
        assert_eq!([fail(&one).await, fail(&other).await], [401, 401]);
    }
    assert_eq!([fail(&one).await, fail(&other).await], [429, 429], "ten failures on whatever node");
    redis.end();
    eventually("the node says so", async || health(&one).await["status"] == "degraded").await;
    assert_eq!(health(&one).await["parts"]["redis"]["status"], "degraded");
    assert_eq!(fail(&one).await, 429, "it is not forgotten here");
    let asha = one.with_money("Asha", 5).await;
    assert_eq!(one.balance(&asha).await["balanceMinor"], 500);
    let ravi = async || one.sign_in("ravi@example.com", "wrong password").await.status.as_u16();
    assert_eq!([ravi().await, ravi().await, ravi().await], [401, 401, 429], "one in four of ten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_ends_on_one_node_ends_on_all() {
    let redis = Redis::start().await;
    let (one, other) = (redis.node().await, redis.node().await);
    let (user, login) = (UserId(Uuid::from_u128(1)), LoginId(Uuid::from_u128(2)));
    other.app.access.logins.began(login);
    assert!(other.app.access.logins.is_live(login).await.unwrap(), "the other node remembers it");
    revoking::login_ended(&one.app, user, login).await;
    eventually("it ends", async || !other.app.access.logins.is_live(login).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_shared_sealed_and_purged() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let (asha, admin) = (node.sign_up("Zebedee").await, node.with_role("Admin", Role::Admin).await);
    assert_eq!(node.get(&asha, "/admin/cache").await.code(403), "forbidden");
    let ravi = node.sign_up("Ravi").await;
    node.post(&asha, "/account/deposit", json!({"amount": 5})).await.expect(201);
    let transfer = json!({"to": ravi.handle, "amount": 5, "description": "for the xylophone"});
    node.post(&asha, "/account/transfer", transfer).await.expect(201);
    let statement = async || node.get(&asha, "/account/transactions").await.expect(200)["transactions"].clone();
    let first = statement().await;
    assert_eq!(
        (first[0]["description"].as_str(), first.as_array().map(Vec::len)),
        (Some("for the xylophone"), Some(2))
    );
    assert_eq!(statement().await, first);
    let (memory, shared) = (cache(&node, &admin, "statements", 1).await, cache(&node, &admin, "statements", 2).await);
    assert_eq!((memory["hits"].as_u64(), memory["misses"].as_u64()), (Some(1), Some(1)), "{memory}");
    assert_eq!((shared["hits"].as_u64(), shared["misses"].as_u64()), (Some(0), Some(1)), "{shared}");

    node.app.newest.forget_all();
    assert_eq!(statement().await, first, "from Redis it reads the same");
    assert_eq!(cache(&node, &admin, "statements", 2).await["hits"], 1);
    let key = redis.cli(&["--scan", "--pattern", "*:cache:statement:*"]);
    assert!(redis.cli(&["get", &key]).contains('+'), "{key}");
    let dump = redis.dump();
    for plain in ["Zebedee", "zebedee", "xylophone", "Ravi"] {
        assert!(!dump.windows(plain.len()).any(|bytes| bytes == plain.as_bytes()), "{plain} lies on Redis as it is");
    }

    let erase = node.request(Method::DELETE, "/user/me").bearer_auth(&asha.token).json(&json!({"password": PASSWORD}));
    assert_eq!(answer(erase).await.status, 204);
    assert!(redis.cli(&["get", &key]).ends_with('-'), "nothing of it is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_is_not_shown_as_it_was() {
    let node = TestNode::start().await;
    let (asha, admin) = (node.sign_up("Asha").await, node.with_role("Admin", Role::Admin).await);
    let find =
        async |text: &str| node.post(&asha, "/user/bulk", json!({"filter": text})).await.expect(200)["users"].clone();
    assert_eq!([find("Ush").await, find("Ush").await], [json!([]), json!([])]);
    let ravi = node.sign_up("Ushas").await;
    assert_eq!(find("Ush").await[0]["id"], ravi.id.as_str(), "somebody new");
    let change = node.request(Method::PATCH, "/user/me").bearer_auth(&ravi.token).json(&json!({"firstName": "Ushana"}));
    answer(change).await.expect(200);
    assert_eq!(find("Ush").await[0]["firstName"], "Ushana", "another name");
    let erase = node.request(Method::DELETE, "/user/me").bearer_auth(&ravi.token).json(&json!({"password": PASSWORD}));
    assert_eq!(answer(erase).await.status, 204);
    assert_eq!(find("Ush").await, json!([]), "nobody");
    let searches = cache(&node, &admin, "searches", 1).await;
    assert_eq!((searches["hits"].as_u64(), searches["misses"].as_u64()), (Some(1), Some(4)), "{searches}");
    assert_eq!(cache(&node, &admin, "statements", 2).await, Value::Null, "nothing is shared without Redis");
}
