//! File descriptors: how many connections this process can hold at all.
#![allow(unsafe_code, reason = "getrlimit and setrlimit have no safe form in the crates we use")]

use std::io;

/// Descriptors kept for everything that is not a connection: the store's files, peers, logs, the connections that are
/// being refused, and those accepted and not yet counted.
const RESERVED_DESCRIPTORS: u64 = 768;

/// The fewest connections a node starts with. Where the reserve leaves less, half the descriptors are kept instead.
const CONNECTIONS_MIN: u64 = 64;

/// Raises the soft limit of open descriptors to the hard one and answers it. Call it once, before sockets are opened.
///
/// # Errors
/// The system refuses to say or to raise the limit.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid, exclusive pointer to the struct the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a valid pointer to a struct the call only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// How many connections to admit: what was asked for, or as many as there can be, never more than `descriptors`
/// leave room for.
pub fn connections_max(descriptors: u64, wanted: Option<u32>) -> u32 {
    let room = descriptors.saturating_sub(RESERVED_DESCRIPTORS);
    let room = if room < CONNECTIONS_MIN { descriptors / 2 } else { room };
    let room = u32::try_from(room).unwrap_or(u32::MAX).max(1);
    wanted.map_or(room, |wanted| wanted.clamp(1, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_stay_below_the_descriptors() {
        for (descriptors, wanted, expected) in [
            (1_048_576, None, 1_047_808),
            (1_048_576, Some(50_000), 50_000),
            (1_024, Some(50_000), 256),
            (1_024, None, 256),
            (800, None, 400),
            (1, None, 1),
            (u64::MAX, None, u32::MAX),
            (1_024, Some(0), 1),
        ] {
            assert_eq!(connections_max(descriptors, wanted), expected, "{descriptors} {wanted:?}");
        }
    }

    #[test]
    fn raising_twice_answers_the_same() {
        let first = raise_descriptor_limit().unwrap();
        assert!(first > 0);
        assert_eq!(raise_descriptor_limit().unwrap(), first);
    }
}
