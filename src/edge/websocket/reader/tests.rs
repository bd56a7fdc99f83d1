//! Tests of the frame reader: any cutting of a stream, and hostile bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_tungstenite::tungstenite;

use super::*;
use crate::edge::websocket::client_frame::client_frame as frame;

const MESSAGE_BYTES_MAX: u32 = 1_024;

/// What a reader handed over, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

impl From<Message<'_>> for Heard {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Message::Close(code) => Self::Close(code),
        }
    }
}

/// Feeds `bytes` in pieces of the given lengths, over and over.
fn read(bytes: &[u8], pieces: &[usize]) -> (Vec<Heard>, Option<Violation>) {
    let mut reader = Reader::new(MESSAGE_BYTES_MAX, Bytes::new());
    let mut heard = Vec::new();
    let mut pieces = pieces.iter().cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*pieces.next().unwrap()).clamp(1, rest.len()));
        rest = after;
        let fed = reader.feed(&mut piece.to_vec(), |message| {
            heard.push(message.into());
            ControlFlow::Continue(())
        });
        // One message, the incomplete frame after it, one read, and what a vector's growth rounds up.
        assert!(reader.held_bytes() <= 4 * (MESSAGE_BYTES_MAX as usize + 14 + piece.len()), "{}", reader.held_bytes());
        if let Err(violation) = fed {
            return (heard, Some(violation));
        }
    }
    (heard, None)
}

#[track_caller]
fn check(frames: &[Vec<u8>], heard: &[Heard], violation: Option<Violation>) {
    let bytes = frames.concat();
    for pieces in [&[usize::MAX][..], &[1], &[3, 1, 7]] {
        assert_eq!(read(&bytes, pieces), (heard.to_vec(), violation), "in pieces of {pieces:?}");
    }
}

#[test]
fn messages_whole_fragmented_and_interleaved() {
    let text = |text: &str| Heard::Text(text.to_owned());
    check(&[frame(0x81, b"one"), frame(0x81, b"")], &[text("one"), text("")], None);
    check(
        &[frame(0x01, b"fr"), frame(0x89, b"!"), frame(0x00, b"ag"), frame(0x8a, b""), frame(0x80, b"ment")],
        &[Heard::Ping(b"!".to_vec()), Heard::Pong(Vec::new()), text("fragment")],
        None,
    );
    // A character may be cut by fragments; only the whole must be UTF-8.
    check(&[frame(0x01, b"\xe2\x82"), frame(0x80, b"\xac")], &[text("€")], None);
    check(&[frame(0x02, b"\xff"), frame(0x80, b"\xfe")], &[Heard::Binary(vec![0xff, 0xfe])], None);
    check(&[frame(0x81, &[b'x'; 1_024])], &[text(&"x".repeat(1_024))], None);
}

#[test]
fn a_close_is_the_last_thing_heard() {
    check(&[frame(0x88, b""), frame(0x81, b"late")], &[Heard::Close(None)], None);
    check(&[frame(0x88, &[0x03, 0xe8, b'o', b'k'])], &[Heard::Close(Some(1_000))], None);
    check(&[frame(0x88, &[0x11, 0x31])], &[Heard::Close(Some(4_401))], None);
}

#[test]
fn every_rule_has_its_close_code() {
    let fragments: Vec<_> = std::iter::once(frame(0x01, b"")).chain((0..2_000).map(|_| frame(0x00, b""))).collect();
    let rows: &[(Vec<Vec<u8>>, Violation, CloseCode)] = &[
        (vec![frame(0x80, b"x")], Violation::LoneContinuation, CloseCode::ProtocolError),
        (vec![frame(0x01, b"x"), frame(0x81, b"y")], Violation::InterruptedMessage, CloseCode::ProtocolError),
        (vec![frame(0x01, b"x"), frame(0x02, b"y")], Violation::InterruptedMessage, CloseCode::ProtocolError),
        (vec![vec![0x81, 0x01, b'x']], Violation::Header(HeaderError::Unmasked), CloseCode::ProtocolError),
        (vec![frame(0xc1, b"x")], Violation::Header(HeaderError::ReservedBit), CloseCode::ProtocolError),
        (vec![frame(0x09, b"x")], Violation::Header(HeaderError::ControlFrame), CloseCode::ProtocolError),
        (vec![frame(0x81, b"\xff")], Violation::InvalidUtf8, CloseCode::InvalidText),
        (vec![frame(0x01, b"\xe2"), frame(0x80, b"\x82")], Violation::InvalidUtf8, CloseCode::InvalidText),
        (vec![frame(0x81, &[b'x'; 1_025])], Violation::Header(HeaderError::TooLarge), CloseCode::TooLarge),
        (vec![frame(0x01, &[b'x'; 1_000]), frame(0x00, &[b'x'; 25])], Violation::MessageTooLarge, CloseCode::TooLarge),
        (fragments, Violation::TooManyFragments, CloseCode::TooLarge),
        (vec![frame(0x88, b"x")], Violation::InvalidClose, CloseCode::ProtocolError),
        (vec![frame(0x88, &[0x03, 0xed])], Violation::InvalidClose, CloseCode::ProtocolError),
        (vec![frame(0x88, &[0x03, 0xe8, 0xff])], Violation::InvalidUtf8, CloseCode::InvalidText),
    ];
    for (frames, violation, code) in rows {
        check(frames, &[], Some(*violation));
        assert_eq!(violation.close_code(), *code);
    }
}

