//! Real sockets: an independent client on one side, the listener, the gate and a small door on the other.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use actors::outbox::{End, Outbox, frame};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::client_frame::client_frame as masked;
use super::*;
use crate::edge::listener::Listener;

/// Longer than anything here may take, so that a hang is a failure and not a stuck run.
const PATIENCE: Duration = Duration::from_secs(20);

type Admitted = (Client, Arc<Outbox>);

/// Admits who says `hello`, and echoes.
#[derive(Default)]
struct EchoDoor {
    /// Sessions that were told they are gone.
    gone: Arc<AtomicUsize>,
    /// Each admitted client and its outbox.
    admitted: Mutex<Option<mpsc::UnboundedSender<Admitted>>>,
    /// What a message `pause` waits for.
    resume: Arc<Notify>,
}

struct EchoSession {
    outbox: Arc<Outbox>,
    gone: Arc<AtomicUsize>,
    resume: Arc<Notify>,
}

impl Door for EchoDoor {
    type Session = EchoSession;

    async fn hello(&self, hello: Hello) -> Result<EchoSession, Refusal> {
        if hello.text != "hello" {
            return Err(Refusal::new(CloseCode::Policy, "the first frame must be hello"));
        }
        hello.outbox.push(frame::text("welcome"));
        if let Some(admitted) = &*self.admitted.lock() {
            admitted.send((hello.client, hello.outbox.clone())).unwrap();
        }
        Ok(EchoSession { outbox: hello.outbox, gone: self.gone.clone(), resume: self.resume.clone() })
    }
}

impl Session for EchoSession {
    fn message(&self, text: &str) -> Flow {
        self.outbox.push(frame::text(text));
        match text {
            "stop" => Flow::Stop,
            "panic" => panic!("as asked"),
            "pause" => {
                let resume = self.resume.clone();
                Flow::Pause(Box::pin(async move { resume.notified().await }))
            }
            _ => Flow::Continue,
        }
    }

    fn gone(&self) {
        self.gone.fetch_add(1, Ordering::SeqCst);
    }
}

struct Running {
    address: SocketAddr,
    edge: Arc<WebSockets<EchoDoor>>,
    gate: Arc<Gate>,
    stop: CancellationToken,
    admitted: mpsc::UnboundedReceiver<Admitted>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn run(config: WebSocketConfig) -> Running {
    run_behind(config, ListenerConfig::default())
}

fn run_behind(config: WebSocketConfig, listener_config: ListenerConfig) -> Running {
    let gate = Gate::new(100, listener_config.connections_per_address_max);
    let stop = CancellationToken::new();
    let (sender, admitted) = mpsc::unbounded_channel();
    let door = EchoDoor { admitted: Mutex::new(Some(sender)), ..EchoDoor::default() };
    let edge = WebSockets::new(door, config, gate.clone(), &listener_config, stop.clone());
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), gate.clone(), listener_config).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(listener.serve(edge.router(), stop.clone()));
    tokio::spawn(edge.heartbeats().run(stop.clone()));
    Running { address, edge, gate, stop, admitted }
}

impl Running {
    async fn connect(&self) -> Socket {
        let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", self.address)).await.unwrap();
        socket
    }

    /// A client that is let in.
    async fn enter(&mut self) -> (Socket, Arc<Outbox>) {
        let mut socket = self.connect().await;
        socket.send("hello".into()).await.unwrap();
        assert_eq!(next(&mut socket).await, Message::text("welcome"));
        let (_, outbox) = self.admitted.recv().await.unwrap();
        (socket, outbox)
    }

    /// All connections end, and each session heard of it.
    async fn all_gone(&self, sessions: usize) {
        assert_eq!(self.gate.drained(PATIENCE).await, 0);
        assert_eq!(self.edge.door.gone.load(Ordering::SeqCst), sessions);
    }
}

/// The next message, a heartbeat or not.
async fn next_of_all(socket: &mut Socket) -> Message {
    timeout(PATIENCE, socket.next()).await.expect("something comes").expect("the stream goes on").unwrap()
}

/// The next message that is no heartbeat.
async fn next(socket: &mut Socket) -> Message {
    loop {
        match next_of_all(socket).await {
            Message::Ping(payload) if payload.is_empty() => {}
            message => return message,
        }
    }
}

/// Reads to the close frame; answers its code.
async fn close_code(socket: &mut Socket) -> u16 {
    loop {
        if let Message::Close(close) = next(socket).await {
            return close.expect("a code is given").code.into();
        }
    }
}

/// A raw connection after a good handshake.
async fn raw(address: SocketAddr, behind: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    request.extend_from_slice(behind);
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    stream
}

