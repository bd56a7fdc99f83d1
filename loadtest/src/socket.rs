//! A WebSocket session.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use protocol::close::CloseCode;
use protocol::frame::client::{Ack, Call, Hello};
use protocol::frame::server::ErrorFrame;
use protocol::frame::{ClientFrame, Method, SUBPROTOCOL, ServerFrame, Stage, StreamName, Subscription, decode_server};
use protocol::json::Json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::http::Target;

/// How long a handshake and a welcome may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// An open session, welcomed.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    received: std::vec::IntoIter<ServerFrame>,
    calls: u64,
}

/// Why nothing more comes.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The server closed with a code.
    Closed(u16),
    /// The connection broke.
    Broken(String),
    /// What came was no frame of the protocol.
    Foreign(String),
}

impl Socket {
    /// Connects, says hello and is welcomed.
    pub(crate) async fn open(target: &Target, hello: Hello) -> anyhow::Result<Self> {
        timeout(CONNECT_PATIENCE, Self::opened(target, hello)).await.context("no welcome in time")?
    }

    async fn opened(target: &Target, hello: Hello) -> anyhow::Result<Self> {
        let mut request = format!("ws://{}/ws", target.authority()).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
        let (stream, _) = tokio_tungstenite::connect_async_with_config(request, None, true).await?;
        let mut stream = stream;
        send(&mut stream, &ClientFrame::Hello(hello)).await?;
        let mut received = frames(&mut stream).await.map_err(|ended| anyhow::anyhow!("{ended}"))?;
        match received.next() {
            Some(ServerFrame::Welcome(_)) => Ok(Self { stream, received, calls: 0 }),
            Some(ServerFrame::Error(error)) => bail!("refused: {}: {}", error.code, error.message),
            other => bail!("no welcome: {other:?}"),
        }
    }

    /// The next frame.
    ///
    /// Cancel-safe: frames that came together wait in the socket.
    pub(crate) async fn next(&mut self) -> Result<ServerFrame, Ended> {
        loop {
            if let Some(frame) = self.received.next() {
                return Ok(frame);
            }
            self.received = frames(&mut self.stream).await?;
        }
    }

    /// Says that everything up to `upto` is taken in.
    pub(crate) async fn ack(&mut self, stream: StreamName, upto: u64) -> anyhow::Result<()> {
        self.say(&ClientFrame::Ack(Ack { stream, upto, also: Vec::new(), stage: Stage::Applied })).await
    }

    /// Says something.
    pub(crate) async fn say(&mut self, frame: &ClientFrame) -> anyhow::Result<()> {
        send(&mut self.stream, frame).await
    }

    /// Calls a method and waits for its answer. Other frames that come meanwhile are let go.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        params: Option<Json>,
        key: Option<&str>,
    ) -> anyhow::Result<Result<Json, ErrorFrame>> {
        self.calls += 1;
        let id: Box<str> = format!("call-{}", self.calls).into();
        let call = Call { id: id.clone(), method, params, key: key.map(Into::into), traceparent: None };
        send(&mut self.stream, &ClientFrame::Call(call)).await?;
        loop {
            match self.next().await.map_err(|ended| anyhow::anyhow!("{ended}"))? {
                ServerFrame::Reply(reply) if reply.id == id => return Ok(Ok(reply.result)),
                ServerFrame::Error(error) if error.id.as_ref() == Some(&id) => return Ok(Err(error)),
                _ => {}
            }
        }
    }

    /// Says goodbye; what the server makes of it does not matter any more.
    pub(crate) async fn close(mut self) {
        _ = timeout(Duration::from_secs(1), self.stream.close(None)).await;
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => write!(f, "closed with {code}"),
            Self::Broken(why) => write!(f, "broken: {why}"),
            Self::Foreign(what) => write!(f, "not of the protocol: {what}"),
        }
    }
}

impl Ended {
    /// Whether a client may come back with what it has.
    pub(crate) fn may_reconnect(&self) -> bool {
        match self {
            Self::Closed(code) => CloseCode::from_code(*code).is_none_or(CloseCode::may_reconnect),
            Self::Broken(_) => true,
            Self::Foreign(_) => false,
        }
    }
}

/// A hello for the account's stream, or for nothing.
pub(crate) fn hello(token: &str, device: Option<&str>, subscribe: Vec<Subscription>) -> Hello {
    Hello { token: token.into(), device: device.map(Into::into), subscribe }
}

async fn send(stream: &mut WebSocketStream<MaybeTlsStream<TcpStream>>, frame: &ClientFrame) -> anyhow::Result<()> {
    Ok(stream.send(Message::text(serde_json::to_string(frame)?)).await?)
}

