//! Whose request this is, when proxies stand between: the address a client is limited and logged by.
//!
//! Anybody can send `Forwarded` or `X-Forwarded-For`. They are believed from configured proxies only, read from the
//! right, and the first address that is no proxy of ours is the client's: what stands left of it the client wrote.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HeaderName};
use serde::{Deserialize, Serialize};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose word is taken, as addresses or CIDR blocks: `["10.0.0.0/8", "::1"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrustedProxies(Vec<AddressRange>);

/// Which header the trusted proxies write.
///
/// Proxies usually write one and pass the other through as the client sent it, so a node that reads both may be told
/// anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedHeader {
    /// Whichever is there. Where both are and disagree, neither is believed: the client is the proxy.
    #[default]
    Any,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`.
    XForwardedFor,
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    address: IpAddr,
    prefix_bits: u8,
}

/// The text is no address and no CIDR block.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an IP address nor a block such as 10.0.0.0/8")]
pub struct InvalidRange(String);

impl TrustedProxies {
    /// Trusts these blocks.
    pub fn new(ranges: Vec<AddressRange>) -> Self {
        Self(ranges)
    }

    /// Whether no proxy is trusted.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` is a trusted proxy's.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// The address of the client behind a request that came from `peer`.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap, header: ForwardedHeader) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contain(peer) {
            return peer;
        }
        let forwarded = || self.last_untrusted(peer, headers, &FORWARDED, forwarded_addresses);
        let x_forwarded_for = || self.last_untrusted(peer, headers, &X_FORWARDED_FOR, listed_addresses);
        let named = match header {
            ForwardedHeader::Forwarded => forwarded(),
            ForwardedHeader::XForwardedFor => x_forwarded_for(),
            ForwardedHeader::Any => match (forwarded(), x_forwarded_for()) {
                (Some(one), Some(other)) if one != other => None,
                (one, other) => one.or(other),
            },
        };
        named.unwrap_or(peer)
    }

    /// Reads the chain of proxies backwards. An entry that names no address (`unknown`, a pseudonym) ends it: the
    /// last hop that is known is all that can be said.
    fn last_untrusted(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        name: &HeaderName,
        addresses: fn(&str) -> Vec<Option<IpAddr>>,
    ) -> Option<IpAddr> {
        let mut hop = None;
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        for line in lines.into_iter().rev() {
            let entries = line.to_str().map_or_else(|_| vec![None], addresses);
            for entry in entries.into_iter().rev() {
                let Some(address) = entry else { return hop.or(Some(peer)) };
                hop = Some(address);
                if !self.contain(address) {
                    return hop;
                }
            }
        }
        hop
    }
}

impl AddressRange {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_bits)).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_bits)).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let invalid = || InvalidRange(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits_max,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= bits_max).ok_or_else(invalid)?,
        };
        Ok(Self { address, prefix_bits })
    }
}

impl TryFrom<String> for AddressRange {
    type Error = InvalidRange;

    fn try_from(text: String) -> Result<Self, InvalidRange> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        format!("{}/{}", range.address, range.prefix_bits)
    }
}

/// The addresses of an `X-Forwarded-For` line, in order.
fn listed_addresses(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',').map(node_address).collect()
}

/// The `for` addresses of a `Forwarded` line, one an element, in order.
fn forwarded_addresses(line: &str) -> Vec<Option<IpAddr>> {
    split_outside_quotes(line, b',')
        .into_iter()
        .map(|element| {
            split_outside_quotes(element, b';').into_iter().find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim().eq_ignore_ascii_case("for").then(|| node_address(value))?
            })
        })
        .collect()
}

/// An address as proxies write it: bare, bracketed, quoted, with or without a port.
fn node_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

