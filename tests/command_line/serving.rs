//! Starting, stopping and killing a node.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use reqwest::StatusCode;
use serde_json::json;

use crate::process::{Node, code, frame, people, run, said};

#[test]
fn a_second_process_is_kept_out_and_a_stop_is_clean_with_sockets_open() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    assert_eq!(node.first_line, format!("QuickPe is listening on {}\n", node.url));
    let mode = std::fs::metadata(dir.path().join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let second = run(dir.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(code(&second), 3, "{}", said(&second));
    assert!(said(&second).contains("in use by another process"), "{}", said(&second));
    assert!(second.stdout.is_empty());

    // One idle, one in the middle of a request.
    let address = node.url.strip_prefix("http://").unwrap().to_owned();
    let mut idle = TcpStream::connect(&address).unwrap();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 256]).unwrap() > 0);
    let mut slow = TcpStream::connect(&address).unwrap();
    slow.write_all(b"POST /api/v1/auth/signin HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{").unwrap();
    node.stop();
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path());
    let people = people(dir.path(), 20, "100.00");
    let mut paid = 0;
    for round in 0..3 {
        for pair in people.windows(2) {
            node.pay(&pair[0].1, &pair[1].0, "1.00").await;
        }
        paid += 100;
        node.signal("KILL");
        assert_eq!(node.wait().code(), None);
        node = Node::start(dir.path());
        let first = node.balance(&people[0].1).await;
        assert_eq!(first, 10_000 - paid, "round {round}");
        let mut sum = 0;
        for (_, token) in &people {
            sum += node.balance(token).await;
        }
        // What was answered as pending may be on its way; nothing was made or lost.
        assert!((20 * 10_000 - 19 * 100..=20 * 10_000).contains(&sum), "round {round}: {sum}");
    }
    let live = run(dir.path(), &["verify"]);
    assert_eq!(code(&live), 0, "{}", said(&live));
    assert!(said(&live).contains("live: 256 shards sum to zero"), "{}", said(&live));
    node.stop();
    let verified = run(dir.path(), &["verify"]);
    assert_eq!(code(&verified), 0, "{}", said(&verified));
    assert!(said(&verified).contains("INR: people 2000.00"), "{}", said(&verified));
}

#[tokio::test]
async fn a_store_at_its_limit_takes_no_new_commands_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let people = people(dir.path(), 1, "5.00");
    node.stop();
    let node = Node::start_with(dir.path(), &[("QUICKPE_STORAGE__BYTES_MAX", "1")]);
    let (status, ready) = node.get("/health/ready", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready["parts"]["journal"]["status"], "unavailable", "{ready}");
    let (status, refused) = node.post("/api/v1/account/withdraw", &people[0].1, json!({"amount": 1})).await;
    assert_eq!((status, refused["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("read_only")), "{refused}");
    assert_eq!(node.balance(&people[0].1).await, 500, "it can be read");
    node.stop();
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_a_change_of_keys() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let people = people(dir.path(), 1, "5.00");
    node.stop();
    let node = Node::start(dir.path());
    assert_eq!(node.balance(&people[0].1).await, 500);

    let path = dir.path().join("keys/keys.json");
    let mut keys: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let fresh = json!({"kid": "fresh", "secret": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="});
    keys["signing"].as_array_mut().unwrap().insert(0, fresh);
    std::fs::write(&path, keys.to_string()).unwrap();
    node.signal("HUP");
    let renewed = loop {
        // The signal is heard a moment later; until then the old key signs.
        let made = crate::process::people(dir.path(), 1, "1.00");
        let header = made[0].1.split('.').next().unwrap().to_owned();
        if header != people[0].1.split('.').next().unwrap() {
            break made;
        }
    };
    assert_eq!(node.balance(&renewed[0].1).await, 100);
    assert_eq!(node.balance(&people[0].1).await, 500, "the old key still verifies");
    node.stop();
}

#[tokio::test]
async fn a_stop_sends_the_connected_away() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), &[("QUICKPE_DRAIN__SECONDS", "4")]);
    let mut sockets = Vec::new();
    for (_, token) in people(dir.path(), 3, "5.00") {
        sockets.push(node.follow(&token).await);
    }
    // A guest, who has said nothing.
    let mut guest = node.connect().await;
    node.signal("TERM");
    for socket in &mut sockets {
        let drain = frame(socket).await.unwrap();
        assert_eq!((&drain["type"], &drain["afterMs"]), (&json!("drain"), &json!(0)));
        assert!(drain["spreadMs"].as_u64().unwrap() > 0, "{drain}");
    }
    // One leaves by itself, the others are told to.
    sockets.pop().unwrap().close(None).await.unwrap();
    for mut socket in sockets {
        assert_eq!(frame(&mut socket).await, Err(1001));
    }
    while frame(&mut guest).await.is_ok() {}
    drop(guest);
    assert_eq!(node.wait().code(), Some(0));
    let log = std::fs::read_to_string(dir.path().join("stderr.log")).unwrap();
    assert!(log.contains("stopped") && !log.contains("connections are cut off"), "{log}");
}

/// How often the journal has waited for the disk.
async fn syncs(node: &Node) -> u64 {
    let metrics = reqwest::get(format!("{}/metrics", node.url)).await.unwrap().text().await.unwrap();
    let counts = metrics.lines().filter(|line| line.starts_with("quickpe_journal_fsync_seconds_count"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn a_transfer_waits_for_the_disk_three_times_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let people = people(dir.path(), 2, "50.00");
    let mut least = u64::MAX;
    for _ in 0..10 {
        // What the transfer before leaves to be settled is synced within a second; it may fall into one
        // of these spans, not into all of them.
        let before = syncs(&node).await;
        node.pay(&people[0].1, &people[1].0, "1.00").await;
        least = least.min(syncs(&node).await - before);
    }
    assert!((1..=3).contains(&least), "{least} waits");
    node.stop();
}
