//! `export` and `import` between data folders. To CQL and back: `ops/test-cql`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::{Node, code, frame, people, quickpe, run, said, send};

/// A path as it is given to a command.
pub fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a command that does what it is asked. Answers what it said.
pub fn done(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    assert_eq!(code(&output), 0, "{arguments:?}: {}", said(&output));
    said(&output)
}

/// Gives a folder the keys of another store, as an operator does in development.
pub fn give_keys(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("keys")).unwrap();
    fs::copy(from.join("keys/keys.json"), to.join("keys/keys.json")).unwrap();
}

/// What people see of their accounts.
async fn seen(node: &Node, people: &[(String, String)]) -> Vec<(i64, Value, Value)> {
    let mut seen = Vec::new();
    for (_, token) in people {
        let statement = node.get("/api/v1/account/transactions?limit=50", token).await.1;
        seen.push((node.balance(token).await, statement, node.get("/api/v1/user/me", token).await.1));
    }
    seen
}

/// A device of somebody that is told where it is, and applies what it hears.
pub async fn device(node: &Node, token: &str) -> Value {
    let mut socket = node.connect().await;
    let hello = json!({"type": "hello", "token": token, "device": "phone", "subscribe": [{"stream": "account"}]});
    send(&mut socket, &hello).await;
    assert_eq!(frame(&mut socket).await.unwrap()["type"], "welcome");
    let said = frame(&mut socket).await.unwrap();
    assert_eq!(said["type"], "subscribed", "{said}");
    said
}

/// A stopped store in which something happened; people, what they see, and where a device of the first is.
async fn store(data: &Path) -> (Vec<(String, String)>, Vec<(i64, Value, Value)>, Value) {
    fs::create_dir(data).unwrap();
    let node = Node::start(data);
    let people = people(data, 12, "100.00");
    let place = device(&node, &people[0].1).await;
    for pair in people.windows(2) {
        node.pay(&pair[0].1, &pair[1].0, "2.50").await;
    }
    let (status, _) = node.post("/api/v1/rooms", &people[0].1, json!({"name": "tea", "kind": "group"})).await;
    assert!(status.is_success() || status.as_u16() == 400, "{status}");
    let refused = run(data, &["export", &path(&data.with_file_name("refused"))]);
    assert_eq!(code(&refused), 1, "{}", said(&refused));
    assert!(said(&refused).contains("the node is running: stop it"), "{}", said(&refused));
    let seen = seen(&node, &people).await;
    node.stop();
    (people, seen, place)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_moved_is_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    let (data, export, to) = (dir.path().join("data"), dir.path().join("export"), dir.path().join("to"));
    let (people, before, place) = store(&data).await;
    let exported = done(&data, &["export", &path(&export)]);
    assert!(exported.contains("12 people are exported"), "{exported}");
    assert!(exported.contains("nothing is in transit") || exported.contains("credits are in transit"), "{exported}");

    let without_keys = run(&to, &["import", &path(&export)]);
    assert_eq!(code(&without_keys), 2, "{}", said(&without_keys));
    assert!(said(&without_keys).contains("needs the keys of the store"), "{}", said(&without_keys));
    give_keys(&data, &to);
    let imported = done(&to, &["import", &path(&export)]);
    assert!(imported.contains("every invariant holds") && imported.contains("12 people are imported"), "{imported}");
    let full = run(&to, &["import", &path(&export)]);
    assert_eq!(code(&full), 1, "{}", said(&full));
    assert!(said(&full).contains("is not empty"), "{}", said(&full));

    done(&to, &["verify"]);
    let node = Node::start(&to);
    assert_eq!(seen(&node, &people).await, before);
    // The device goes on where it was, in the same life of the streams.
    let now = device(&node, &people[0].1).await;
    assert_eq!((&now["epoch"], &now["from"]), (&place["epoch"], &place["from"]), "{now}");
    node.pay(&people[0].1, &people[1].0, "1.00").await;
    node.stop();
    done(&to, &["verify"]);

    // Again from there: what is exported is what was imported, and a little more.
    let (again, back) = (dir.path().join("again"), dir.path().join("back"));
    done(&to, &["export", &path(&again)]);
    give_keys(&data, &back);
    done(&back, &["import", &path(&again)]);
    // Into a folder with an export of another store nothing is written.
    let other = run(&data, &["export", &path(&again)]);
    assert_eq!(code(&other), 1, "{}", said(&other));
    assert!(said(&other).contains("holds an export of another store"), "{}", said(&other));
}

