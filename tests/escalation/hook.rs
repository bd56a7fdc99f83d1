//! A server that is told of escalations: hears requests, and answers as it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, verify};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The key of its signatures.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What was posted.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// The server.
pub(crate) struct Hook {
    pub(crate) url: String,
    posts: mpsc::UnboundedReceiver<Posted>,
}

impl Hook {
    /// Answers with these statuses in turn, then with 200.
    pub(crate) async fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?of=quickpe", listener.local_addr().unwrap());
        let statuses = Arc::new(Mutex::new(VecDeque::from(statuses.to_vec())));
        let (sender, posts) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&statuses), sender.clone()));
            }
        });
        Self { url, posts }
    }

    /// The next request.
    pub(crate) async fn posted(&mut self) -> Posted {
        timeout(PATIENCE, self.posts.recv()).await.expect("a request in time").unwrap()
    }

    /// Whether nothing more was posted until now.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.posts.try_recv().is_err()
    }
}

async fn serve(mut stream: TcpStream, statuses: Arc<Mutex<VecDeque<u16>>>, posts: mpsc::UnboundedSender<Posted>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let mut part = [0; 4_096];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "the request ends in its head");
        bytes.extend_from_slice(&part[..read]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            bytes.drain(..end + 4);
            let length = headers(&head)["content-length"].parse::<usize>().unwrap();
            break (head, length);
        }
    };
    while bytes.len() < length {
        let mut part = [0; 4_096];
        let read = stream.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..read]);
    }
    let line = head.lines().next().unwrap();
    let path = line.strip_prefix("POST ").unwrap().strip_suffix(" HTTP/1.1").unwrap().to_owned();
    let status = statuses.lock().unwrap().pop_front().unwrap_or(200);
    posts.send(Posted { path, headers: headers(&head), body: bytes }).ok();
    let location = if status == 302 { "location: http://127.0.0.1:1/\r\n" } else { "" };
    let answer = format!("HTTP/1.1 {status} Said\r\n{location}content-length: 2\r\n\r\nok");
    stream.write_all(answer.as_bytes()).await.ok();
}

fn headers(head: &str) -> BTreeMap<String, String> {
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect()
}

impl Posted {
    /// The body, if the signature is the secret's; and when it was signed, in seconds.
    pub(crate) fn verified(&self) -> (Value, u64) {
        let signature = &self.headers["quickpe-signature"];
        let (time, tag) = signature.split_once(",v1=").expect("a time and a signature");
        let seconds = time.strip_prefix("t=").unwrap();
        let tag: Vec<u8> =
            (0..tag.len()).step_by(2).map(|at| u8::from_str_radix(&tag[at..at + 2], 16).unwrap()).collect();
        let signed = [seconds.as_bytes(), b".", &self.body].concat();
        let key = Key::new(HMAC_SHA256, SECRET.as_bytes());
        verify(&key, &signed, &tag).expect("the signature is good");
        assert!(verify(&key, &[&signed[..], b" "].concat(), &tag).is_err(), "a changed body is found");
        (serde_json::from_slice(&self.body).unwrap(), seconds.parse().unwrap())
    }
}
