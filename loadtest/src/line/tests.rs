//! The lean client against an independent server.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::handshake::Refused;
use super::*;

#[allow(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the signature is tungstenite's")]
fn agree(
    _: &Request,
    mut response: Response,
) -> Result<Response, tokio_tungstenite::tungstenite::handshake::server::ErrorResponse> {
    response.headers_mut().insert("sec-websocket-protocol", protocol::frame::SUBPROTOCOL.parse().unwrap());
    Ok(response)
}

#[tokio::test]
async fn talks_to_an_independent_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.0.7");
        let mut stream = accept_hdr_async(stream, agree).await.unwrap();
        let said = stream.next().await.unwrap().unwrap();
        assert_eq!(said.to_text().unwrap(), "hello");
        stream.send(Message::Ping("are you there".into())).await.unwrap();
        stream.send(Message::text("first")).await.unwrap();
        stream.send(Message::text("x".repeat(200_000))).await.unwrap();
        let pong = stream.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("are you there".into()));
        let close = CloseFrame { code: 4408.into(), reason: "".into() };
        stream.close(Some(close)).await.unwrap();
    });
    let way = Way { server, from: Some("127.0.0.7".parse().unwrap()) };
    let line = open(way, 7).await.unwrap();
    line.send("hello").unwrap();
    let (mut texts, mut pings) = (Vec::new(), 0);
    let ended = loop {
        let received = line.receive(|came| match came {
            Came::Text(text) => texts.push(text.len()),
            Came::Ping => pings += 1,
        });
        if let Err(ended) = received.await {
            break ended;
        }
    };
    assert_eq!((ended, texts, pings), (Ended::Closed(4408), vec![5, 200_000], 1));
    serving.await.unwrap();
}

#[tokio::test]
async fn a_server_that_goes_away_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    drop(listener);
    assert!(matches!(open(Way { server, from: None }, 1).await.map(|_| ()), Err(Refused::Broken(_))));
}
