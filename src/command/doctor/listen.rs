//! The address that is listened on: free, or served by the node of this data folder.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use protocol::http::health::HealthResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Finding;
use crate::config::Config;
use crate::node::store::Layout;

/// How long whoever listens there has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is read of an answer.
const ANSWER_BYTES_MAX: u64 = 8 << 10;

/// Looks at the address.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let address = config.listen;
    vec![match TcpListener::bind(address).await {
        Ok(_) => Finding::fine("listen", format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match is_node(address).await {
            true if Layout::of(&config.data).is_locked() => {
                Finding::fine("listen", format!("a node serves {address}, and the data folder is open"))
            }
            true => Finding::wrong(
                "listen",
                format!("a node of another data folder serves {address}"),
                "set `listen` to another address, or stop that node",
            ),
            false => Finding::wrong(
                "listen",
                format!("another program has {address}"),
                "set `listen` to another address, or stop that program",
            ),
        },
        Err(error) => Finding::wrong(
            "listen",
            format!("{address} cannot be listened on: {error}"),
            "set `listen` to an address of this machine, and to a port that this user may open",
        ),
    }]
}

/// Whether a node answers there, as its parts tell.
async fn is_node(address: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8_lossy(&answer);
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let health: HealthResponse = serde_json::from_str(body).ok()?;
        Some(["node", "shards", "journal"].iter().all(|part| health.parts.contains_key(*part)))
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().flatten().unwrap_or(false)
}
