//! A node and the people on it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{Node, code, run, said};

/// The password of everybody.
pub const PASSWORD: &str = "correct horse";

/// The secret of a server that may do everything.
pub const SECRET: &str = "a-secret-of-more-than-32-characters";

/// A node in a folder of its own.
pub struct World {
    pub node: Node,
    pub data: TempDir,
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Somebody {
    pub id: String,
    pub email: String,
    pub token: String,
    pub refresh: String,
}

impl World {
    /// A node with more environment, and with a server's key.
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let node = start(&data, environment);
        Self { node, data }
    }

    /// Another life of the node, after a `kill -9`.
    pub fn crash_and_start(self, environment: &[(&str, &str)]) -> Self {
        let Self { node, data } = self;
        node.signal("KILL");
        node.wait();
        let node = start(&data, environment);
        Self { node, data }
    }

    /// A request, and its answer.
    pub async fn ask(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> (StatusCode, Value) {
        let request = reqwest::Client::new().request(method, format!("{}/api/v1{path}", self.node.url));
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap_or_default())
    }

    /// The same, which must be answered like this.
    #[track_caller]
    pub fn expect(
        &self,
        status: u16,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> impl Future<Output = Value> {
        let asked = format!("{method} {path}");
        let answer = self.ask(method, path, token, body);
        async move {
            let (answered, body) = answer.await;
            assert_eq!(answered, status, "{asked}: {body:#}");
            body
        }
    }

    pub async fn get(&self, who: &Somebody, path: &str) -> Value {
        self.expect(200, Method::GET, path, &who.token, None).await
    }

    pub async fn post(&self, status: u16, who: &Somebody, path: &str, body: Value) -> Value {
        self.expect(status, Method::POST, path, &who.token, Some(body)).await
    }

    /// What a route answers as soon as `wanted` holds of it.
    pub async fn asked(&self, token: &str, path: &str, wanted: impl Fn(StatusCode, &Value) -> bool) -> Value {
        for _ in 0..600 {
            let (status, body) = self.ask(Method::GET, path, token, None).await;
            if wanted(status, &body) {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{path} never says what it should");
    }

    /// A figure of the node's metrics.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let text = reqwest::get(format!("{}/metrics", self.node.url)).await.unwrap().text().await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    pub async fn sign_up(&self, name: &str, more: Value) -> Somebody {
        let mut body = json!({"firstName": name, "lastName": "Rao", "email": format!("{name}@example.com"),
            "password": PASSWORD});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        somebody(&self.expect(201, Method::POST, "/auth/signup", "", Some(body)).await)
    }

    pub async fn sign_in(&self, email: &str, device: Option<&str>) -> Somebody {
        let mut body = json!({"email": email, "password": PASSWORD});
        if let Some(device) = device {
            body["device"] = device.into();
        }
        somebody(&self.expect(200, Method::POST, "/auth/signin", "", Some(body)).await)
    }

    /// Somebody with the role `admin`.
    pub async fn administrator(&self) -> Somebody {
        let admin = self.sign_up("admin", json!({})).await;
        let granted = run(self.data.path(), &["admin", "grant", "admin@example.com", "admin"]);
        assert_eq!(code(&granted), 0, "{}", said(&granted));
        self.sign_in(&admin.email, None).await
    }

    /// An open group of these people; answers its id.
    pub async fn group(&self, people: &[&Somebody]) -> String {
        let (first, others) = people.split_first().unwrap();
        let made = self.post(201, first, "/rooms", json!({"kind": "group", "name": "Lunch", "open": true})).await;
        let room = made["room"].as_str().unwrap().to_owned();
        for person in others {
            self.post(201, person, &format!("/rooms/{room}/join"), json!({})).await;
        }
        room
    }

    /// A connection.
    pub async fn connect(&self, who: &Somebody, device: Option<&str>, streams: &[&str]) -> Client {
        Client::connect(&self.node.url, &who.token, device, streams).await
    }
}

fn start(data: &TempDir, environment: &[(&str, &str)]) -> Node {
    let keys = json!([
        {"name": "bank", "secret": SECRET, "scopes": ["publish", "broadcast", "notify", "disconnect", "presence"]},
        {"name": "blind", "secret": SECRET.replace("a-", "b-"), "scopes": ["publish"]},
    ])
    .to_string();
    let mut all = vec![("QUICKPE_STORAGE__SHARDS", "64"), ("QUICKPE_SERVER__KEYS", keys.as_str())];
    all.extend_from_slice(environment);
    Node::start_with(data.path(), &all)
}

/// Whose tokens these are.
pub fn somebody(tokens: &Value) -> Somebody {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Somebody {
        id: text(&tokens["user"]["id"]),
        email: text(&tokens["user"]["email"]),
        token: text(&tokens["token"]),
        refresh: text(&tokens["refreshToken"]),
    }
}
