//! Configuration from outside: precedence, unknown keys, exit codes.

use crate::process::{code, quickpe, run, said};

#[test]
fn an_unknown_key_is_named_wherever_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, "[delivry]\nwindow = 1\n").unwrap();
    let file = run(dir.path(), &["config", "--config", &path.display().to_string()]);
    assert_eq!(code(&file), 2);
    assert!(said(&file).contains("unknown key `delivry.window`"), "{}", said(&file));
    let environment = quickpe(dir.path()).env("QUICKPE_LEDGER__PATIENSE_MS", "1").output().unwrap();
    assert_eq!(code(&environment), 2);
    assert!(
        said(&environment).contains("`ledger.patiense_ms` (QUICKPE_LEDGER__PATIENSE_MS)"),
        "{}",
        said(&environment)
    );
    assert_eq!(code(&run(dir.path(), &["--lisen", "127.0.0.1:0"])), 2);
    assert_eq!(code(&run(dir.path(), &["verify", "--config", "/nowhere/node.toml"])), 2);
    assert!(!dir.path().join("store.json").exists(), "nothing was made");
}

#[test]
fn the_configuration_is_shown_with_its_sources_and_without_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let shown = quickpe(dir.path())
        .args(["config", "--listen", "127.0.0.1:0"])
        .env("QUICKPE_KEYS__ENCRYPTION", secret)
        .env("QUICKPE_DRAIN__SECONDS", "7")
        .output()
        .unwrap();
    assert_eq!(code(&shown), 0);
    let shown = said(&shown);
    for line in [
        "listen = \"127.0.0.1:0\"  # --listen",
        "drain.seconds = 7  # QUICKPE_DRAIN__SECONDS",
        "keys.encryption = [1 hidden]  # QUICKPE_KEYS__ENCRYPTION",
        "ledger.patience_ms = 2000  # default",
    ] {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
    assert!(!shown.contains(secret));
}

#[test]
fn every_example_is_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/examples");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let shown = run(dir.path(), &["config", "--config", &path.display().to_string()]);
        assert_eq!(code(&shown), 0, "{}: {}", path.display(), said(&shown));
        count += 1;
    }
    assert!(count >= 2, "only {count} examples were found");
}

#[test]
fn production_needs_its_secrets_and_refuses_shortcuts() {
    let dir = tempfile::tempdir().unwrap();
    let bare = run(dir.path(), &["--profile", "production", "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&bare), 2);
    assert!(said(&bare).contains("`keys.signing` must be given in production"), "{}", said(&bare));
    let eased = quickpe(dir.path())
        .args(["--profile", "production"])
        .env("QUICKPE_FUNDING__SELF_SERVICE", "true")
        .output()
        .unwrap();
    assert_eq!(code(&eased), 2);
    assert!(said(&eased).contains("funding.self_service"), "{}", said(&eased));
    assert!(!dir.path().join("keys").exists(), "no keys were made up");
}