#[tokio::test]
async fn a_break_keeps_the_rest_for_the_next_call() {
    let bytes = [frame(0x81, b"one"), frame(0x81, b"two"), frame(0x81, b"three")].concat();
    let mut reader = Reader::new(MESSAGE_BYTES_MAX, Bytes::from(bytes));
    let mut socket = tokio::io::empty();
    for expected in ["one", "two", "three"] {
        let mut heard = Vec::new();
        let pumped = reader.pump(&mut socket, |message| {
            heard.push(Heard::from(message));
            ControlFlow::Break(())
        });
        assert_eq!(pumped.await.unwrap(), 1);
        assert_eq!(heard, [Heard::Text(expected.to_owned())]);
    }
    assert_eq!(reader.held_bytes(), 0, "an idle reader holds nothing");
    let end = reader.pump(&mut socket, |_| ControlFlow::Continue(())).await;
    assert!(matches!(end, Err(ReadError::EndOfStream)), "{end:?}");
}

#[tokio::test]
async fn a_read_that_is_dropped_loses_nothing() {
    use tokio::io::AsyncWriteExt;
    let (mut client, mut server) = tokio::io::duplex(64);
    let mut reader = Reader::new(MESSAGE_BYTES_MAX, Bytes::new());
    let mut heard = Vec::new();
    for byte in frame(0x81, b"byte by byte") {
        let mut dropped = Box::pin(reader.pump(&mut server, |_| ControlFlow::Continue(())));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        drop(dropped);
        client.write_all(&[byte]).await.unwrap();
        let pumped = reader.pump(&mut server, |message| {
            heard.push(Heard::from(message));
            ControlFlow::Continue(())
        });
        pumped.await.unwrap();
    }
    assert_eq!(heard, [Heard::Text("byte by byte".to_owned())]);
}

/// A step of a valid conversation.
#[derive(Clone, Debug)]
enum Step {
    Text(Vec<String>),
    Binary(Vec<Vec<u8>>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let payload = || vec(any::<u8>(), 0..300);
    let control = || vec(any::<u8>(), 0..=125);
    prop_oneof![
        vec("\\PC{0,60}", 1..4).prop_map(Step::Text),
        vec(payload(), 1..4).prop_map(Step::Binary),
        control().prop_map(Step::Ping),
        control().prop_map(Step::Pong),
    ]
}

fn encode(steps: &[Step]) -> Vec<u8> {
    let fragments = |opcode: u8, parts: Vec<&[u8]>| {
        let last = parts.len() - 1;
        let frames = parts.iter().enumerate().map(|(at, part)| {
            let opcode = if at == 0 { opcode } else { 0 };
            frame(if at == last { 0x80 | opcode } else { opcode }, part)
        });
        // A control frame may stand between fragments.
        frames.collect::<Vec<_>>().join(&frame(0x8a, b"between")[..])
    };
    steps
        .iter()
        .flat_map(|step| match step {
            Step::Text(parts) => fragments(0x1, parts.iter().map(String::as_bytes).collect()),
            Step::Binary(parts) => fragments(0x2, parts.iter().map(Vec::as_slice).collect()),
            Step::Ping(payload) => frame(0x89, payload),
            Step::Pong(payload) => frame(0x8a, payload),
        })
        .collect()
}

/// A socket that gives `input` and swallows what is written.
struct Tape<'a>(&'a [u8]);

