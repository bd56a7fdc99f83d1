//! A node in this process, on an ephemeral port, in a folder that goes with it; and a person who calls it.

use std::net::SocketAddr;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::http::IDEMPOTENCY_KEY;
use quickpe::app::App;
use quickpe::config::Config;
use quickpe::edge::gate::Gate;
use quickpe::edge::listener::Listener;
use quickpe::node::readiness::Phase;
use quickpe::node::{Assembly, Publishers};
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use storage::identity::Role;
use tokio_util::sync::CancellationToken;

/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse";

/// A node that serves until it is dropped.
pub(crate) struct TestNode {
    pub(crate) app: Arc<App>,
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    stop: CancellationToken,
    _assembly: Assembly,
    _folder: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    /// The code of a problem with this status.
    #[track_caller]
    pub(crate) fn code(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{:#}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["requestId"], self.headers["x-request-id"].to_str().unwrap());
        self.body["code"].as_str().unwrap()
    }
}

/// Somebody who is signed up.
#[derive(Clone, Debug)]
pub(crate) struct Somebody {
    pub(crate) id: String,
    pub(crate) handle: String,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) refresh: String,
}

impl TestNode {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { data: folder.path().join("data"), ..Config::default() };
        config.storage.shards = 64;
        change(&mut config);
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let config = Arc::new(config);
        let assembly = Assembly::open(Arc::clone(&config), metrics, Publishers::none(), true, &|_| {}).await;
        let assembly = assembly.unwrap_or_else(|error| panic!("the node does not open: {error:?}"));
        let app = Arc::clone(&assembly.app);
        // More than any test opens at once.
        let gate = Gate::new(1_000, 1_000);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, gate, config.edge.listener.clone()).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        app.readiness.advance(Phase::Ready);
        tokio::spawn(listener.serve(quickpe::http::router(Arc::clone(&app)), stop.clone()));
        tokio::spawn(quickpe::revoking::hear(Arc::clone(&app), stop.clone()));
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { app, base, client, stop, _assembly: assembly, _folder: folder }
    }

    /// A request to a route under `/api/v1`, or to one that begins with `//`.
    pub(crate) fn request(&self, method: Method, route: &str) -> RequestBuilder {
        let path = route.strip_prefix('/').filter(|rest| rest.starts_with('/'));
        let path = path.map_or_else(|| format!("/api/v1{route}"), str::to_owned);
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, who: &Somebody, route: &str) -> Answer {
        answer(self.request(Method::GET, route).bearer_auth(&who.token)).await
    }

    pub(crate) async fn post(&self, who: &Somebody, route: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, route).bearer_auth(&who.token).json(&body)).await
    }

    /// The same with an idempotency key.
    pub(crate) async fn keyed(&self, who: &Somebody, route: &str, key: &str, body: Value) -> Answer {
        let request = self.request(Method::POST, route).bearer_auth(&who.token).header(IDEMPOTENCY_KEY, key);
        answer(request.json(&body)).await
    }

    pub(crate) async fn sign_up(&self, name: &str) -> Somebody {
        let email = format!("{}@example.com", name.to_lowercase());
        let body = json!({"firstName": name, "lastName": "Rao", "email": email, "password": PASSWORD});
        somebody(&answer(self.request(Method::POST, "/auth/signup").json(&body)).await.expect(201))
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({"email": email, "password": password});
        answer(self.request(Method::POST, "/auth/signin").json(&body)).await
    }

    /// Somebody with a role, signed in again so that their token says so.
    pub(crate) async fn with_role(&self, name: &str, role: Role) -> Somebody {
        let who = self.sign_up(name).await;
        self.app.identity.change_role(who.id.parse().unwrap(), role).await.unwrap().unwrap();
        somebody(&self.sign_in(&who.email, PASSWORD).await.expect(200))
    }

    /// Somebody with this much.
    pub(crate) async fn with_money(&self, name: &str, amount: u32) -> Somebody {
        let who = self.sign_up(name).await;
        self.post(&who, "/account/deposit", json!({"amount": amount})).await.expect(201);
        who
    }

    pub(crate) async fn balance(&self, who: &Somebody) -> Value {
        self.get(who, "/account/balance").await.expect(200)
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Sends a request and reads the answer; a body that is no JSON reads as text.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
}

/// Whose tokens these are.
pub(crate) fn somebody(tokens: &Value) -> Somebody {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let user = &tokens["user"];
    Somebody {
        id: text(&user["id"]),
        handle: text(&user["quickpeId"]),
        email: text(&user["email"]),
        token: text(&tokens["token"]),
        refresh: text(&tokens["refreshToken"]),
    }
}