/// How often a command may end before it is killed.
const TOO_LATE_MAX: u32 = 100;

/// Kills a command as soon as something is there in its folder, which no node serves then.
///
/// The command runs at a low priority, so that on a busy machine it is the command that waits. Where it ended first
/// all the same, it did what it was asked and nothing was cut: it begins anew, with the keys and nothing else.
pub fn cut_short(to: &Path, command: &[&str], there: &str) {
    for _ in 0..TOO_LATE_MAX {
        if killed_when(to, command, &to.join(there)) {
            let served = run(to, &["--listen", "127.0.0.1:0"]);
            assert_eq!(code(&served), 1, "{}", said(&served));
            assert!(said(&served).contains("the import into") && said(&served).contains("is not finished"));
            return;
        }
        let keys = to.with_extension("keys");
        give_keys(to, &keys);
        fs::remove_dir_all(to).unwrap();
        fs::rename(&keys, to).unwrap();
    }
    panic!("it ended {TOO_LATE_MAX} times before it could be killed with {there} there");
}

/// Runs a command and kills it as soon as there is such a path. Answers whether its work was unfinished
/// then.
fn killed_when(data: &Path, command: &[&str], there: &Path) -> bool {
    let mut child = at_low_priority(quickpe(data).args(command)).spawn().unwrap();
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{ended}");
            return false;
        }
        if there.exists() {
            break;
        }
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    data.join("unfinished.json").exists()
}

/// The same command, run by `nice` in the same process.
fn at_low_priority(command: &Command) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "10"]).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => nice.env(name, value),
            None => nice.env_remove(name),
        };
    }
    nice
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_cut_short_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (data, export, to) = (dir.path().join("data"), dir.path().join("export"), dir.path().join("to"));
    let (people, before, _) = store(&data).await;
    done(&data, &["export", &path(&export)]);
    give_keys(&data, &to);
    // Killed as soon as one thing after another is there.
    for there in ["unfinished.json", "journal/ledger/000001.log", "identity.redb", "views"] {
        cut_short(&to, &["import", &path(&export)], there);
    }
    done(&to, &["import", &path(&export)]);
    let node = Node::start(&to);
    assert_eq!(seen(&node, &people).await, before);
    node.stop();
    done(&to, &["verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_export_is_found_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (data, export, to) = (dir.path().join("data"), dir.path().join("export"), dir.path().join("to"));
    store(&data).await;
    done(&data, &["export", &path(&export)]);
    for name in ["ledger-000001.part", "people-000001.part"] {
        let file = export.join(name);
        let sound = fs::read(&file).unwrap();
        let mut wrong = sound.clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 1;
        fs::write(&file, &wrong).unwrap();
        let refused = run(&to, &["import", &path(&export)]);
        assert_eq!(code(&refused), 4, "{}", said(&refused));
        let named = format!("{} is damaged at byte ", file.display());
        assert!(said(&refused).contains(&named), "{}", said(&refused));
        assert!(!to.exists(), "nothing was written");
        fs::write(&file, &sound).unwrap();
    }
    // An export that goes on in its folder mends what it lacks of people; what it has of journals it compares.
    let again = done(&data, &["export", &path(&export)]);
    assert!(again.contains("12 people are exported"), "{again}");
    fs::remove_file(export.join("ledger-000001.part")).unwrap();
    let refused = run(&to, &["import", &path(&export)]);
    assert_eq!(code(&refused), 4, "{}", said(&refused));
    assert!(said(&refused).contains("it is missing"), "{}", said(&refused));
    assert_eq!(code(&run(&to, &["import", &path(dir.path())])), 1);
}