impl std::io::Read for Tape<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::io::Write for Tape<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an independent implementation hears.
fn read_by_tungstenite(bytes: &[u8]) -> Vec<Heard> {
    let role = tungstenite::protocol::Role::Server;
    let mut websocket = tungstenite::WebSocket::from_raw_socket(Tape(bytes), role, None);
    let mut heard = Vec::new();
    while let Ok(message) = websocket.read() {
        heard.push(match message {
            tungstenite::Message::Text(text) => Heard::Text(text.to_string()),
            tungstenite::Message::Binary(bytes) => Heard::Binary(bytes.to_vec()),
            tungstenite::Message::Ping(bytes) => Heard::Ping(bytes.to_vec()),
            tungstenite::Message::Pong(bytes) => Heard::Pong(bytes.to_vec()),
            tungstenite::Message::Close(close) => Heard::Close(close.map(|close| close.code.into())),
            tungstenite::Message::Frame(_) => panic!("raw frames are never read"),
        });
    }
    heard
}

proptest! {
    #[test]
    fn however_it_is_cut_it_reads_as_tungstenite_reads_it(
        steps in vec(step(), 0..12),
        pieces in vec(1..400_usize, 1..20),
    ) {
        let bytes = encode(&steps);
        let expected = read_by_tungstenite(&bytes);
        prop_assert!(expected.len() >= steps.len());
        prop_assert_eq!(read(&bytes, &pieces), (expected, None));
    }

    #[test]
    fn however_nonsense_is_cut_it_reads_the_same(
        bytes in vec(prop_oneof![any::<u8>(), Just(0x81), Just(0x80), Just(0x00)], 0..400),
        pieces in vec(1..50_usize, 1..20),
    ) {
        prop_assert_eq!(read(&bytes, &pieces), read(&bytes, &[usize::MAX]));
    }
}

/// Inputs of the mutation loop; `QUICKPE_READER_MUTATIONS` asks for more, `QUICKPE_READER_SEED` for others.
const MUTATIONS: u64 = 100_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Mutates valid conversations and reads them. The reader must neither panic nor keep more than its bound (`read`
/// asserts it), must hear the same however the bytes are cut, and no message above the bound.
#[test]
fn mutated_conversations_never_break_the_reader() {
    let seed = setting("QUICKPE_READER_SEED", 7);
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let corpus: Vec<Vec<u8>> = vec![
        encode(&[Step::Text(vec!["{\"type\":\"hello\"}".into()]), Step::Ping(b"abc".to_vec())]),
        encode(&[Step::Text(vec!["frag".into(), "€".into(), "ment".into()])]),
        encode(&[Step::Binary(vec![vec![7; 200], vec![8; 300]]), Step::Pong(Vec::new())]),
        [frame(0x81, &[b'x'; 1_000]), frame(0x88, &[0x03, 0xe8])].concat(),
        vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4],
    ];
    let (mut violations, mut messages) = (0_u64, 0_usize);
    for _ in 0..setting("QUICKPE_READER_MUTATIONS", MUTATIONS) {
        let mut bytes = corpus[random.random_range(0..corpus.len())].clone();
        for _ in 0..random.random_range(1..6) {
            mutate(&mut bytes, &corpus, &mut random);
        }
        let pieces = [random.random_range(1..64), random.random_range(1..512)];
        let (heard, violation) = read(&bytes, &pieces);
        assert_eq!((heard.clone(), violation), read(&bytes, &[usize::MAX]), "seed {seed}: {bytes:02x?}");
        for message in &heard {
            let length = match message {
                Heard::Text(text) => text.len(),
                Heard::Binary(bytes) => bytes.len(),
                Heard::Ping(bytes) | Heard::Pong(bytes) => bytes.len() + MESSAGE_BYTES_MAX as usize - 125,
                Heard::Close(_) => 0,
            };
            assert!(length <= MESSAGE_BYTES_MAX as usize);
        }
        violations += u64::from(violation.is_some());
        messages += heard.len();
    }
    assert!(violations > 0 && messages > 0, "the loop reaches both sides: {violations} {messages}");
}

fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut StdRng) {
    let at = random.random_range(0..=bytes.len());
    match random.random_range(0..5) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = random.random(),
        2 => bytes.truncate(at),
        3 => bytes.insert(at, random.random()),
        _ => {
            let other = &corpus[random.random_range(0..corpus.len())];
            let from = random.random_range(0..other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

#[test]
fn an_empty_buffer_of_http_is_not_kept() {
    // As hyper leaves it behind a request that nothing follows: one allocation, and all of it given out.
    let mut buffer = bytes::BytesMut::with_capacity(8 << 10);
    buffer.extend_from_slice(b"GET /ws HTTP/1.1\r\n\r\n");
    drop(buffer.split_to(buffer.len()).freeze());
    let mut reader = Reader::new(MESSAGE_BYTES_MAX, buffer.freeze());
    assert_eq!(reader.held_bytes(), 0, "a reader that nothing was left for holds nothing");
    reader.feed(&mut frame(0x81, b"hello"), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(reader.held_bytes(), 0, "an idle reader holds nothing");
}
