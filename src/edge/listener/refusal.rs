//! The way out for connections that were not admitted.
//!
//! A refusal costs as much as a service, so it is bounded too. It is written so that the client can read it: closing
//! a socket with unread bytes in it resets the connection, and the answer is lost; hence the half-close and the
//! short wait for what the client still sends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::edge::gate::Refused;
use crate::edge::metrics::REFUSED;

/// How long a refused client may take to send the rest of its request and to leave.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// Answers refused connections.
#[derive(Debug)]
pub(super) struct Refusals {
    room: Arc<Semaphore>,
    full: Bytes,
    address: Bytes,
}

impl Refusals {
    pub(super) fn new(at_once_max: u16, retry_after_s: u16) -> Self {
        Self {
            room: Arc::new(Semaphore::new(at_once_max.into())),
            full: answer_to(Refused::Full, retry_after_s),
            address: answer_to(Refused::Address, retry_after_s),
        }
    }

    /// Refuses `stream`, or drops it when too many are being refused.
    pub(super) fn answer(&self, stream: TcpStream, why: Refused) {
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            counter!(REFUSED, "reason" => "dropped").increment(1);
            return;
        };
        let answer = match why {
            Refused::Full => self.full.clone(),
            Refused::Address => self.address.clone(),
        };
        tokio::spawn(async move {
            // A client that is gone, or slow to leave, is not waited for.
            timeout(DRAIN_MAX, refuse(stream, &answer)).await.ok();
            drop(place);
        });
    }
}

async fn refuse(mut stream: TcpStream, answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut sink = [0; 512];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}

/// The whole HTTP answer: there is no HTTP connection to write it.
fn answer_to(why: Refused, retry_after_s: u16) -> Bytes {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": why.code(),
        "message": why.to_string(),
        "retryAfterMs": u32::from(retry_after_s) * 1_000,
    })
    .to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: \
         {retry_after_s}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into()
}
