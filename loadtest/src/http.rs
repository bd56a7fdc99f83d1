//! HTTP with one connection: as little as is needed to ask a JSON API and count what it costs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::RwLock;
use protocol::http::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED};
use protocol::problem::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The most bytes of an answer: a page of 100 transactions has about 50 KiB.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Where the server is. Shared, because a server that is started again may get another port.
#[derive(Clone)]
pub(crate) struct Target(Arc<RwLock<String>>);

impl Target {
    /// The server at a URL like `http://127.0.0.1:5001`.
    pub(crate) fn of(url: &str) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(RwLock::new(authority(url)?))))
    }

    /// The server is at this URL now.
    pub(crate) fn moved(&self, url: &str) -> anyhow::Result<()> {
        *self.0.write() = authority(url)?;
        Ok(())
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> String {
        self.0.read().clone()
    }
}

fn authority(url: &str) -> anyhow::Result<String> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url}: only http:// can be tested"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    ensure!(!authority.is_empty(), "{url} names no host");
    Ok(if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") })
}

/// One connection, opened when it is needed. One request at a time.
pub(crate) struct Client {
    target: Target,
    connection: Option<SendRequest<Full<Bytes>>>,
    patience: Duration,
}

/// What to ask.
pub(crate) struct Ask<'a> {
    /// The method.
    pub(crate) method: Method,
    /// The path, from `/`, with its query.
    pub(crate) path: &'a str,
    /// The access token.
    pub(crate) token: Option<&'a str>,
    /// The idempotency key.
    pub(crate) key: Option<&'a str>,
    /// The JSON body.
    pub(crate) body: Option<Bytes>,
}

/// What was answered, whatever the status.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// Whether the server says that it gave this answer before.
    pub(crate) replayed: bool,
    /// The body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads the body of a success, or names the problem.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        if !self.status.is_success() {
            let problem = self.problem().map_or_else(|| self.text(), |it| format!("{}: {}", it.code, it.message));
            anyhow::bail!("{}: {problem}", self.status);
        }
        serde_json::from_slice(&self.body).with_context(|| format!("unexpected body: {}", self.text()))
    }

    /// The problem, if the body is one.
    pub(crate) fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(&self.body).ok()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

impl Client {
    /// A client that waits `patience` for an answer.
    pub(crate) fn new(target: Target, patience: Duration) -> Self {
        Self { target, connection: None, patience }
    }

    /// Asks without a body.
    pub(crate) async fn get(&mut self, path: &str, token: &str) -> anyhow::Result<Answer> {
        self.ask(Ask { method: Method::GET, path, token: Some(token), key: None, body: None }).await
    }

    /// Sends a body.
    pub(crate) async fn post<T: Serialize>(
        &mut self,
        path: &str,
        token: Option<&str>,
        key: Option<&str>,
        body: &T,
    ) -> anyhow::Result<Answer> {
        let body = Some(serde_json::to_vec(body)?.into());
        self.ask(Ask { method: Method::POST, path, token, key, body }).await
    }

    /// Asks. An error means that nothing is known of what the server did.
    ///
    /// After an error the connection is given up: a late answer must not be taken for the next.
    pub(crate) async fn ask(&mut self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        let connection = self.connection.take();
        let patience = self.patience;
        let (answer, connection) =
            timeout(patience, exchange(&self.target, connection, ask)).await.context("no answer in time")??;
        self.connection = Some(connection);
        Ok(answer)
    }
}

async fn exchange(
    target: &Target,
    connection: Option<SendRequest<Full<Bytes>>>,
    ask: Ask<'_>,
) -> anyhow::Result<(Answer, SendRequest<Full<Bytes>>)> {
    let authority = target.authority();
    let mut connection = match connection.filter(|connection| !connection.is_closed()) {
        Some(connection) => connection,
        None => connect(&authority).await?,
    };
    connection.ready().await?;
    let answer = connection.send_request(request(&authority, ask)?).await?;
    let status = answer.status();
    let replayed = answer.headers().get(IDEMPOTENCY_REPLAYED).is_some_and(|value| value == "true");
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
    Ok((Answer { status, replayed, body }, connection))
}

async fn connect(authority: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let socket = TcpStream::connect(authority).await?;
    socket.set_nodelay(true)?;
    let (connection, driver) = handshake(TokioIo::new(socket)).await?;
    // Ends with the connection; what goes wrong is the request's to tell.
    tokio::spawn(driver);
    Ok(connection)
}

fn request(authority: &str, ask: Ask<'_>) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(ask.method).uri(ask.path).header(header::HOST, authority);
    if let Some(token) = ask.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(key) = ask.key {
        request = request.header(IDEMPOTENCY_KEY, key);
    }
    if ask.body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    Ok(request.body(Full::new(ask.body.unwrap_or_default()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host() {
        for (url, authority) in [
            ("http://127.0.0.1:5001", Some("127.0.0.1:5001")),
            ("http://node/", Some("node:80")),
            ("https://node", None),
            ("http://", None),
        ] {
            assert_eq!(Target::of(url).ok().map(|target| target.authority()).as_deref(), authority, "{url}");
        }
    }
}