fn split_outside_quotes(text: &str, separator: u8) -> Vec<&str> {
    let mut quoted = false;
    text.split(|character: char| {
        quoted ^= character == '"';
        !quoted && character == char::from(separator)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(["10.0.0.0/8", "2001:db8::/32"].map(|range| range.parse().unwrap()).to_vec())
    }

    #[track_caller]
    fn check(header: ForwardedHeader, peer: &str, lines: &[(&str, &str)], expected: &str) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_str(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let address = proxies().client_address(peer.parse().unwrap(), &headers, header);
        assert_eq!(address, expected.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let any = ForwardedHeader::Any;
        check(any, "203.0.113.9", &[("x-forwarded-for", "198.51.100.1")], "203.0.113.9");
        check(any, "203.0.113.9", &[("forwarded", "for=198.51.100.1")], "203.0.113.9");
        check(any, "10.0.0.1", &[], "10.0.0.1");
        check(any, "10.0.0.1", &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1");
        check(any, "::ffff:10.0.0.1", &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1");
        check(any, "2001:db8::1", &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1");
    }

    #[test]
    fn the_chain_is_read_from_the_right() {
        let any = ForwardedHeader::Any;
        check(any, "10.0.0.1", &[("x-forwarded-for", "6.6.6.6, 198.51.100.1, 10.0.0.2")], "198.51.100.1");
        check(any, "10.0.0.1", &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "198.51.100.1")], "198.51.100.1");
        check(any, "10.0.0.1", &[("x-forwarded-for", "10.0.0.9, 10.0.0.2")], "10.0.0.9");
        check(any, "10.0.0.1", &[("x-forwarded-for", "198.51.100.1, nonsense, 10.0.0.2")], "10.0.0.2");
        check(any, "10.0.0.1", &[("x-forwarded-for", "nonsense")], "10.0.0.1");
        check(any, "10.0.0.1", &[("x-forwarded-for", "")], "10.0.0.1");
    }

    #[test]
    fn addresses_come_in_many_forms() {
        let any = ForwardedHeader::Any;
        check(any, "10.0.0.1", &[("x-forwarded-for", "198.51.100.1:4711")], "198.51.100.1");
        check(any, "10.0.0.1", &[("x-forwarded-for", "2a00::1")], "2a00::1");
        check(any, "10.0.0.1", &[("x-forwarded-for", "[2a00::1]:4711")], "2a00::1");
        check(any, "10.0.0.1", &[("forwarded", "For=\"[2a00::1]:4711\";proto=https")], "2a00::1");
        check(any, "10.0.0.1", &[("forwarded", "proto=https;for=198.51.100.1 , for=10.0.0.3")], "198.51.100.1");
        check(any, "10.0.0.1", &[("forwarded", "by=\"a,b\";for=198.51.100.1")], "198.51.100.1");
        check(any, "10.0.0.1", &[("forwarded", "for=unknown")], "10.0.0.1");
        check(any, "10.0.0.1", &[("forwarded", "for=_hidden, for=10.0.0.3")], "10.0.0.3");
        check(any, "10.0.0.1", &[("forwarded", "proto=https")], "10.0.0.1");
    }

    #[test]
    fn a_second_header_cannot_be_slipped_in() {
        let lines = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "198.51.100.1")];
        check(ForwardedHeader::Any, "10.0.0.1", &lines, "10.0.0.1");
        check(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines, "198.51.100.1");
        check(ForwardedHeader::Forwarded, "10.0.0.1", &lines, "6.6.6.6");
    }

    #[test]
    fn ranges_are_parsed_strictly() {
        for (text, inside, outside) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.0/31", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::1", "::1", "::2"),
            ("::/0", "ffff::", "1.2.3.4"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
        ] {
            let range: AddressRange = text.parse().unwrap();
            assert!(range.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!range.contains(outside.parse().unwrap()), "{text} {outside}");
        }
        for text in ["", "x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129", "10.0.0.0/8/8", "example.org"] {
            assert_eq!(text.parse::<AddressRange>(), Err(InvalidRange(text.to_owned())));
        }
        assert!(serde_json::from_str::<TrustedProxies>(r#"["10.0.0.0/8", "::1"]"#).is_ok());
        assert!(serde_json::from_str::<TrustedProxies>(r#"["10.0.0.0/99"]"#).is_err());
    }
}
