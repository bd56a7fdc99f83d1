//! A proxy that is as unkind as a network: it delays, drops, repeats, cuts, truncates, half-closes and throttles.
//!
//! It knows bytes only. What it does to a connection follows from a seed and the connection's
//! number, so that a run can be had again. Within a connection it neither duplicates nor reorders, as TCP does not;
//! what it repeats is all that a client sent, on a connection of its own.

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

use self::plan::{Fault, Plan, STALL};
use crate::http::Target;

/// The most connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 4_096;
/// How long to wait for a server that is away: it may be killed just now.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// What is passed on at once.
const PIECE_BYTES: usize = 4 << 10;
/// How long the other direction goes on after one has ended.
const HALF_PATIENCE: Duration = Duration::from_secs(2);
/// The most that is repeated of a connection.
const REPEATED_BYTES_MAX: usize = 64 << 10;
/// How long the server may answer what is repeated; nobody hears it.
const REPEATED_LASTS: Duration = Duration::from_secs(2);

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
    let Fault::Repeat { after } = plan.fault else { return pass_once(client, server, plan, None).await };
    let said = Arc::new(Mutex::new(Vec::new()));
    let passed = pass_once(client, server, plan, Some(Arc::clone(&said))).await;
    sleep(after).await;
    let said = std::mem::take(&mut *said.lock());
    timeout(REPEATED_LASTS, repeat(server, &said)).await.ok();
    passed
}

/// Says once more what a client said.
async fn repeat(server: &Target, said: &[u8]) -> std::io::Result<()> {
    let mut server = timeout(CONNECT_PATIENCE, TcpStream::connect(server.authority())).await??;
    server.write_all(said).await?;
    let mut piece = vec![0; PIECE_BYTES];
    while server.read(&mut piece).await? > 0 {}
    Ok(())
}

/// What a client said, as far as it is kept.
type Record = Arc<Mutex<Vec<u8>>>;

async fn pass_once(client: TcpStream, server: &Target, plan: Plan, said: Option<Record>) -> std::io::Result<()> {
    if plan.fault == Fault::Refuse {
        return client.set_zero_linger();
    }
    let server = timeout(CONNECT_PATIENCE, TcpStream::connect(server.authority())).await??;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let is_reset = matches!(plan.fault, Fault::Cut { .. } | Fault::Drop { .. });
    if is_reset {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let up = pump(client_reads, server_writes, Way { delay: plan.fault.delay(), said, ..Way::default() });
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
                if is_reset {
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
#[derive(Default)]
struct Way {
    delay: Duration,
    per_second: Option<u32>,
    /// Where what is passed on is kept.
    said: Option<Record>,
    /// How long it looks alive when it has ended.
    stall: Duration,
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
            Fault::Cut { after } | Fault::Truncate { after } | Fault::Drop { after } => Some((after, true)),
            Fault::HalfClose { after } => Some((after, false)),
            _ => None,
        };
        let stall = if matches!(fault, Fault::Drop { .. }) { STALL } else { Duration::ZERO };
        Self { delay: fault.delay(), per_second, said: None, stall, end }
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
            sleep(way.stall).await;
            return Ok(Passed { writes, _reads: reads, both });
        }
        let read = reads.read(piece.get_mut(..most).unwrap_or_default()).await?;
        if read == 0 {
            return Ok(Passed { writes, _reads: reads, both: false });
        }
        if !way.delay.is_zero() {
            sleep(way.delay).await;
        }
        let passed = piece.get(..read).unwrap_or_default();
        if let Some(said) = &way.said {
            let mut said = said.lock();
            let room = REPEATED_BYTES_MAX.saturating_sub(said.len());
            said.extend_from_slice(passed.get(..read.min(room)).unwrap_or_default());
        }
        writes.write_all(passed).await?;
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
        let (came, ended) = through(Fault::Drop { after: 780 }).await;
        assert!(came <= 780 && ended == Err(std::io::ErrorKind::ConnectionReset), "{came} {ended:?}");
        let (came, ended) = through(Fault::Refuse).await;
        assert!(came == 0 && ended.is_err(), "{ended:?}");
    }

    #[tokio::test]
    async fn what_a_client_said_is_said_once_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::of(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            let mut heard = Vec::new();
            for answer in [&b"once"[..], b"twice"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut said = [0; 5];
                stream.read_exact(&mut said).await.unwrap();
                stream.write_all(answer).await.unwrap();
                heard.push(said);
            }
            heard
        });
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(front.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = front.accept().await.unwrap();
        let fault = Fault::Repeat { after: Duration::ZERO };
        let passing = tokio::spawn(async move { pass(accepted, &target, Plan { fault }).await });
        client.write_all(b"hello").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"once", "of the second only the server knows");
        drop(client);
        _ = passing.await.unwrap();
        assert_eq!(server.await.unwrap(), [*b"hello"; 2]);
    }
}
