//! Connecting from an address of one's own, and the WebSocket handshake.

use std::io;
use std::net::{IpAddr, SocketAddr};

use protocol::frame::SUBPROTOCOL;
use tokio::net::{TcpSocket, TcpStream};

use super::Line;

/// The example key of RFC 6455; one key for all, so that the right answer is known beforehand.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The answer to it.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// The way to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Where it is.
    pub(crate) server: SocketAddr,
    /// From which address of this machine; any if none is named.
    pub(crate) from: Option<IpAddr>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// There is no way, or it broke.
    #[error("{}", .0.kind())]
    Broken(#[from] io::Error),
    /// The server does not want to.
    #[error("refused with {0}")]
    Status(u16),
    /// The answer is none of a WebSocket server's.
    #[error("no WebSocket server: {0}")]
    Foreign(&'static str),
}

/// Connects, and becomes a WebSocket.
pub(crate) async fn open(way: Way, mask: u32) -> Result<Line, Refused> {
    let socket = if way.server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = way.from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(way.server).await?;
    stream.set_nodelay(true)?;
    // A reset at the end: thousands of ports must not wait a minute until they can be used again.
    stream.set_zero_linger()?;
    let server = way.server;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    );
    write_all(&stream, request.as_bytes()).await?;
    let unread = answer(&stream).await?;
    Ok(Line::of(stream, unread, mask))
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads the answer's head; answers what came behind it.
async fn answer(stream: &TcpStream) -> Result<Vec<u8>, Refused> {
    let mut head = Vec::new();
    loop {
        stream.readable().await?;
        let mut buffer = [0; 1024];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(Refused::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => head.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let unread = head.split_off(end + 4);
            accepted(&head)?;
            return Ok(unread);
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(Refused::Foreign("a head above the bound"));
        }
    }
}

fn accepted(head: &[u8]) -> Result<(), Refused> {
    let head = std::str::from_utf8(head).map_err(|_| Refused::Foreign("a head that is no text"))?;
    let status = head.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok());
    match status {
        Some(101) => {}
        Some(status) => return Err(Refused::Status(status)),
        None => return Err(Refused::Foreign("no status")),
    }
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if header("sec-websocket-accept") != Some(ACCEPT) {
        return Err(Refused::Foreign("the wrong Sec-WebSocket-Accept"));
    }
    if header("sec-websocket-protocol") != Some(SUBPROTOCOL) {
        return Err(Refused::Foreign("another subprotocol"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_answer_is_accepted() {
        let right = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nsec-websocket-accept: {ACCEPT}\r\n\
             Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
        );
        assert!(accepted(right.as_bytes()).is_ok());
        assert!(matches!(accepted(b"HTTP/1.1 503 Busy\r\n\r\n"), Err(Refused::Status(503))));
        for wrong in [right.replace(ACCEPT, "x"), right.replace(SUBPROTOCOL, "chat"), "nonsense".to_owned()] {
            assert!(matches!(accepted(wrong.as_bytes()), Err(Refused::Foreign(_))), "{wrong}");
        }
    }
}
