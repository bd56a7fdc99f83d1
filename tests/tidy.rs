//! Promises that a machine can keep: what is on the wire is in the documents, crates know only whom they may, metrics
//! are described, files say what they are.

use std::fs;
use std::path::{Path, PathBuf};

/// Which crate may know which of ours.
const MAY_KNOW: [(&str, &[&str]); 8] = [
    ("domain", &[]),
    ("protocol", &["domain"]),
    ("storage", &["domain"]),
    ("storage/cql", &["domain", "storage"]),
    ("storage/redis", &["domain", "storage"]),
    ("actors", &["domain", "protocol", "storage"]),
    ("loadtest", &["protocol"]),
    (".", &["actors", "domain", "protocol", "storage", "storage/cql", "storage/redis"]),
];

/// What holds sources of ours, from the root.
const SOURCES: [&str; 7] = ["actors", "domain", "loadtest", "protocol", "src", "storage", "tests"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file, which must be there and hold something.
fn read(path: &str) -> String {
    let text = fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(!text.is_empty(), "{path} is missing, empty or no text");
    text
}

/// Every Rust file under a folder, by its path from the root.
fn rust_files(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.sort();
    let relative = |path: &PathBuf| path.strip_prefix(root()).unwrap_or(path).display().to_string();
    files.iter().map(relative).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            // A crate that is built by itself may have a folder of its own for what is built.
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn all_rust_files() -> Vec<String> {
    let files: Vec<_> = SOURCES.iter().flat_map(|folder| rust_files(folder)).collect();
    assert!(files.len() > 200, "only {} files were found", files.len());
    files
}

/// What stands between the first pair of quotes of a line.
fn quoted(line: &str) -> Option<&str> {
    line.split('"').nth(1)
}

/// The sources of a crate's own code that is not a test.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

/// The names that stand in the protocol's document as headings of their own: #### `name`.
fn headings() -> Vec<String> {
    let document = read("docs/protocol.md");
    let heading = |line: &str| line.strip_prefix("#### `")?.strip_suffix('`').map(str::to_owned);
    document.lines().filter_map(heading).collect()
}

#[test]
fn every_error_code_has_its_paragraph() {
    let source = read("protocol/src/code.rs");
    // As in `    Busy = "busy", 503, …`.
    let codes: Vec<_> = without_tests(&source)
        .lines()
        .filter(|line| line.contains(" = \"") && line.trim_end().ends_with(';'))
        .filter_map(quoted)
        .collect();
    assert!(codes.len() > 40, "only {} codes were found", codes.len());
    let headings = headings();
    let missing: Vec<_> = codes.iter().filter(|code| !headings.iter().any(|heading| heading == *code)).collect();
    assert!(missing.is_empty(), "docs/protocol.md has no heading for {missing:?}");
}

#[test]
fn every_error_code_is_answered_somewhere() {
    let source = read("protocol/src/code.rs");
    let variant = |line: &str| line.trim().split_once(" = \"").map(|(name, _)| name.to_owned());
    let declared = without_tests(&source).lines().filter(|line| line.trim_end().ends_with(';')).filter_map(variant);
    let declared: Vec<_> = declared.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphabetic())).collect();
    assert!(declared.len() > 40, "only {} codes were found", declared.len());
    let of_servers = ["actors/src", "protocol/src", "src"].iter().flat_map(|folder| rust_files(folder));
    let texts: Vec<_> = of_servers.filter(|file| file != "protocol/src/code.rs").map(|file| read(&file)).collect();
    // Not as the beginning of a longer name.
    let names = |text: &str, name: &str| {
        let mut ends = text.match_indices(name).map(|(at, _)| text[at + name.len()..].chars().next());
        ends.any(|next| !next.is_some_and(char::is_alphanumeric))
    };
    let is_answered = |name: &String| texts.iter().any(|text| names(without_tests(text), &format!("Code::{name}")));
    let silent: Vec<_> = declared.iter().filter(|name| !is_answered(name)).collect();
    assert!(silent.is_empty(), "nothing answers {silent:?}");
}

