//! A proxy that is as unkind as a network: it delays, cuts, truncates, half-closes and throttles.
//!
//! It knows bytes only. What it does to a connection follows from a seed and the connection's
//! number, so that a run can be had again. It cannot duplicate or reorder: TCP does not either.

mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::plan::{Fault, Plan};
use crate::http::Target;

/// The most connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 4_096;
/// How long to wait for a server that is away: it may be killed just now.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// What is passed on at once.
const PIECE_BYTES: usize = 4 << 10;
/// How long the other direction goes on after one has ended.
const HALF_PATIENCE: Duration = Duration::from_secs(2);

/// How often each fault was made.
pub(crate) type Made = BTreeMap<&'static str, u64>;

/// A running proxy. Ends when it is dropped.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) target: Target,
    made: Arc<Mutex<Made>>,
    _serving: JoinSet<()>,
}

impl Proxy {
    /// Starts one before a server, on a port of its own.
    pub(crate) async fn start(server: Target, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the proxy cannot listen")?;
        let target = Target::of(&format!("http://{}", listener.local_addr()?))?;
        let made = Arc::new(Mutex::new(Made::new()));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, server, seed, Arc::clone(&made)));
        Ok(Self { target, made, _serving: serving })
    }

    /// How often each fault was made until now.
    pub(crate) fn made(&self) -> Made {
        self.made.lock().clone()
    }
}

async fn serve(listener: TcpListener, server: Target, seed: u64, made: Arc<Mutex<Made>>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    for number in 0_u64.. {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((client, _)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let plan = Plan::of(seed, number);
        *made.lock().entry(plan.fault.name()).or_default() += 1;
        let server = server.clone();
        connections.spawn(async move {
            // What breaks is the point of it; both ends tell their own story.
            _ = pass(client, &server, plan).await;
            drop(place);
        });
    }
}

/// Passes a connection on until it ends, by itself or as planned.
async fn pass(client: TcpStream, server: &Target, plan: Plan) -> std::io::Result<()> {
    if plan.fault == Fault::Refuse {
        return client.set_zero_linger();
    }
    let server = timeout(CONNECT_PATIENCE, TcpStream::connect(server.authority())).await??;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if matches!(plan.fault, Fault::Cut { .. }) {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let up = pump(client_reads, server_writes, Way { delay: plan.fault.delay(), ..Way::default() });
    let down = pump(server_reads, client_writes, Way::of(plan.fault));
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        ended = &mut up => {
            drop(ended?.writes);
            _ = timeout(HALF_PATIENCE, down).await;
        }
        ended = &mut down => {
            let ended = ended?;
            if ended.both {
                if matches!(plan.fault, Fault::Cut { .. }) {
                    // A half that is dropped says goodbye; this one must not.
                    ended.writes.forget();
                }
                return Ok(());
            }
            drop(ended.writes);
            _ = timeout(HALF_PATIENCE, up).await;
        }
    }
    Ok(())
}

/// What happens in one direction.
#[derive(Clone, Copy, Default)]
struct Way {
    delay: Duration,
    per_second: Option<u32>,
    /// After so many bytes it ends, and whether the other direction ends with it.
    end: Option<(usize, bool)>,
}

impl Way {
    fn of(fault: Fault) -> Self {
        let per_second = match fault {
            Fault::Throttle { bytes_per_second } => Some(bytes_per_second),
            _ => None,
        };
        let end = match fault {
            Fault::Cut { after } | Fault::Truncate { after } => Some((after, true)),
            Fault::HalfClose { after } => Some((after, false)),
            _ => None,
        };
        Self { delay: fault.delay(), per_second, end }
    }
}

/// How a direction ended.
struct Passed {
    writes: OwnedWriteHalf,
    _reads: OwnedReadHalf,
    both: bool,
}

async fn pump(mut reads: OwnedReadHalf, mut writes: OwnedWriteHalf, way: Way) -> std::io::Result<Passed> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = way.end.map(|(after, _)| after);
    loop {
        let most = way.per_second.map_or(PIECE_BYTES, |bytes| (bytes as usize / 20).clamp(1, PIECE_BYTES));
        let most = left.map_or(most, |left| most.min(left));
        if most == 0 {
            let both = way.end.is_some_and(|(_, both)| both);
            return Ok(Passed { writes, _reads: reads, both });
        }
        let read = reads.read(piece.get_mut(..most).unwrap_or_default()).await?;
        if read == 0 {
            return Ok(Passed { writes, _reads: reads, both: false });
        }
        if !way.delay.is_zero() {
            sleep(way.delay).await;
        }
        writes.write_all(piece.get(..read).unwrap_or_default()).await?;
        left = left.map(|left| left - read);
        if way.per_second.is_some() {
            // A twentieth of a second's share at a time.
            sleep(Duration::from_millis(50)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends 10,000 bytes through a connection with this fault; answers how many came, and how it ended.
    async fn through(fault: Fault) -> (usize, Result<(), std::io::ErrorKind>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::of(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[7; 10_000]).await.unwrap();
            // Until the other side goes away.
            let mut rest = Vec::new();
            _ = stream.read_to_end(&mut rest).await;
            rest.len()
        });
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(front.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = front.accept().await.unwrap();
        let passing = tokio::spawn(async move { pass(accepted, &target, Plan { fault }).await });
        let mut came = Vec::new();
        let ended = loop {
            let mut piece = [0; 1024];
            match client.read(&mut piece).await {
                Ok(0) => break Ok(()),
                Ok(read) => came.extend_from_slice(&piece[..read]),
                Err(error) => break Err(error.kind()),
            }
            if came.len() == 10_000 {
                break Ok(());
            }
        };
        if matches!(fault, Fault::HalfClose { .. }) {
            client.write_all(b"still here").await.unwrap();
        }
        drop(client);
        _ = passing.await.unwrap();
        let heard = if fault == Fault::Refuse { 0 } else { server.await.unwrap() };
        assert!(!matches!(fault, Fault::HalfClose { .. }) || heard == 10, "the other direction goes on");
        (came.len(), ended)
    }

    #[tokio::test]
    async fn faults_are_what_they_are_called() {
        assert_eq!(through(Fault::None).await, (10_000, Ok(())));
        assert_eq!(through(Fault::Delay { each: Duration::from_millis(1) }).await, (10_000, Ok(())));
        assert_eq!(through(Fault::Throttle { bytes_per_second: 80_000 }).await, (10_000, Ok(())));
        assert_eq!(through(Fault::Truncate { after: 777 }).await, (777, Ok(())));
        assert_eq!(through(Fault::HalfClose { after: 778 }).await, (778, Ok(())));
        let (came, ended) = through(Fault::Cut { after: 779 }).await;
        assert!(came <= 779 && ended == Err(std::io::ErrorKind::ConnectionReset), "{came} {ended:?}");
        let (came, ended) = through(Fault::Refuse).await;
        assert!(came == 0 && ended.is_err(), "{ended:?}");
    }
}
