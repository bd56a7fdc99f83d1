//! How many connections there may be: of a person, of an address behind a proxy or not, and at once.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::client::Client;
use crate::world::World;

/// The sessions that a person may have on a node.
const SESSIONS_MAX: usize = 32;

#[tokio::test]
async fn a_person_has_32_sessions_and_the_oldest_make_room() {
    let world = World::start(&[]);
    let asha = world.sign_up("asha", json!({})).await;
    let mut open = Vec::new();
    for _ in 0..SESSIONS_MAX {
        open.push(world.connect(&asha, None, &[]).await);
    }
    let newer = join_all((0..3).map(|_| world.connect(&asha, None, &[]))).await;
    let mut rest = open.split_off(3);
    for oldest in open {
        assert_eq!(oldest.closed().await.0, 4409, "the oldest are told and closed");
    }
    rest.extend(newer);
    assert_eq!(rest.len(), SESSIONS_MAX);
    for client in &mut rest {
        client.say(&json!({"type": "ping", "id": "there"})).await;
        client.until(|frame| frame["type"] == "pong").await;
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects as a proxy does for a client of this address.
async fn connect_for(world: &World, address: &str) -> Result<Socket, (StatusCode, String)> {
    let mut request = (world.node.url.replacen("http", "ws", 1) + "/ws").into_client_request().unwrap();
    request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let status = StatusCode::from_u16(response.status().as_u16()).unwrap();
            let after: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((5..=10).contains(&after), "those who are refused together do not come back together: {after}");
            let body = response.into_body().unwrap_or_default();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            Err((status, body["code"].as_str().unwrap_or_default().to_owned()))
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_address_behind_a_trusted_proxy_is_counted_by_itself() {
    let world = World::start(&[
        ("QUICKPE_EDGE__LISTENER__TRUSTED_PROXIES", r#"["127.0.0.1"]"#),
        ("QUICKPE_EDGE__LISTENER__CONNECTIONS_PER_ADDRESS_MAX", "2"),
    ]);
    let first = connect_for(&world, "198.51.100.1").await.unwrap();
    let _second = connect_for(&world, "6.6.6.6, 198.51.100.1").await.unwrap();
    let (status, code) = connect_for(&world, "198.51.100.1").await.unwrap_err();
    assert_eq!((status, code.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "too_many_connections"));
    let _other = connect_for(&world, "198.51.100.2").await.unwrap();
    drop(first);
    // The node hears a little later that it is gone.
    for tries in 0.. {
        match connect_for(&world, "198.51.100.1").await {
            Ok(_) => break,
            Err(_) => assert!(tries < 600, "a place that is free again is given again"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nobody_else_is_believed_about_their_address() {
    let world = World::start(&[("QUICKPE_EDGE__LISTENER__CONNECTIONS_PER_ADDRESS_MAX", "2")]);
    let _first = connect_for(&world, "198.51.100.1").await.unwrap();
    let _second = connect_for(&world, "198.51.100.2").await.unwrap();
    let (status, code) = connect_for(&world, "198.51.100.3").await.unwrap_err();
    assert_eq!((status, code.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "too_many_connections"));
}

#[tokio::test]
async fn a_storm_is_let_in_in_turns_and_the_others_are_told_when_to_come_back() {
    const STORM: usize = 128;
    let world = World::start(&[
        ("QUICKPE_EDGE__WEBSOCKET__HELLOS_MAX", "1"),
        ("QUICKPE_EDGE__WEBSOCKET__HELLOS_WAITING_MAX", "0"),
    ]);
    let mut people = Vec::new();
    for number in 0..8 {
        people.push(world.sign_up(&format!("person{number}"), json!({})).await);
    }
    // All say at once a new device's name, which is written before they are in.
    let come = async |(number, mut client): (usize, Client)| {
        let token = &people[number % people.len()].token;
        client.say(&json!({"type": "hello", "token": token, "device": format!("device {number}")})).await;
        let first = client.until(|frame| frame["type"] == "welcome" || frame["type"] == "drain").await;
        if first["type"] == "welcome" {
            return true;
        }
        let (after, spread) = (first["afterMs"].as_u64().unwrap(), first["spreadMs"].as_u64().unwrap());
        assert!(after >= 1_000 && (1_000..=60_000).contains(&spread), "{first}");
        assert_eq!(client.closed().await.0, 1013);
        false
    };
    let guests = join_all((0..STORM).map(|_| Client::guest(&world.node.url))).await;
    let came = join_all(guests.into_iter().enumerate().map(come)).await;
    let admitted = came.iter().filter(|admitted| **admitted).count();
    assert!((1..STORM).contains(&admitted), "{admitted} of {STORM} came in");
    assert!(come((0, Client::guest(&world.node.url).await)).await, "after the storm there is room");
}
