//! The way out for connections that were not admitted.
//!
//! A refusal costs as much as a service, so it is bounded too. It is written so that the client can read it: closing
//! a socket with unread bytes in it resets the connection, and the answer is lost; hence the half-close and the
//! short wait for what the client still sends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use protocol::http::REQUEST_ID;
use protocol::problem::CONTENT_TYPE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::edge::gate::{self, Refused};
use crate::edge::metrics::REFUSED;
use crate::edge::request_id;
use crate::failure::Failure;
use crate::trace;

/// How long a refused client may take to send the rest of its request and to leave.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// Answers refused connections.
#[derive(Debug)]
pub(super) struct Refusals {
    room: Arc<Semaphore>,
    retry_after: Duration,
}

impl Refusals {
    pub(super) fn new(at_once_max: u16, retry_after_s: u16) -> Self {
        let retry_after = Duration::from_secs(retry_after_s.into());
        Self { room: Arc::new(Semaphore::new(at_once_max.into())), retry_after }
    }

    /// Refuses `stream`, or drops it when too many are being refused.
    pub(super) fn answer(&self, stream: TcpStream, why: Refused) {
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            counter!(REFUSED, "reason" => "dropped").increment(1);
            return;
        };
        let retry_after = gate::retry_after(self.retry_after);
        tokio::spawn(async move {
            let answer = answer_to(why, retry_after);
            // A client that is gone, or slow to leave, is not waited for.
            timeout(DRAIN_MAX, refuse(stream, answer.as_bytes())).await.ok();
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

/// The whole HTTP answer: there is no HTTP connection to write it, and the request was not read.
fn answer_to(why: Refused, retry_after: Duration) -> String {
    let (id, span) = (request_id::made(), trace::text(trace::span(None)));
    let failure = Failure::of(why.code()).retry_after(retry_after);
    // Whole seconds, never too early.
    let retry_after_s = retry_after.as_millis().div_ceil(1000);
    let body = serde_json::to_string(&failure.problem(&id)).unwrap_or_default();
    let length = body.len();
    let trace = trace::HEADER;
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: {CONTENT_TYPE}\r\nRetry-After: {retry_after_s}\r\n{REQUEST_ID}: \
         {id}\r\n{trace}: {span}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
