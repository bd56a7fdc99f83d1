//! `backup` and `restore`: under load, again, and of what is no backup.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::ids::{ShardCount, UserId};
use domain::ledger::Change;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use storage::embedded::identity::EmbeddedIdentity;
use storage::embedded::journal::Scan;
use storage::encoding::{self, Item};
use storage::identity::{Identity, Person, random_quickpe_ids};
use storage::journal::Space;
use storage::sealing::{KeyEncryptionKey, Keyring};

use crate::process::{Node, Socket, code, frame, people, quickpe, run, said, send};

/// The smallest segments there may be: some thousand transfers fill a few.
const SMALL: [(&str, &str); 2] =
    [("QUICKPE_STORAGE__SEGMENT_BYTES", "524288"), ("QUICKPE_STORAGE__ROOMS_SEGMENT_BYTES", "524288")];

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a command that must succeed. Answers what it said.
fn done(data: &Path, arguments: &[&str]) -> String {
    let output = quickpe(data).args(arguments).envs(SMALL).output().unwrap();
    assert_eq!(code(&output), 0, "{arguments:?}: {}", said(&output));
    said(&output)
}

/// Many transfers among people who are there, or who are made for it.
fn busy(data: &Path, transfers: u32) {
    let transfers = transfers.to_string();
    done(data, &["admin", "synthesize", "--users", "50", "--balance", "1000", "--transfers", &transfers]);
}

/// Somebody who pays somebody else a rupee again and again, as long as they are answered.
struct Payer {
    url: String,
    token: String,
    to: String,
    stop: Arc<AtomicBool>,
}

impl Payer {
    async fn pay(&self, client: &Client) -> Option<String> {
        let request = client.post(format!("{}/api/v1/account/transfer", self.url)).bearer_auth(&self.token);
        let response = request.json(&json!({"to": self.to, "amount": "1.00"})).send().await.ok()?;
        let is_paid = response.status() == StatusCode::CREATED;
        let body: Value = response.json().await.ok()?;
        is_paid.then(|| body["transaction"]["id"].as_str().unwrap_or_else(|| panic!("no id in {body}")).to_owned())
    }

    /// Signs somebody up and gives them something, again and again beside the payments.
    async fn run(self, number: usize) -> u64 {
        let client = Client::new();
        let mut paid = 0;
        while !self.stop.load(Ordering::Acquire) {
            paid += u64::from(self.pay(&client).await.is_some());
            let body = json!({"firstName": "Asha", "lastName": "Rao", "password": "correct horse",
                "email": format!("asha-{number}-{paid}@example.com")});
            if paid.is_multiple_of(20)
                && let Ok(response) = client.post(format!("{}/api/v1/auth/signup", self.url)).json(&body).send().await
                && let Ok(body) = response.json::<Value>().await
                && let Some(token) = body["token"].as_str()
            {
                let deposit = client.post(format!("{}/api/v1/account/deposit", self.url)).bearer_auth(token);
                deposit.json(&json!({"amount": 5})).send().await.ok();
            }
        }
        paid
    }
}

/// The place of a stream that somebody follows.
async fn subscribed(node: &Node, token: &str, after: Option<Value>) -> (Socket, Value) {
    let mut socket = node.connect().await;
    let mut stream = json!({"stream": "account"});
    if let Some(after) = after {
        stream["after"] = after;
    }
    send(&mut socket, &json!({"type": "hello", "token": token, "subscribe": [stream]})).await;
    assert_eq!(frame(&mut socket).await.unwrap()["type"], "welcome");
    let said = frame(&mut socket).await.unwrap();
    assert_eq!(said["type"], "subscribed", "{said}");
    (socket, said)
}

/// Whose account is in a store's journal and who is not in its identity store.
async fn without_person(data: &Path) -> Vec<UserId> {
    let keyring = Keyring::new(&[KeyEncryptionKey::new([7; 32])]).unwrap();
    let identity = EmbeddedIdentity::open(data, keyring, random_quickpe_ids()).unwrap();
    let mut missing = Vec::new();
    for stored in Scan::of_files(data, Space::Ledger, ShardCount::DEFAULT).unwrap() {
        for (_, item) in encoding::read(&stored.unwrap().record.payload).unwrap() {
            if let Item::Event(event) = item
                && let Change::Opened { owner, .. } = event.change
                && !matches!(identity.person(owner).await.unwrap(), Some(Person::Live(_)))
            {
                missing.push(owner);
            }
        }
    }
    missing
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_holds_all_that_was_acknowledged_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup, restored) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("restored"));
    fs::create_dir(&data).unwrap();
    let node = Node::start_with(&data, &SMALL);
    busy(&data, 4_000);
    let people = people(&data, 8, "10000.00");
    let (_, before) = subscribed(&node, &people[0].1, None).await;

    let stop = Arc::new(AtomicBool::new(false));
    let payer = |one: usize| Payer {
        url: node.url.clone(),
        token: people[one].1.clone(),
        to: people[(one + 1) % people.len()].0.clone(),
        stop: Arc::clone(&stop),
    };
    let client = Client::new();
    let mut acknowledged = Vec::new();
    for one in 0..people.len() {
        acknowledged.push((one, payer(one).pay(&client).await.expect("paid")));
    }
    let payers: Vec<_> = (0..people.len()).map(|one| tokio::spawn(payer(one).run(one))).collect();
    let to = path(&backup);
    let taken = {
        let data = data.clone();
        tokio::task::spawn_blocking(move || done(&data, &["backup", &to])).await.unwrap()
    };
    assert!(taken.contains("backup 1 is whole"), "{taken}");
    node.signal("KILL");
    node.wait();
    stop.store(true, Ordering::Release);
    let mut paid = 0;
    for payer in payers {
        paid += payer.await.unwrap();
    }
    assert!(paid > 0, "nobody paid meanwhile");

    let heard = done(&restored, &["restore", &path(&backup)]);
    assert!(heard.contains("every invariant holds") && heard.contains("is restored into"), "{heard}");
    assert_eq!(without_person(&restored).await, []);
    let node = Node::start_with(&restored, &SMALL);
    for (one, id) in &acknowledged {
        let (status, body) = node.get(&format!("/api/v1/account/transactions/{id}"), &people[*one].1).await;
        assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("completed")), "{id}: {body}");
    }
    let place = json!({"epoch": before["epoch"], "offset": before["head"]});
    let (mut socket, now) = subscribed(&node, &people[0].1, Some(place)).await;
    assert_ne!(now["epoch"], before["epoch"]);
    let gap = frame(&mut socket).await.unwrap();
    assert_eq!((&gap["type"], &gap["reason"]), (&json!("gap"), &json!("epoch")), "{gap}");
    // It goes on as any store does.
    node.pay(&people[0].1, &people[1].0, "1.00").await;
    node.stop();
    done(&restored, &["verify"]);

    let other = run(&restored, &["backup", &path(&backup)]);
    assert_eq!(code(&other), 1, "{}", said(&other));
    assert!(said(&other).contains("or of what this one was before it was restored"), "{}", said(&other));
}