/// The next text's frames.
async fn frames(
    stream: &mut WebSocketStream<MaybeTlsStream<TcpStream>>,
) -> Result<std::vec::IntoIter<ServerFrame>, Ended> {
    loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => {
                let frames = decode_server(&text);
                let start = || text.chars().take(300).collect::<String>();
                return frames
                    .map(Vec::into_iter)
                    .map_err(|error| Ended::Foreign(format!("{}: {}", error.message, start())));
            }
            Some(Ok(Message::Close(close))) => {
                return Err(close.map_or_else(
                    || Ended::Broken("closed without a code".into()),
                    |close| Ended::Closed(close.code.into()),
                ));
            }
            Some(Ok(Message::Binary(_))) => return Err(Ended::Foreign("a binary frame".into())),
            Some(Ok(_)) => {}
            // A killed server breaks the connection without a closing handshake.
            Some(Err(error)) => return Err(Ended::Broken(error.to_string())),
            None => return Err(Ended::Broken("end of stream".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::frame::decode;
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;

    const WELCOME: &str = r#"{"type":"welcome","session":"0193503e-6f00-7000-8000-000000000002","user":"0193503e-6f00-7000-8000-000000000001","heartbeatMs":25000,"window":64,"resumed":false}"#;
    const SUBSCRIBED: &str = r#"{"type":"subscribed","stream":"account","epoch":"e","head":1,"from":1}"#;

    async fn said(stream: &mut WebSocketStream<TcpStream>) -> ClientFrame {
        let text = stream.next().await.unwrap().unwrap().into_text().unwrap();
        decode(&text).unwrap().pop().unwrap().map_err(|error| error.to_string()).unwrap()
    }

    #[allow(clippy::result_large_err, reason = "the callback's type is the library's")]
    async fn serve(listener: TcpListener) -> Vec<ClientFrame> {
        let (socket, _) = listener.accept().await.unwrap();
        let agree = |request: &Request, mut response: Response| {
            assert_eq!(request.uri().path(), "/ws");
            response.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
            Ok(response)
        };
        let mut stream = accept_hdr_async(socket, agree).await.unwrap();
        let mut heard = vec![said(&mut stream).await];
        stream.send(Message::text(format!("[{WELCOME},{SUBSCRIBED}]"))).await.unwrap();
        heard.push(said(&mut stream).await);
        heard.push(said(&mut stream).await);
        // Something else comes before the answer, as it does in life.
        stream.send(Message::text(r#"{"type":"expiring","inMs":5}"#)).await.unwrap();
        stream.send(Message::text(r#"{"type":"reply","id":"call-1","result":{"balance":1.50}}"#)).await.unwrap();
        heard.push(said(&mut stream).await);
        stream.send(Message::text(r#"{"type":"error","id":"call-2","code":"busy","message":"x"}"#)).await.unwrap();
        let close = CloseFrame { code: CloseCode::TooSlow.code().into(), reason: "slow".into() };
        stream.close(Some(close)).await.unwrap();
        heard
    }

    #[tokio::test]
    async fn a_session_says_hello_acknowledges_calls_and_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::of(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(serve(listener));
        let subscription = Subscription { stream: StreamName::Account, after: None, last: None };
        let mut socket = Socket::open(&target, hello("token", Some("d"), vec![subscription])).await.unwrap();
        // Frames that came in one array come one by one.
        assert!(matches!(socket.next().await, Ok(ServerFrame::Subscribed(it)) if it.from == 1));
        socket.ack(StreamName::Account, 7).await.unwrap();
        let params = Json::from_text(r#"{"amount":0.10}"#.into()).unwrap();
        let reply = socket.call(Method::Deposit, Some(params), Some("k")).await.unwrap().unwrap();
        assert_eq!(reply.get(), r#"{"balance":1.50}"#);
        let refused = socket.call(Method::Balance, None, None).await.unwrap().unwrap_err();
        assert_eq!(refused.code, protocol::code::Code::Busy);
        let ended = socket.next().await.unwrap_err();
        assert!(matches!(ended, Ended::Closed(4408)) && ended.may_reconnect(), "{ended}");

        let heard = server.await.unwrap();
        assert!(matches!(&heard[0], ClientFrame::Hello(hello) if hello.device.as_deref() == Some("d")));
        assert!(matches!(&heard[1], ClientFrame::Ack(ack) if ack.upto == 7));
        assert!(matches!(&heard[2], ClientFrame::Call(call) if call.key.as_deref() == Some("k")));
        assert!(matches!(&heard[3], ClientFrame::Call(call) if call.method == Method::Balance));
    }
}
