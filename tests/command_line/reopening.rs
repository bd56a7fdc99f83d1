//! A node is killed after many transfers and started again: how long it takes, what it reads, and that
//! nothing is lost, with the projection and without it.
//!
//! `REOPEN_TRANSFERS=10000000 REOPEN_ACCOUNTS=1000000` for the long run, best with `--release`. Times and
//! memory are printed, not asserted; how much is read is.
#![allow(clippy::print_stdout, reason = "figures to read")]

use std::path::Path;
use std::time::Instant;

use crate::process::{Node, code, run, said};

/// Opening reads no more than this, whatever the store holds: the bound of the tail on the log.
const REPLAY_BYTES_MAX: u64 = 64 << 20;

/// Records of one shard that opening reads at most, and one for each shard's new term.
const REPLAY_RECORDS_MAX: u64 = 256 * (4_096 + 1);

/// How many people's balances are compared.
const SAMPLE: usize = 200;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Starts a node, and prints what that took.
fn started(data: &Path, how: &str) -> Node {
    let begun = Instant::now();
    let node = Node::start(data);
    println!("{how}: ready in {:.2} s, {} MiB resident", begun.elapsed().as_secs_f64(), node.resident_mib());
    node
}

async fn counted(node: &Node, name: &str) -> u64 {
    let metrics = reqwest::get(format!("{}/metrics", node.url)).await.unwrap().text().await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

async fn balances(node: &Node, tokens: &[String]) -> Vec<i64> {
    let mut balances = Vec::new();
    for token in tokens {
        balances.push(node.balance(token).await);
    }
    balances
}

#[tokio::test]
async fn a_killed_node_reads_a_bounded_tail_and_has_lost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (transfers, accounts) = (number("REOPEN_TRANSFERS", 300_000), number("REOPEN_ACCOUNTS", 30_000));
    let node = started(dir.path(), "new");
    let file = dir.path().join("tokens.tsv").display().to_string();
    let begun = Instant::now();
    let arguments = ["admin", "synthesize", "--users", &accounts.to_string(), "--balance", "1000"];
    let more = ["--transfers", &transfers.to_string(), "--tokens", &file];
    let made = run(dir.path(), &[&arguments[..], &more[..]].concat());
    assert_eq!(code(&made), 0, "{}", said(&made));
    println!("{transfers} transfers over {accounts} accounts made in {:.0} s", begun.elapsed().as_secs_f64());
    let text = std::fs::read_to_string(file).unwrap();
    let step = usize::try_from(accounts).unwrap().div_ceil(SAMPLE);
    let tokens: Vec<_> = text.lines().step_by(step).map(|line| line.split('\t').nth(1).unwrap().to_owned()).collect();
    let before = balances(&node, &tokens).await;
    node.signal("KILL");
    node.wait();

    let node = started(dir.path(), "after kill -9");
    let (records, bytes) = (
        counted(&node, "quickpe_ledger_replayed_records_total").await,
        counted(&node, "quickpe_ledger_replayed_bytes_total").await,
    );
    println!("{records} records of {} KiB were read", bytes >> 10);
    assert!(bytes <= REPLAY_BYTES_MAX, "{bytes} bytes were read");
    assert!(records <= REPLAY_RECORDS_MAX, "{records} records were read");
    assert_eq!(balances(&node, &tokens).await, before);
    node.stop();

    std::fs::remove_dir_all(dir.path().join("views")).unwrap();
    let begun = Instant::now();
    let rebuilt = run(dir.path(), &["rebuild-views"]);
    assert_eq!(code(&rebuilt), 0, "{}", said(&rebuilt));
    println!("without its projection, in {:.1} s: {}", begun.elapsed().as_secs_f64(), said(&rebuilt).trim());
    let node = started(dir.path(), "with a new projection");
    assert_eq!(balances(&node, &tokens).await, before);
    node.stop();
    let verified = run(dir.path(), &["verify"]);
    assert_eq!(code(&verified), 0, "{}", said(&verified));
}
