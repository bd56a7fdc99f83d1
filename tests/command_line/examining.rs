//! `doctor`: what is well and what is not.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::process::{Node, code, people, quickpe, run, said};

/// Examines, and answers the exit code and the findings.
fn examine(data: &Path, arguments: &[&str]) -> (i32, Vec<Value>) {
    let output = quickpe(data).args(["doctor", "--json"]).args(arguments).output().unwrap();
    let findings = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    (code(&output), findings)
}

/// The level of a check.
fn level<'a>(findings: &'a [Value], check: &str) -> &'a str {
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {findings:?}"))["level"].as_str().unwrap()
}

#[tokio::test]
async fn a_store_is_examined_before_while_and_after_it_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (exit, findings) = examine(&data, &["--listen", "127.0.0.1:0"]);
    assert_eq!(exit, 0, "{findings:?}");
    for check in ["data.writable", "data.sync", "process.descriptors", "process.clock", "store.keys", "listen"] {
        assert_ne!(level(&findings, check), "wrong");
    }
    assert!(!data.exists(), "nothing was made");

    std::fs::create_dir(&data).unwrap();
    let node = Node::start(&data);
    people(&data, 3, "1.00");
    let address = node.url.strip_prefix("http://").unwrap().to_owned();
    let (exit, findings) = examine(&data, &["--listen", &address]);
    assert_eq!((exit, level(&findings, "listen"), level(&findings, "store.keys")), (0, "fine", "fine"), "{findings:?}");
    // Another data folder with the same address.
    let (exit, findings) = examine(dir.path(), &["--listen", &address]);
    assert_eq!((exit, level(&findings, "listen")), (1, "wrong"), "{findings:?}");
    node.stop();

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&data, &["doctor", "--listen", &address]);
    assert_eq!(code(&output), 1, "{}", said(&output));
    assert!(said(&output).contains(&format!("WRONG    listen: another program has {address}")), "{}", said(&output));
    assert!(said(&output).contains("they open the data keys of 3 people that were tried"), "{}", said(&output));
}

#[tokio::test]
async fn keys_that_do_not_open_what_is_there_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    people(dir.path(), 2, "1.00");
    node.stop();
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let doctor = |command: &mut Command| command.args(["doctor", "--listen", "127.0.0.1:0"]).output();
    let wrong = doctor(quickpe(dir.path()).env("QUICKPE_KEYS__ENCRYPTION", other)).unwrap();
    assert_eq!(code(&wrong), 1, "{}", said(&wrong));
    assert!(said(&wrong).contains("that is not configured"), "{}", said(&wrong));
    std::fs::rename(dir.path().join("keys"), dir.path().join("keys.elsewhere")).unwrap();
    let gone = doctor(&mut quickpe(dir.path())).unwrap();
    assert_eq!(code(&gone), 1, "{}", said(&gone));
    assert!(said(&gone).contains("keys are gone"), "{}", said(&gone));
    let differs = quickpe(dir.path()).env("QUICKPE_STORAGE__SHARDS", "64").args(["doctor"]).output().unwrap();
    assert!(said(&differs).contains("configured otherwise: storage.shards"), "{}", said(&differs));
}

#[test]
fn a_redis_that_answers_is_told_from_one_that_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let there = std::env::var("REDIS_TEST_URL").unwrap_or_else(|_| {
        let started = Command::new("ops/redis/start").output().unwrap();
        assert!(started.status.success(), "{}", said(&started));
        String::from_utf8(started.stdout).unwrap().trim().to_owned()
    });
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, expected) in [(there, "fine"), (format!("redis://{closed}"), "warning")] {
        let mut doctor = quickpe(dir.path());
        doctor.env("QUICKPE_REDIS__URLS", &url).args(["doctor", "--json", "--listen", "127.0.0.1:0"]);
        let output = doctor.output().unwrap();
        let findings: Vec<Value> =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        assert_eq!((code(&output), level(&findings, "redis.reachable")), (0, expected), "{url}: {findings:?}");
    }
}
