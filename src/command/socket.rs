//! The control socket: operations for the running node.
//!
//! A client writes one line, an [`Operation`] as JSON. The node answers `accepted` at once, then what the operation
//! says, then `done`. Only the store's owner may open the socket. Bounds: [`CLIENTS_MAX`] at a time, lines of
//! [`LINE_BYTES_MAX`], a request within [`REQUEST_PATIENCE`].

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::command::failure::Failure;
use crate::command::output::{Output, Said};
use crate::command::{Context, Operation};
use crate::node::Assembly;
use crate::node::store::Layout;

/// Clients at a time.
const CLIENTS_MAX: usize = 8;
/// The longest line either side takes.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// How long a client has for its request, and a node to accept it.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// The longest path that an address of a socket takes, its end included.
const PATH_BYTES_MAX: usize = 108;

/// What a node answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
enum Reply {
    /// The operation begins.
    Accepted,
    /// It says something.
    Said(Said),
    /// It has ended.
    Done {
        /// Why it failed, if it did.
        failure: Option<Failure>,
    },
}

/// A path by which a socket can be bound or reached, however long the folder's own is.
struct SocketPath {
    path: PathBuf,
    /// Kept open while the path goes through it.
    _folder: Option<fs::File>,
}

impl SocketPath {
    fn of(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().len() < PATH_BYTES_MAX {
            return Ok(Self { path, _folder: None });
        }
        let open = fs::File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", open.as_raw_fd()));
        Ok(Self { path, _folder: Some(open) })
    }
}

/// The running node's end.
pub struct Server {
    listener: UnixListener,
    context: Context,
    places: Arc<Semaphore>,
}

impl Server {
    /// Binds the socket of a store that this process has locked; an older one is nobody's.
    ///
    /// # Errors
    /// It cannot be bound.
    pub fn bind(assembly: &Assembly) -> Result<Self, Failure> {
        let path = Layout::of(&assembly.app.config.data).control();
        let failed = |error: io::Error| Failure::failed(format!("{}: {error}", path.display()));
        let listener = bind(&assembly.app.config.data, &path).map_err(failed)?;
        Ok(Self { listener, context: assembly.context(), places: Arc::new(Semaphore::new(CLIENTS_MAX)) })
    }

    /// Serves clients until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            // A client beyond the limit finds its connection closed, and says that nobody answers.
            if let Ok((stream, _)) = accepted
                && let Ok(place) = Arc::clone(&self.places).try_acquire_owned()
            {
                let context = self.context.clone();
                let stop = stop.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        ended = client(stream, context) => {
                            if let Err(error) = ended {
                                tracing::debug!(%error, "a client of the control socket has gone");
                            }
                        }
                    }
                    drop(place);
                });
            }
        }
    }
}

/// Binds under another name first, so that nobody can connect before only the owner may.
fn bind(folder: &Path, path: &Path) -> io::Result<UnixListener> {
    let (unfinished, name) = (folder.join("control.sock.new"), "control.sock.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let address = SocketPath::of(folder, name)?;
    let listener = UnixListener::bind(&address.path)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
    fs::rename(&unfinished, path)?;
    Ok(listener)
}

async fn client(stream: UnixStream, context: Context) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(read.take(LINE_BYTES_MAX));
    tokio::time::timeout(REQUEST_PATIENCE, reader.read_until(b'\n', &mut line)).await??;
    let operation: Operation = match serde_json::from_slice(&line) {
        Ok(operation) => operation,
        Err(error) => {
            let failure = Some(Failure::usage(format!("the node does not know this operation: {error}")));
            return send(&mut write, &Reply::Done { failure }).await;
        }
    };
    tracing::info!(operation = operation.name(), "asked over the control socket");
    send(&mut write, &Reply::Accepted).await?;
    let (out, mut said) = Output::new();
    let running = tokio::spawn(async move { context.run(operation, &out).await });
    while let Some(said) = said.recv().await {
        send(&mut write, &Reply::Said(said)).await?;
    }
    let done = running.await.unwrap_or_else(|error| Err(Failure::failed(format!("the operation failed: {error}"))));
    send(&mut write, &Reply::Done { failure: done.err() }).await
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// Asks the node that has the store in `data`.
///
/// # Errors
/// What the operation failed of; that the node does not answer.
pub async fn ask(data: &Path, operation: &Operation, out: &Output) -> Result<(), Failure> {
    let path = Layout::of(data).control();
    let silent = |error: &dyn std::fmt::Display| Failure::locked(format!("{}: {error}", path.display()));
    let address = SocketPath::of(data, "control.sock").map_err(|error| silent(&error))?;
    let stream = UnixStream::connect(&address.path).await.map_err(|error| silent(&error))?;
    let (read, mut write) = stream.into_split();
    let mut request = serde_json::to_vec(operation).map_err(|error| Failure::failed(error.to_string()))?;
    request.push(b'\n');
    write.write_all(&request).await.map_err(|error| silent(&error))?;

    let mut reader = BufReader::new(read);
    let first = tokio::time::timeout(REQUEST_PATIENCE, reply(&mut reader)).await;
    let mut next = first.map_err(|_| silent(&"no answer in time"))?.map_err(|error| silent(&error))?;
    loop {
        match next {
            Reply::Accepted => {}
            Reply::Said(said) => out.repeat(said).await,
            Reply::Done { failure } => return failure.map_or(Ok(()), Err),
        }
        let gone = |error| Failure::failed(format!("the node has gone before the operation ended: {error}"));
        next = reply(&mut reader).await.map_err(gone)?;
    }
}

async fn reply(reader: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Reply> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_the_owners_alone_however_deep_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(60)).join("e".repeat(60));
        fs::create_dir_all(&deep).unwrap();
        let path = Layout::of(&deep).control();
        for _ in 0..2 {
            let listener = bind(&deep, &path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let address = SocketPath::of(&deep, "control.sock").unwrap();
            let (connected, accepted) = tokio::join!(UnixStream::connect(&address.path), listener.accept());
            assert!(connected.is_ok() && accepted.is_ok());
        }
    }

    #[tokio::test]
    async fn a_node_that_is_gone_does_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = Layout::of(dir.path()).control();
        let (out, _said) = Output::new();
        drop(bind(dir.path(), &path).unwrap());
        let failure = ask(dir.path(), &Operation::Compact, &out).await.unwrap_err();
        assert_eq!(failure.exit, crate::command::failure::Exit::Locked);
    }

    #[test]
    fn operations_and_replies_read_back() {
        let operation = Operation::Grant { email: "a@example.com".into(), role: "admin".into() };
        let line = serde_json::to_string(&operation).unwrap();
        assert_eq!(line, r#"{"operation":"grant","email":"a@example.com","role":"admin"}"#);
        assert_eq!(serde_json::from_str::<Operation>(&line).unwrap(), operation);
        let done = Reply::Done { failure: Some(Failure::damaged("here")) };
        let line = serde_json::to_string(&done).unwrap();
        assert_eq!(line, r#"{"reply":"done","failure":{"exit":"damaged","message":"here"}}"#);
        assert!(
            matches!(serde_json::from_str(&line), Ok(Reply::Done { failure: Some(failure) }) if failure.message == "here")
        );
    }
}
