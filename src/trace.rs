//! Traces (W3C Trace Context, level 1): where a request stands in its caller's trace, read and written.
//!
//! A request is a span of its own, in the trace it came in or in one that is made. Its answer names that span; its
//! events keep the trace as its caller sent it.

use std::num::NonZeroU64;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use domain::ledger::Trace;

/// The header, of requests and answers alike.
pub const HEADER: HeaderName = HeaderName::from_static("traceparent");

/// Bit 0 of a trace's flags: somebody records it.
const SAMPLED: u8 = 1;

/// The trace that a request came in, if its header says one that is sound. Two headers say none.
pub fn of(headers: &HeaderMap) -> Option<Trace> {
    let mut values = headers.get_all(HEADER).iter();
    let trace = read(values.next()?.to_str().ok()?);
    trace.filter(|_| values.next().is_none())
}

/// Reads the text of a `traceparent`. A later version is read as far as this one goes.
pub fn read(text: &str) -> Option<Trace> {
    let mut parts = text.split('-');
    let version: [u8; 1] = hex(parts.next()?)?;
    let id: [u8; 16] = hex(parts.next()?)?;
    let parent: [u8; 8] = hex(parts.next()?)?;
    let [flags] = hex(parts.next()?)?;
    let ends = parts.next().is_none();
    let sound = version != [0xff] && (ends || version != [0]) && id != [0; 16] && parent != [0; 8];
    sound.then_some(Trace { id, parent, flags })
}

/// A span in `trace`, or in a new trace that nobody records.
pub fn span(trace: Option<Trace>) -> Trace {
    let parent = rand::random::<NonZeroU64>().get().to_be_bytes();
    match trace {
        // Of the flags only this one is known to mean the same further on.
        Some(trace) => Trace { id: trace.id, parent, flags: trace.flags & SAMPLED },
        None => Trace { id: uuid::Uuid::new_v4().into_bytes(), parent, flags: 0 },
    }
}

/// The text of a `traceparent`.
pub fn text(trace: Trace) -> String {
    let (id, parent) = (u128::from_be_bytes(trace.id), u64::from_be_bytes(trace.parent));
    format!("00-{id:032x}-{parent:016x}-{:02x}", trace.flags)
}

/// Names a span in the headers of an answer.
pub fn write(span: Trace, headers: &mut HeaderMap) {
    // Hexadecimal digits and dashes: always a header's value.
    if let Ok(value) = HeaderValue::from_str(&text(span)) {
        headers.insert(HEADER, value);
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_read_to_the_letter() {
        let trace = read(TEXT).unwrap();
        assert_eq!((trace.id[0], trace.parent[1], trace.flags), (0x4b, 0xf0, 1));
        assert_eq!(text(trace), TEXT);
        assert!(read(&TEXT.replacen("00", "01", 1)).is_some(), "a later version");
        assert!(read(&format!("{}-more", TEXT.replacen("00", "01", 1))).is_some());
        for wrong in [
            "",
            "00",
            &TEXT.to_uppercase(),
            &TEXT.replacen("00", "ff", 1),
            &format!("{TEXT}-more"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_span_goes_on_with_its_trace() {
        let trace = read(&TEXT.replace("-01", "-ff")).unwrap();
        let (one, other) = (span(Some(trace)), span(Some(trace)));
        assert_eq!((one.id, one.flags), (trace.id, SAMPLED));
        assert!(one.parent != trace.parent && one.parent != other.parent);
        let made = span(None);
        assert_eq!(read(&text(made)), Some(made), "one that is made is sound");
        assert_ne!(made.id, span(None).id);
        assert_eq!(made.flags, 0);
    }

    #[test]
    fn the_header_is_one() {
        let mut headers = HeaderMap::new();
        assert_eq!(of(&headers), None);
        headers.append(HEADER, HeaderValue::from_static(TEXT));
        assert_eq!(of(&headers), read(TEXT));
        write(span(None), &mut headers);
        assert_eq!(headers.get_all(HEADER).iter().count(), 1, "an answer names one span");
        headers.append(HEADER, HeaderValue::from_static(TEXT));
        assert_eq!(of(&headers), None);
    }
}
