//! Socket options: why the defaults of the system do not suit a node with many slow readers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// What the kernel may hold of a connection's unsent bytes. Without it 1,000 clients that did not read held 1.5 GB of
/// kernel memory; with it 44 MB. What is not handed to the kernel waits in the outbox, which is bounded.
const NOT_SENT_BYTES_MAX: u32 = 16 << 10;

/// How long sent bytes may stay unacknowledged before the kernel gives a connection up: a peer that vanished without
/// a word costs no more than this.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// A listening socket with a backlog of its own; tokio's is too short for a herd that reconnects.
///
/// # Errors
/// The address cannot be bound.
pub fn listen(address: SocketAddr, backlog: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the process before it.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.into())?;
    TcpListener::from_std(socket.into())
}

/// Sets an accepted connection up.
///
/// # Errors
/// The peer is gone already; the connection is of no use.
pub fn tune(stream: &TcpStream) -> io::Result<()> {
    // Small answers must not wait for acknowledgements of earlier ones: with Nagle's algorithm an echo stalled 40 ms.
    stream.set_nodelay(true)?;
    bound_kernel_memory(stream)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bound_kernel_memory(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

/// Other systems lack these options; the write time-out and the heartbeats end a dead connection there, later.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bound_kernel_memory(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_options_are_set() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        tune(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            let socket = SockRef::from(&stream);
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOT_SENT_BYTES_MAX);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
        }
    }
}