#[test]
fn every_frame_has_its_paragraph() {
    let source = read("protocol/src/frame/decode.rs");
    // As in `"hello" => ClientFrame::Hello(…)`.
    let decodes = |line: &&str| line.contains("\" => ClientFrame::") || line.contains("\" => ServerFrame::");
    let frames: Vec<_> = without_tests(&source).lines().filter(decodes).filter_map(quoted).collect();
    assert!(frames.len() >= 17, "only {} frames were found", frames.len());
    let headings = headings();
    let missing: Vec<_> = frames.iter().filter(|frame| !headings.iter().any(|heading| heading == *frame)).collect();
    assert!(missing.is_empty(), "docs/protocol.md has no heading for {missing:?}");
}

#[test]
fn every_close_code_method_and_event_is_in_the_document() {
    let document = read("docs/protocol.md");
    let close_codes = read("protocol/src/close.rs");
    let mut names: Vec<String> = without_tests(&close_codes)
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "))
        .map(|(_, number)| format!("| {number} |"))
        .collect();
    assert!(names.len() >= 10, "only {} close codes were found", names.len());
    for path in ["protocol/src/frame/client.rs", "protocol/src/event.rs"] {
        let source = read(path);
        let renamed = source.lines().filter(|line| line.trim().starts_with("#[serde(rename = \""));
        names.extend(
            renamed.filter_map(quoted).filter(|name| name.contains(['.', ':'])).map(|name| format!("`{name}`")),
        );
    }
    assert!(names.len() >= 19, "only {} names were found", names.len());
    let missing: Vec<_> = names.iter().filter(|name| !document.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/protocol.md does not have {missing:?}");
}

/// The packages that a manifest depends on, tests and builds included.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_dependencies = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            in_dependencies = section.ends_with("dependencies") && section != "workspace.dependencies";
        } else if in_dependencies && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if !name.is_empty() {
                names.push(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn crates_know_only_whom_they_may() {
    let ours: Vec<_> = MAY_KNOW.iter().map(|(name, _)| *name).collect();
    for (name, may_know) in MAY_KNOW {
        let manifest = read(&format!("{name}/Cargo.toml"));
        let dependencies = dependencies(&manifest);
        assert!(!dependencies.is_empty(), "{name} depends on nothing: is its manifest read rightly?");
        // A crate in the folder of another is named after both.
        let folders = dependencies.iter().map(|dependency| dependency.replace('-', "/"));
        for known in folders.filter(|folder| ours.contains(&folder.as_str())) {
            assert!(may_know.contains(&known.as_str()), "`{name}` must not know `{known}`");
        }
    }
    let members = read("Cargo.toml").lines().find(|line| line.starts_with("members")).unwrap_or_default().to_owned();
    for member in members.split('"').skip(1).step_by(2) {
        assert!(ours.contains(&member), "`{member}` is a crate that `MAY_KNOW` says nothing of");
    }
}

#[test]
fn the_rules_know_no_runtime_and_no_store() {
    let dependencies = dependencies(&read("domain/Cargo.toml"));
    for banned in ["tokio", "rand", "fjall", "redb", "axum", "ractor"] {
        assert!(!dependencies.iter().any(|name| name == banned), "`domain` must not know `{banned}`");
    }
}

#[test]
fn only_the_binary_names_adapters() {
    for file in rust_files("actors/src") {
        let text = read(&file);
        let adapters = ["storage::embedded", "storage_cql", "storage_redis"];
        assert!(!adapters.iter().any(|adapter| text.contains(adapter)), "{file} names an adapter");
    }
}

#[test]
fn only_sessions_and_streams_know_the_protocol() {
    for file in rust_files("actors/src") {
        let may = ["session", "streams"].iter().any(|name| file.starts_with(&format!("actors/src/{name}")));
        assert!(may || !read(&file).contains("protocol::"), "{file} knows the protocol");
    }
}

#[test]
fn every_metric_is_described() {
    let files: Vec<_> = all_rust_files().into_iter().filter(|file| file.ends_with("/metrics.rs")).collect();
    assert!(files.len() >= 4, "only {files:?} were found");
    for file in files {
        let text = read(&file);
        let (_, after) = text.split_once("pub fn describe() {").unwrap_or_default();
        let body = after.split("\n}").next().unwrap_or_default();
        assert!(!body.is_empty(), "{file} has no `describe`");
        let words: Vec<_> = body.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
        let mut count = 0;
        // A constant's value begins with the prefix of all our metrics; labels do not.
        for (declared, value) in text.split("pub const ").skip(1).filter_map(|rest| rest.split_once('=')) {
            let name = declared.split(':').next().unwrap_or_default().trim();
            let statement = value.split(';').next().unwrap_or_default();
            if statement.contains("\"quickpe_") {
                count += 1;
                assert!(words.contains(&name), "{file}: `{name}` is not described");
            }
        }
        assert!(count > 0, "{file} declares no metric");
    }
}

#[test]
fn the_manual_names_metrics_that_there_are() {
    let manual = read("docs/howto/operate.md");
    let files = all_rust_files().into_iter().filter(|file| file.ends_with("/metrics.rs"));
    let declared: String = files.map(|file| read(&file)).collect();
    let words = manual.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let named: Vec<_> = words.filter(|word| word.starts_with("quickpe_")).collect();
    assert!(named.len() > 10, "only {named:?} were found");
    let missing: Vec<_> = named.iter().filter(|name| !declared.contains(&format!("\"{name}\""))).collect();
    assert!(missing.is_empty(), "docs/howto/operate.md names {missing:?}, which nobody declares");
}

#[test]
fn every_key_of_the_configuration_is_in_the_manual() {
    let manual = read("docs/howto/operate.md");
    let mut count = 0;
    for (file, name, prefix) in [
        ("src/config.rs", "StorageConfig", "storage."),
        ("storage/cql/src/config.rs", "CqlConfig", "storage.cql."),
        ("storage/redis/src/config.rs", "RedisConfig", "redis."),
        ("src/config.rs", "DrainConfig", "drain."),
        ("src/config.rs", "TelemetryConfig", "telemetry."),
        ("src/config/keys.rs", "KeysConfig", "keys."),
        ("src/http/config.rs", "HttpConfig", "http."),
        ("src/http/config.rs", "AuthConfig", "auth."),
        ("src/http/config.rs", "FundingConfig", "funding."),
        ("src/edge/listener.rs", "ListenerConfig", "edge.listener."),
        ("src/edge/websocket.rs", "WebSocketConfig", "edge.websocket."),
        ("actors/src/config.rs", "LedgerConfig", "ledger."),
        ("src/escalation/config.rs", "WebhookConfig", "escalation.webhook."),
        ("src/escalation/config.rs", "MailConfig", "escalation.mail."),
        ("domain/src/delivery/policy.rs", "Policy", "delivery.money."),
        ("domain/src/delivery/policy.rs", "Policy", "delivery.notice."),
        ("domain/src/delivery/policy.rs", "Policy", "delivery.chat."),
        ("actors/src/config.rs", "PresenceConfig", "presence."),
        ("src/http/server.rs", "ServerConfig", "server."),
        ("actors/src/rooms/config.rs", "RoomsConfig", "rooms."),
        ("actors/src/rooms/config.rs", "RetentionConfig", "rooms.retention."),
    ] {
        let source = read(file);
        let (_, after) = source.split_once(&format!("pub struct {name} {{\n")).unwrap_or_default();
        let fields = after.split("\n}").next().unwrap_or_default();
        assert!(!fields.is_empty(), "{file} has no {name}");
        for field in fields.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next()) {
            count += 1;
            assert!(manual.contains(&format!("`{prefix}{field}`")), "docs/howto/operate.md lacks `{prefix}{field}`");
        }
    }
    assert!(count > 60, "only {count} keys were found");
}

#[test]
fn nothing_is_left_to_be_done() {
    // In two parts, so that this file may stand among the others.
    let marks = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME")];
    for file in all_rust_files() {
        let text = read(&file);
        for mark in marks {
            assert!(!text.contains(mark), "{file} holds `{mark}`");
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = all_rust_files().into_iter().filter(|file| !read(file).starts_with("//!")).collect();
    assert!(silent.is_empty(), "these files do not begin with a module doc: {silent:?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = vec![root().join("README.md"), root().join("ARCHITECTURE.md"), root().join("CONTRIBUTING.md")];
    documents.push(root().join("CHANGELOG.md"));
    for folder in ["docs", "docs/howto", "docs/decisions"] {
        for entry in fs::read_dir(root().join(folder)).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    let mut count = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap_or_default();
        assert!(!text.is_empty(), "{} is missing or empty", document.display());
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if target.is_empty() || target.contains("://") {
                continue;
            }
            count += 1;
            let folder = document.parent().unwrap_or(&document);
            assert!(folder.join(target).exists(), "{}: there is no {target}", document.display());
        }
    }
    assert!(count > 10, "only {count} links were found");
}