/// The full segments of a backup: which file each is.
fn segments(backup: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let files = fs::read_dir(backup.join("ledger")).unwrap().map(|file| file.unwrap().path());
    files
        .map(|file| {
            let found = fs::metadata(&file).unwrap();
            (file, (found.ino(), found.mtime(), found.mtime_nsec()))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_copies_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    fs::create_dir(&data).unwrap();
    let node = Node::start_with(&data, &SMALL);
    busy(&data, 4_000);
    let first = done(&data, &["backup", &path(&backup)]);
    let before = segments(&backup);
    assert!(before.len() >= 2, "{before:?}");
    assert!(first.contains(&format!("{} files copied", before.len() + 5)), "{first}");
    busy(&data, 3_000);
    node.stop();

    // Without a node it is the same.
    let second = done(&data, &["backup", "--check-all", &path(&backup)]);
    let after = segments(&backup);
    assert!(after.len() > before.len(), "{after:?}");
    assert!(before.iter().all(|(file, found)| after.get(file) == Some(found)), "a full segment was copied again");
    let (new, kept) = (after.len() - before.len() + 5, before.len());
    assert!(second.contains(&format!("backup 2 is whole: {new} files copied")), "{second}");
    assert!(second.contains(&format!("{kept} kept as they were")), "{second}");
    assert!(!backup.join("1").exists() && backup.join("2").is_dir());

    let restored = dir.path().join("restored");
    done(&restored, &["restore", &path(&backup)]);
    done(&restored, &["verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_backup_or_was_changed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup, to) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("to"));
    fs::create_dir(&data).unwrap();
    let node = Node::start(&data);
    people(&data, 3, "10.00");
    done(&data, &["backup", &path(&backup)]);
    let busy = run(&data, &["restore", &path(&backup)]);
    assert_eq!(code(&busy), 1, "{}", said(&busy));
    node.stop();

    let refused = |arguments: &[&str], exit: i32, says: &str| {
        let output = run(&to, arguments);
        assert_eq!(code(&output), exit, "{says}: {}", said(&output));
        assert!(said(&output).contains(says), "{says}: {}", said(&output));
    };
    let from = path(&backup);
    refused(&["restore", &path(dir.path())], 1, "there is no whole backup in");
    let full = run(&data, &["restore", &from]);
    assert_eq!(code(&full), 1);
    assert!(said(&full).contains("is not empty"), "{}", said(&full));
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("photograph.jpg"), "x").unwrap();
    let into = run(&data, &["backup", &path(&foreign)]);
    assert_eq!(code(&into), 1);
    assert!(said(&into).contains("`photograph.jpg` is in it"), "{}", said(&into));

    let manifest = backup.join("MANIFEST");
    let text = fs::read_to_string(&manifest).unwrap();
    for (changed, says) in [
        (text.replacen("backup 1", "backup 2", 1), "use a newer build"),
        (text[..text.len() / 2].to_owned(), "cut off or was changed"),
        ("{}".to_owned(), "is not that of a backup"),
    ] {
        fs::write(&manifest, changed).unwrap();
        refused(&["restore", &from], 4, says);
    }
    fs::write(&manifest, &text).unwrap();
    assert!(!to.join("store.json").exists() && !to.join("journal").exists(), "nothing was put there");

    // A byte in the middle of the journal.
    let segment = fs::read_dir(backup.join("1")).unwrap().map(|file| file.unwrap().path());
    let segment = segment.into_iter().find(|file| path(file).contains("ledger-")).unwrap();
    let sound = fs::read(&segment).unwrap();
    let mut wrong = sound.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    fs::write(&segment, &wrong).unwrap();
    refused(&["restore", &from], 4, &path(&segment));
    refused(&["--listen", "127.0.0.1:0"], 1, "is not finished: run it again");
    fs::write(&segment, &sound).unwrap();
    done(&to, &["restore", &from]);
    done(&to, &["verify"]);
}
