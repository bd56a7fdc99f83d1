//! Whose process listens on a port of this machine.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The process that listens where the server is, if it is on this machine and may be looked at.
pub(crate) fn listener(server: SocketAddr) -> Option<u32> {
    if !is_here(server.ip()) {
        return None;
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let socket = tables.iter().find_map(|table| socket_of(table, server.port()))?;
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        holds(&entry.path(), &socket).then_some(pid)
    })
}

/// Loopback, or nothing at all (all addresses of this machine).
fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

/// The name, as a descriptor has it, of the socket that listens on a port.
fn socket_of(table: &str, port: u16) -> Option<String> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state, inode) = (fields.next()?, fields.nth(1)?, fields.nth(5)?);
        let listens = state == LISTEN && local.rsplit_once(':')?.1 == format!("{port:04X}");
        listens.then(|| format!("socket:[{inode}]"))
    })
}

fn holds(process: &Path, socket: &str) -> bool {
    let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        std::fs::read_link(descriptor.path()).is_ok_and(|link| link.as_os_str() == std::ffi::OsStr::new(socket))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_sockets_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:1389 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 7 1 0\n\
                     1: 0100007F:1389 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n";
        assert_eq!(socket_of(table, 5001).as_deref(), Some("socket:[4711]"));
        assert_eq!(socket_of(table, 5002), None);
        assert_eq!(socket_of("", 5001), None);
    }

    #[test]
    fn a_process_is_found_by_its_port() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap()), Some(std::process::id()));
        assert_eq!(listener("192.0.2.1:1".parse().unwrap()), None);
    }
}