async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection is closed").unwrap();
    bytes
}

#[tokio::test]
async fn an_independent_client_is_served() {
    let mut running = run(WebSocketConfig { outbox_bytes_max: 32 << 10, ..WebSocketConfig::default() });
    let (socket, _) = running.enter().await;
    let texts: Vec<String> = (0..1_000).map(|number| format!("{number} {}", "€".repeat(number * 2))).collect();
    // More than the outbox and the kernel hold together, sent without a pause: the client is held back, not closed.
    let (mut sink, mut stream) = socket.split();
    let sending = async {
        for text in &texts {
            sink.send(Message::text(text)).await.unwrap();
        }
    };
    let reading = async {
        for text in &texts {
            let heard = loop {
                match timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap() {
                    Message::Ping(_) => {}
                    heard => break heard,
                }
            };
            assert!(heard == Message::text(text), "out of order");
        }
    };
    tokio::join!(sending, reading);
    let mut socket = sink.reunite(stream).unwrap();
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("are you there".into()));
    socket.close(None).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 1000);
    running.all_gone(1).await;
}

#[tokio::test]
async fn the_door_knows_the_client_and_the_subprotocol_is_echoed() {
    let trusted_proxies = serde_json::from_str(r#"["127.0.0.1"]"#).unwrap();
    let listener = ListenerConfig { trusted_proxies, connections_per_address_max: 1, ..ListenerConfig::default() };
    let mut running = run_behind(WebSocketConfig::default(), listener);
    let request = || {
        let mut request = format!("ws://{}/ws", running.address).into_client_request().unwrap();
        for (name, value) in
            [("x-forwarded-for", "192.0.2.7"), ("user-agent", "tests"), ("sec-websocket-protocol", "quickpe.v1")]
        {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let (mut socket, response) = tokio_tungstenite::connect_async(request()).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "quickpe.v1");
    // The second of one address behind the proxy is counted as such.
    let refused = tokio_tungstenite::connect_async(request()).await;
    let Err(tungstenite::Error::Http(refused)) = refused else { panic!("refused, not {refused:?}") };
    let after: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((5..=10).contains(&after), "{after}");
    assert_eq!(refused.status().as_u16(), 503);
    socket.send("hello".into()).await.unwrap();
    let (client, _) = running.admitted.recv().await.unwrap();
    let user_agent = Some("tests".into());
    assert_eq!(client, Client { address: "192.0.2.7".parse().unwrap(), user_agent, trace_parent: None });
}

#[tokio::test]
async fn a_refused_handshake_is_a_problem() {
    const HANDSHAKE: &str = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let running = run(WebSocketConfig::default());
    let refused = async |line: &str, headers: String| {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let request = format!("{line} /ws HTTP/1.1\r\nX-Request-Id: mine\r\nTraceparent: {TRACE}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8(read_to_end(&mut stream).await).unwrap()
    };
    for (line, headers, status, code, also) in [
        ("GET", "Host: x\r\n".to_owned(), 426, "upgrade_required", "sec-websocket-version: 13"),
        ("POST", HANDSHAKE.to_owned(), 405, "method_not_allowed", "allow: GET"),
        ("GET", HANDSHAKE.replace(": 13", ": 8"), 426, "upgrade_required", "upgrade: websocket"),
        ("GET", HANDSHAKE.replace("dGhl", ""), 400, "malformed", ""),
        ("GET", format!("{HANDSHAKE}Origin: https://evil.example\r\n"), 403, "origin_forbidden", ""),
        ("GET", format!("{HANDSHAKE}Sec-WebSocket-Protocol: chat\r\n"), 400, "subprotocol_unknown", ""),
    ] {
        let answer = refused(line, headers).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(
            (&body["status"], &body["code"], &body["requestId"]),
            (&status.into(), &code.into(), &"mine".into())
        );
        for header in ["content-type: application/problem+json", "x-request-id: mine", &TRACE[..36], also] {
            assert!(head.contains(header), "{header}: {answer}");
        }
        assert!(!head.contains(TRACE), "a span of its own: {answer}");
    }
    running.stop.cancel();
    assert_eq!(running.gate.drained(PATIENCE).await, 0);
}

#[tokio::test]
async fn what_is_sent_behind_the_handshake_is_not_lost() {
    let running = run(WebSocketConfig::default());
    let behind = [masked(0x81, b"hello"), masked(0x81, b"early"), masked(0x88, b"")].concat();
    let mut stream = raw(running.address, &behind).await;
    let expected = [frame::text("welcome"), frame::text("early"), frame::close(CloseCode::Bye, "")];
    let mut heard = read_to_end(&mut stream).await;
    // The good-bye drops what is still queued, so the echoes may be missing, but nothing else may come.
    let end = heard.split_off(heard.len() - expected[2].len());
    assert_eq!(end, expected[2]);
    assert!(expected[..2].concat().starts_with(&heard), "{heard:02x?}");
    drop(stream);
    running.all_gone(1).await;
}

#[tokio::test]
async fn hostile_bytes_are_answered_by_their_close_code() {
    let config = WebSocketConfig { message_bytes_max: 1_000, ..WebSocketConfig::default() };
    let endless: Vec<u8> = std::iter::once(masked(0x01, &[b'x'; 90]))
        .chain((0..50).map(|_| masked(0x00, &[b'x'; 90])))
        .flatten()
        .collect();
    for (bytes, code) in [
        (vec![0x81, 5, b'h', b'e', b'l', b'l', b'o'], CloseCode::ProtocolError),
        (masked(0xf1, b"x"), CloseCode::ProtocolError),
        (masked(0x80, b"x"), CloseCode::ProtocolError),
        (masked(0x81, &[b'x'; 1_001]), CloseCode::TooLarge),
        (endless, CloseCode::TooLarge),
        (masked(0x81, b"\xff\xfe"), CloseCode::InvalidText),
        (masked(0x82, b"x"), CloseCode::Unsupported),
    ] {
        // As a guest, then as one who was let in.
        for entered in [false, true] {
            let running = run(config.clone());
            let mut stream = raw(running.address, b"").await;
            if entered {
                stream.write_all(&masked(0x81, b"hello")).await.unwrap();
                let mut before = vec![0; frame::text("welcome").len()];
                stream.read_exact(&mut before).await.unwrap();
            }
            stream.write_all(&bytes).await.unwrap();
            let heard = read_to_end(&mut stream).await;
            assert_eq!((heard[0], &heard[2..4]), (0x88, &code.number().to_be_bytes()[..]), "{code:?} {entered}");
            drop(stream);
            running.all_gone(usize::from(entered)).await;
        }
    }
}

#[tokio::test]
async fn a_guest_must_say_hello_and_in_time() {
    let running = run(WebSocketConfig { hello_timeout_ms: 50, ..WebSocketConfig::default() });
    let mut silent = running.connect().await;
    assert_eq!(close_code(&mut silent).await, 4408);
    let mut rude = running.connect().await;
    rude.send("give me".into()).await.unwrap();
    assert_eq!(close_code(&mut rude).await, 1008);
    drop((silent, rude));
    running.all_gone(0).await;
}

#[tokio::test]
async fn a_half_open_connection_is_found_out() {
    let config =
        WebSocketConfig { heartbeat_ms: 250, silence_ms: 300, close_timeout_ms: 50, ..WebSocketConfig::default() };
    let running = run(config);
    // Answers nothing, not even pings: as a client whose network is gone.
    let mut stream = raw(running.address, &masked(0x81, b"hello")).await;
    let heard = read_to_end(&mut stream).await;
    let close = frame::close(CloseCode::TooSlow, "nothing was heard of the client");
    assert!(heard.ends_with(&close), "{heard:02x?}");
    assert!(heard.windows(2).any(|bytes| bytes == &*frame::ping()), "it was pinged first");
    running.all_gone(1).await;
}

#[tokio::test]
async fn a_client_that_answers_pings_stays() {
    let config = WebSocketConfig { heartbeat_ms: 250, silence_ms: 600, ..WebSocketConfig::default() };
    let mut running = run(config);
    let (mut socket, outbox) = running.enter().await;
    // tungstenite answers pings while it reads; six of them take well over the silence that is allowed.
    for _ in 0..6 {
        assert_eq!(next_of_all(&mut socket).await, Message::Ping(Bytes::new()));
    }
    assert!(!outbox.is_closed());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_bounded() {
    let outbox_bytes_max = 64 << 10;
    let config = WebSocketConfig { outbox_bytes_max, ..WebSocketConfig::default() };
    let mut running = run(config);
    let (mut socket, outbox) = running.enter().await;
    let shared = frame::text(&"x".repeat(8 << 10));
    let mut pushed = 0_u32;
    while outbox.push(shared.clone()) == actors::outbox::Pushed::Queued {
        pushed += 1;
        assert!(outbox.bytes() <= outbox_bytes_max as usize);
        // Lets the writer fill the kernel's buffers.
        tokio::task::yield_now().await;
        assert!(pushed < 100_000, "the kernel takes only so much");
    }
    assert_eq!(outbox.end(), Some(End { code: CloseCode::TooSlow, overflowed: true }));
    // It reads on: whole messages, then the reason.
    let mut heard = 0;
    let code = loop {
        match next(&mut socket).await {
            Message::Text(text) => {
                assert_eq!(text.len(), 8 << 10);
                heard += 1;
            }
            Message::Close(close) => break u16::from(close.unwrap().code),
            _ => {}
        }
    };
    assert_eq!(code, 4408);
    assert!(heard < pushed, "what did not fit was dropped");
    drop(socket);
    running.all_gone(1).await;
}

#[tokio::test]
async fn a_client_that_never_reads_again_is_dropped() {
    let config = WebSocketConfig {
        outbox_bytes_max: 64 << 10,
        write_timeout_ms: 50,
        close_timeout_ms: 50,
        ..WebSocketConfig::default()
    };
    let mut running = run(config);
    let (socket, outbox) = running.enter().await;
    let shared = frame::text(&"x".repeat(8 << 10));
    while outbox.push(shared.clone()) == actors::outbox::Pushed::Queued {
        tokio::task::yield_now().await;
    }
    running.all_gone(1).await;
    drop(socket);
}

#[tokio::test]
async fn reading_pauses_while_writing_goes_on() {
    let mut running = run(WebSocketConfig::default());
    let (mut socket, outbox) = running.enter().await;
    socket.send("pause".into()).await.unwrap();
    socket.send("held back".into()).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::text("pause"));
    outbox.push(frame::text("from a stream"));
    // Had reading gone on, "held back" would have been echoed before.
    assert_eq!(next(&mut socket).await, Message::text("from a stream"));
    running.edge.door.resume.notify_one();
    assert_eq!(next(&mut socket).await, Message::text("held back"));
}

#[tokio::test]
async fn a_session_may_stop_and_even_fail() {
    let mut running = run(WebSocketConfig::default());
    let (mut stopping, _) = running.enter().await;
    stopping.send("stop".into()).await.unwrap();
    assert_eq!(next(&mut stopping).await, Message::text("stop"));
    assert_eq!(close_code(&mut stopping).await, 1000);
    let (mut failing, _) = running.enter().await;
    failing.send("panic".into()).await.unwrap();
    // The echo was queued and goes with the task that failed; the socket does not stay behind.
    while let Some(Ok(_)) = timeout(PATIENCE, failing.next()).await.expect("the connection is closed") {}
    drop((stopping, failing));
    running.all_gone(2).await;
}

#[tokio::test]
async fn draining_tells_everybody_and_ends() {
    let mut running = run(WebSocketConfig::default());
    let (mut leaving, _) = running.enter().await;
    let (mut staying, _) = running.enter().await;
    let mut guest = running.connect().await;
    running.stop.cancel();
    let edge = running.edge.clone();
    let drained = tokio::spawn(async move {
        edge.drain(frame::text(r#"{"type":"drain"}"#), Duration::from_millis(50)).await;
    });
    for socket in [&mut leaving, &mut staying] {
        assert_eq!(next(socket).await, Message::text(r#"{"type":"drain"}"#));
    }
    leaving.close(None).await.unwrap();
    assert_eq!(close_code(&mut leaving).await, 1000);
    for socket in [&mut staying, &mut guest] {
        assert_eq!(close_code(socket).await, 1001);
    }
    drained.await.unwrap();
    drop((leaving, staying, guest));
    running.all_gone(2).await;
}

#[tokio::test]
async fn an_idle_connection_is_small() {
    let running = run(WebSocketConfig::default());
    let stream = TcpStream::connect(running.address).await.unwrap();
    let client = Client { address: running.address.ip(), user_agent: None, trace_parent: None };
    let task = connection::run(&running.edge, stream, Bytes::new(), Box::new(client));
    let bytes = size_of_val(&task);
    assert!(bytes <= 1_280, "{bytes} bytes a connection");
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let default = WebSocketConfig::default();
    assert_eq!(default.check(), Ok(()));
    let silence = WebSocketConfig { silence_ms: 25_000, ..default.clone() };
    assert!(matches!(silence.check(), Err(InvalidConfig::SilenceBelowHeartbeat { .. })));
    let outbox = WebSocketConfig { outbox_bytes_max: 64 << 10, ..default };
    assert!(matches!(outbox.check(), Err(InvalidConfig::OutboxTooSmall { .. })));
    assert!(serde_json::from_str::<WebSocketConfig>(r#"{"heartbeat_ms": 20000}"#).is_ok());
    assert!(serde_json::from_str::<WebSocketConfig>(r#"{"heartbeat": 20000}"#).is_err());
    assert!(serde_json::from_str::<ListenerConfig>(r#"{"backlogs": 1}"#).is_err());
}
