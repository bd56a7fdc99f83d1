//! Tests of the listener over real sockets.

use axum::extract::Extension;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Longer than anything here may take, so that a hang is a failure and not a stuck run.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    gate: Arc<Gate>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

fn run(app: Router, connections_max: u32, per_address_max: u32, config: ListenerConfig) -> Running {
    let gate = Gate::new(connections_max, per_address_max);
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), gate.clone(), config).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let served = tokio::spawn(listener.serve(app, stop.clone()));
    Running { address, gate, stop, served }
}

fn hello_app() -> Router {
    Router::new().route(
        "/",
        get(|Extension(PeerAddr(peer)): Extension<PeerAddr>, Extension(_): Extension<Arc<Permit>>| async move {
            peer.to_string()
        }),
    )
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Sends `request` and reads the answer to its end.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    read_all(&mut stream).await
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("the connection is closed").unwrap();
    answer
}

#[tokio::test]
async fn a_request_knows_its_peer_and_its_permit() {
    let running = run(hello_app(), 10, 10, ListenerConfig::default());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(&stream.local_addr().unwrap().to_string()), "{answer}");
    assert_eq!(running.gate.drained(PATIENCE).await, 0);
}

#[tokio::test]
async fn slow_headers_are_cut() {
    let config = ListenerConfig { header_timeout_ms: 50, ..ListenerConfig::default() };
    let running = run(hello_app(), 10, 10, config);
    for beginning in [&b""[..], b"GET / HTTP/1.1\r\nHost: loc"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    assert_eq!(running.gate.drained(PATIENCE).await, 0);
}

#[tokio::test]
async fn headers_are_bounded_in_bytes_and_in_number() {
    let running = run(hello_app(), 10, 10, ListenerConfig::default());
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(17 << 10));
    let answer = exchange(running.address, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: x\r\n".repeat(64));
    let answer = exchange(running.address, many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_refusal_can_be_read_and_says_when_to_come_back() {
    for (connections_max, per_address_max, code) in [(1, 10, "busy"), (10, 1, "too_many_connections")] {
        let running = run(hello_app(), connections_max, per_address_max, ListenerConfig::default());
        let held = TcpStream::connect(running.address).await.unwrap();
        // A whole request in flight: an abortive close would reset it and lose the answer.
        let answer = exchange(running.address, REQUEST).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        let (_, after) = answer.split_once("\r\nRetry-After: ").unwrap();
        let after: u64 = after.split("\r\n").next().unwrap().parse().unwrap();
        assert!((5..=10).contains(&after), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], code);
        assert_eq!(body["retryAfterMs"].as_u64().unwrap().div_ceil(1000), after);
        let id = body["requestId"].as_str().unwrap();
        assert!(answer.contains(&format!("\r\nx-request-id: {id}\r\n")), "{answer}");
        assert!(answer.contains("\r\ntraceparent: 00-"), "{answer}");
        drop(held);
        assert_eq!(running.gate.drained(PATIENCE).await, 0);
    }
}

#[tokio::test]
async fn beyond_the_answered_refusals_connections_are_dropped() {
    let config = ListenerConfig { refusals_max: 0, ..ListenerConfig::default() };
    let running = run(hello_app(), 1, 10, config);
    let _held = TcpStream::connect(running.address).await.unwrap();
    let mut refused = TcpStream::connect(running.address).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, refused.read_to_end(&mut answer)).await.expect("the connection is closed").ok();
    assert!(answer.is_empty());
}

#[tokio::test]
async fn a_trusted_proxy_is_not_counted_as_one_client() {
    let trusted_proxies = TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let config = ListenerConfig { trusted_proxies, ..ListenerConfig::default() };
    let running = run(hello_app(), 10, 1, config);
    let _held = TcpStream::connect(running.address).await.unwrap();
    assert!(exchange(running.address, REQUEST).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn stopping_lets_the_request_under_way_finish() {
    let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let app = {
        let (entered, finish) = (entered.clone(), finish.clone());
        Router::new().route(
            "/",
            get(move || async move {
                entered.notify_one();
                finish.notified().await;
                "done"
            }),
        )
    };
    let running = run(app, 10, 10, ListenerConfig::default());
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    let busy = tokio::spawn(exchange(running.address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    timeout(PATIENCE, entered.notified()).await.unwrap();
    running.stop.cancel();
    timeout(PATIENCE, running.served).await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err(), "nothing listens any more");
    assert_eq!(read_all(&mut idle).await, "", "an idle connection is closed");
    assert!(running.gate.drained(Duration::ZERO).await >= 1, "the busy connection is waited for");
    finish.notify_one();
    let answer = busy.await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    assert_eq!(running.gate.drained(PATIENCE).await, 0);
}
