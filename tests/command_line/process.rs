//! A node as a process, and commands beside it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The binary, deaf to this environment's own configuration.
pub fn quickpe(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickpe"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUICKPE_")) {
        command.env_remove(name);
    }
    command.arg("--data").arg(data).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(data: &Path, arguments: &[&str]) -> Output {
    quickpe(data).args(arguments).output().unwrap()
}

/// The exit code, or a panic with all that was said.
pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("ended by a signal: {}", said(output)))
}

/// What a command said, on both streams.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What Debian's package `faketime` brings, on any of its architectures.
const FAKETIME: &str = "faketime/libfaketime.so.1";

/// The environment of a node whose clock on the wall is as wrong as `by` says, as `+3h`. Its waits and time-outs are
/// what they are.
pub fn clock(by: &str) -> [(&'static str, String); 3] {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join(FAKETIME)).find(|path| path.exists());
    let library = found.as_deref().map(Path::display).expect("libfaketime is missing: run ops/setup").to_string();
    [("LD_PRELOAD", library), ("FAKETIME", by.to_owned()), ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned())]
}

/// One end of a WebSocket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Sends a frame.
pub async fn send(socket: &mut Socket, frame: &Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

/// The next frame, or the code of the close.
pub async fn frame(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match socket.next().await.expect("a close frame ends it").unwrap() {
            Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(close) => return Err(close.expect("a code is given").code.into()),
            _ => {}
        }
    }
}

/// A running node. Killed when dropped.
pub struct Node {
    child: Child,
    /// Its base address.
    pub url: String,
    /// All that it printed on stdout until it was ready.
    pub first_line: String,
}

impl Node {
    /// Starts a node and waits until it is ready.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// Starts a node with more environment.
    pub fn start_with(data: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_flagged(data, &[], environment)
    }

    /// Starts a node with more flags and environment.
    pub fn start_flagged(data: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(data.join("stderr.log")).unwrap();
        let mut child = quickpe(data)
            .args(["--listen", "127.0.0.1:0"])
            .args(flags)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).ok();
            sender.send(line).ok();
        });
        let first_line = receiver.recv_timeout(PATIENCE).expect("a line in time");
        let log = || std::fs::read_to_string(data.join("stderr.log")).unwrap_or_default();
        let url = first_line.trim().strip_prefix("QuickPe is listening on ");
        let url = url.unwrap_or_else(|| panic!("not ready: {first_line:?}\n{}", log())).to_owned();
        Self { child, url, first_line }
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Stops it as an operator does.
    pub fn stop(self) {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0));
    }

    /// Resident memory in MiB.
    pub fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// `GET`, with its status.
    pub async fn get(&self, path: &str, token: &str) -> (StatusCode, Value) {
        let response = Client::new().get(format!("{}{path}", self.url)).bearer_auth(token).send().await.unwrap();
        (response.status(), response.json().await.unwrap_or_default())
    }

    /// `POST`, with its status.
    pub async fn post(&self, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        let request = Client::new().post(format!("{}{path}", self.url)).bearer_auth(token).json(&body);
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap_or_default())
    }

    /// A WebSocket of a guest.
    pub async fn connect(&self) -> Socket {
        tokio_tungstenite::connect_async(self.url.replacen("http", "ws", 1) + "/ws").await.unwrap().0
    }

    /// A WebSocket of somebody who follows their account.
    pub async fn follow(&self, token: &str) -> Socket {
        let mut socket = self.connect().await;
        send(&mut socket, &json!({"type": "hello", "token": token, "subscribe": [{"stream": "account"}]})).await;
        assert_eq!(frame(&mut socket).await.unwrap()["type"], "welcome");
        assert_eq!(frame(&mut socket).await.unwrap()["type"], "subscribed");
        socket
    }

    /// A person's balance in minor units.
    pub async fn balance(&self, token: &str) -> i64 {
        let (status, body) = self.get("/api/v1/account/balance", token).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["balanceMinor"].as_i64().unwrap()
    }

    /// Pays somebody by their user id.
    pub async fn pay(&self, token: &str, to: &str, amount: &str) {
        let body = json!({"to": to, "amount": amount});
        let (status, body) = self.post("/api/v1/account/transfer", token, body).await;
        assert!(status == StatusCode::CREATED || status == StatusCode::ACCEPTED, "{status} {body}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One that has ended already is as well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Makes funded people on a store, running or not; answers their ids and access tokens.
pub fn people(data: &Path, count: usize, balance: &str) -> Vec<(String, String)> {
    let file = data.join("tokens.tsv");
    let (users, path) = (count.to_string(), file.display().to_string());
    let made = run(data, &["admin", "synthesize", "--users", &users, "--balance", balance, "--tokens", &path]);
    assert_eq!(code(&made), 0, "{}", said(&made));
    let text = std::fs::read_to_string(file).unwrap();
    let people: Vec<_> = text
        .lines()
        .map(|line| line.split_once('\t').map(|(id, token)| (id.to_owned(), token.to_owned())).unwrap())
        .collect();
    assert_eq!(people.len(), count);
    people
}
