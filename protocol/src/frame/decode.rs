//! Frames from text: bounded, and never a panic.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::client::{Call, ClientFrame, Hello, Method, Publish};
use super::server::ServerFrame;
use super::stream::{Place, StreamName};
use super::{
    ALSO_MAX, BODY_BYTES_MAX, DEVICE_CHARS_MAX, EPOCH_CHARS_MAX, FRAMES_MAX, ID_CHARS_MAX, NACK_CODE_CHARS_MAX,
    SIGNAL_BYTES_MAX, SIGNAL_KIND_CHARS_MAX, STREAM_CHARS_MAX, SUBSCRIPTIONS_MAX, TOKEN_CHARS_MAX,
};
use crate::code::Code;
use crate::http::is_idempotency_key;
use crate::json::Json;

/// Why a frame was not understood, and whose it is if that can be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct FrameError {
    /// The stable code.
    pub code: Code,
    /// The request's id, if one can be found: its `error` carries it.
    pub id: Option<Box<str>>,
    /// For a person to read.
    pub message: Box<str>,
}

impl FrameError {
    fn of(code: Code, message: impl Into<Box<str>>) -> Self {
        Self { code, id: None, message: message.into() }
    }
}

/// Reads what a client sent: one object, or an array of up to [`FRAMES_MAX`] of them.
///
/// Each frame of an array stands alone: one that is wrong does not spoil the others, because every
/// request gets exactly one answer. An array that is empty or too long is refused whole.
pub fn decode(text: &str) -> Result<Vec<Result<ClientFrame, FrameError>>, FrameError> {
    each(text, client_frame)
}

/// Reads what a server sent; any frame that is not understood spoils the whole.
pub fn decode_server(text: &str) -> Result<Vec<ServerFrame>, FrameError> {
    each(text, server_frame)?.into_iter().collect()
}

/// Splits text into objects and reads each.
fn each<T>(text: &str, read: fn(&str) -> Result<T, FrameError>) -> Result<Vec<Result<T, FrameError>>, FrameError> {
    let start = text.trim_start_matches([' ', '\t', '\r', '\n']);
    if !start.starts_with('[') {
        return if start.starts_with('{') {
            // Well-formed to the end, or no frame at all: a cut object has no id to trust.
            serde_json::from_str::<&RawValue>(text).map_err(|error| malformed(&error))?;
            Ok(vec![read(start)])
        } else {
            Err(FrameError::of(Code::Malformed, "a frame is a JSON object, or an array of them"))
        };
    }
    let frames: Frames<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    if frames.0.is_empty() {
        return Err(FrameError::of(Code::Malformed, "an array of frames is not empty"));
    }
    Ok(frames.0.into_iter().map(|raw| read(raw.get())).collect())
}

/// An array of objects, refused as soon as it is too long.
struct Frames<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Frames<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Frames<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of frames")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut frames = Vec::new();
                while let Some(frame) = seq.next_element()? {
                    if frames.len() == FRAMES_MAX {
                        return Err(serde::de::Error::custom(format_args!("more than {FRAMES_MAX} frames")));
                    }
                    frames.push(frame);
                }
                Ok(Frames(frames))
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

/// What every frame has, or may have.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl Head<'_> {
    /// The id, if it is one.
    fn id(&self) -> Option<Box<str>> {
        let id: Box<str> = serde_json::from_str(self.id?.get()).ok()?;
        (id.chars().count() <= ID_CHARS_MAX).then_some(id)
    }
}

fn client_frame(text: &str) -> Result<ClientFrame, FrameError> {
    let head: Head<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    let frame = kind(&head).and_then(|kind| {
        let frame = match &*kind {
            "hello" => ClientFrame::Hello(body(text)?),
            "auth" => ClientFrame::Auth(body(text)?),
            "subscribe" => ClientFrame::Subscribe(body(text)?),
            "unsubscribe" => ClientFrame::Unsubscribe(body(text)?),
            "ack" => ClientFrame::Ack(body(text)?),
            "nack" => ClientFrame::Nack(body(text)?),
            "call" => ClientFrame::Call(call(body(text)?)?),
            "publish" => ClientFrame::Publish(publish(body(text)?)?),
            "signal" => ClientFrame::Signal(body(text)?),
            "ping" => ClientFrame::Ping(body(text)?),
            other => return Err(unknown(other)),
        };
        within_bounds(&frame)?;
        Ok(frame)
    });
    frame.map_err(|error| FrameError { id: head.id(), ..error })
}

fn server_frame(text: &str) -> Result<ServerFrame, FrameError> {
    let head: Head<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    let frame = kind(&head).and_then(|kind| {
        Ok(match &*kind {
            "welcome" => ServerFrame::Welcome(body(text)?),
            "subscribed" => ServerFrame::Subscribed(body(text)?),
            "message" => ServerFrame::Message(body(text)?),
            "gap" => ServerFrame::Gap(body(text)?),
            "reply" => ServerFrame::Reply(body(text)?),
            "error" => ServerFrame::Error(body(text)?),
            "pong" => ServerFrame::Pong(body(text)?),
            "drain" => ServerFrame::Drain(body(text)?),
            "expiring" => ServerFrame::Expiring(body(text)?),
            "signal" => ServerFrame::Signal(body(text)?),
            "presence" => ServerFrame::Presence(body(text)?),
            other => return Err(unknown(other)),
        })
    });
    frame.map_err(|error| FrameError { id: head.id(), ..error })
}

fn kind(head: &Head<'_>) -> Result<String, FrameError> {
    let kind = head.kind.ok_or_else(|| FrameError::of(Code::Malformed, "`type` is missing"))?;
    serde_json::from_str(kind.get()).map_err(|_| FrameError::of(Code::Malformed, "`type` is not a string"))
}

/// Reads the fields of one type of frame.
fn body<T: DeserializeOwned>(text: &str) -> Result<T, FrameError> {
    serde_json::from_str(text).map_err(|error| malformed(&error))
}

/// A `call` before its method is known.
#[derive(Deserialize)]
struct CallBody {
    id: Box<str>,
    method: Box<str>,
    params: Option<Json>,
    key: Option<Box<str>>,
    traceparent: Option<Box<str>>,
}

fn call(body: CallBody) -> Result<Call, FrameError> {
    let CallBody { id, method, params, key, traceparent } = body;
    let method = Method::of(&method)
        .ok_or_else(|| FrameError::of(Code::MethodUnknown, format!("there is no method `{}`", shorten(&method))))?;
    if !key.as_deref().is_none_or(is_idempotency_key) {
        return Err(FrameError::of(Code::IdempotencyKeyInvalid, Code::IdempotencyKeyInvalid.message()));
    }
    Ok(Call { id, method, params, key, traceparent })
}

fn publish(publish: Publish) -> Result<Publish, FrameError> {
    if !publish.key.as_deref().is_none_or(is_idempotency_key) {
        return Err(FrameError::of(Code::IdempotencyKeyInvalid, Code::IdempotencyKeyInvalid.message()));
    }
    Ok(publish)
}

fn within_bounds(frame: &ClientFrame) -> Result<(), FrameError> {
    match frame {
        ClientFrame::Hello(Hello { token, device, subscribe }) => {
            chars("token", token, TOKEN_CHARS_MAX)?;
            if let Some(device) = device {
                chars("device", device, DEVICE_CHARS_MAX)?;
                if device.is_empty() {
                    return Err(FrameError::of(Code::ValidationFailed, "`device` is empty"));
                }
            }
            count("subscribe", subscribe.len(), SUBSCRIPTIONS_MAX)?;
            subscribe.iter().try_for_each(|one| place(&one.stream, one.after.as_ref()))
        }
        ClientFrame::Auth(auth) => chars("token", &auth.token, TOKEN_CHARS_MAX),
        ClientFrame::Subscribe(subscribe) => {
            chars("id", &subscribe.id, ID_CHARS_MAX)?;
            place(&subscribe.stream, subscribe.after.as_ref())
        }
        ClientFrame::Unsubscribe(unsubscribe) => {
            chars("id", &unsubscribe.id, ID_CHARS_MAX)?;
            place(&unsubscribe.stream, None)
        }
        ClientFrame::Ack(ack) => {
            place(&ack.stream, None)?;
            count("also", ack.also.len(), ALSO_MAX)
        }
        ClientFrame::Nack(nack) => {
            place(&nack.stream, None)?;
            chars("code", &nack.code, NACK_CODE_CHARS_MAX)
        }
        ClientFrame::Call(call) => chars("id", &call.id, ID_CHARS_MAX),
        ClientFrame::Publish(publish) => {
            chars("id", &publish.id, ID_CHARS_MAX)?;
            bytes("body", publish.body.get(), BODY_BYTES_MAX)
        }
        ClientFrame::Signal(signal) => {
            chars("kind", &signal.kind, SIGNAL_KIND_CHARS_MAX)?;
            signal.data.as_ref().map_or(Ok(()), |data| bytes("data", data.get(), SIGNAL_BYTES_MAX))
        }
        ClientFrame::Ping(ping) => ping.id.as_deref().map_or(Ok(()), |id| chars("id", id, ID_CHARS_MAX)),
    }
}

fn place(stream: &StreamName, after: Option<&Place>) -> Result<(), FrameError> {
    if stream.name_len() > STREAM_CHARS_MAX {
        return Err(too_long("stream", STREAM_CHARS_MAX));
    }
    after.map_or(Ok(()), |after| chars("epoch", &after.epoch, EPOCH_CHARS_MAX))
}

fn chars(field: &str, text: &str, max: usize) -> Result<(), FrameError> {
    // Bytes first: they bound the counting.
    if text.len() <= max || (text.len() <= 4 * max && text.chars().count() <= max) {
        Ok(())
    } else {
        Err(too_long(field, max))
    }
}

fn bytes(field: &str, text: &str, max: usize) -> Result<(), FrameError> {
    if text.len() <= max {
        Ok(())
    } else {
        Err(FrameError::of(Code::TooLarge, format!("`{field}` has more than {max} bytes")))
    }
}

fn too_long(field: &str, max: usize) -> FrameError {
    FrameError::of(Code::ValidationFailed, format!("`{field}` has more than {max} characters"))
}

fn count(field: &str, count: usize, max: usize) -> Result<(), FrameError> {
    if count <= max {
        Ok(())
    } else {
        Err(FrameError::of(Code::ValidationFailed, format!("`{field}` has more than {max} items")))
    }
}

fn unknown(kind: &str) -> FrameError {
    FrameError::of(Code::FrameUnknown, format!("there is no frame of type `{}`", shorten(kind)))
}

fn malformed(error: &serde_json::Error) -> FrameError {
    // serde quotes what it met, which can be as long as the frame.
    FrameError::of(Code::Malformed, shorten(&error.to_string()))
}

/// The start of a text that came from outside, short enough to be sent back.
fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    match text.char_indices().nth(CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<ClientFrame, FrameError> {
        let mut frames = decode(text)?;
        assert_eq!(frames.len(), 1);
        frames.pop().unwrap()
    }

    #[track_caller]
    fn refused(text: &str, code: Code, id: Option<&str>) {
        let error = one(text).map(|_| ()).unwrap_err();
        assert_eq!((error.code, error.id.as_deref()), (code, id), "{text}: {error}");
        assert!(error.message.len() < 700, "{error}");
    }

    #[test]
    fn refusals_name_their_request() {
        let long = "x".repeat(65);
        refused("", Code::Malformed, None);
        refused("null", Code::Malformed, None);
        refused("{", Code::Malformed, None);
        refused("{}", Code::Malformed, None);
        refused("[]", Code::Malformed, None);
        refused("[1]", Code::Malformed, None);
        refused("{} {}", Code::Malformed, None);
        refused(r#"{"type":5,"id":"a"}"#, Code::Malformed, Some("a"));
        refused(r#"{"type":"fly","id":"a"}"#, Code::FrameUnknown, Some("a"));
        refused(r#"{"type":"fly","id":5}"#, Code::FrameUnknown, None);
        refused(r#"{"type":"subscribe","id":"a"}"#, Code::Malformed, Some("a"));
        refused(r#"{"type":"subscribe","stream":"account"}"#, Code::Malformed, None);
        refused(r#"{"type":"call","id":"a","method":"account.rob"}"#, Code::MethodUnknown, Some("a"));
        refused(
            r#"{"type":"call","id":"a","method":"account.balance","key":"a b"}"#,
            Code::IdempotencyKeyInvalid,
            Some("a"),
        );
        refused(
            &format!(r#"{{"type":"call","id":"{long}","method":"account.balance"}}"#),
            Code::ValidationFailed,
            None,
        );
        refused(&format!(r#"{{"type":"hello","token":"t","device":"{long}"}}"#), Code::ValidationFailed, None);
        refused(r#"{"type":"hello","token":"t","device":""}"#, Code::ValidationFailed, None);
        refused(&format!(r#"{{"type":"{}"}}"#, "é".repeat(9000)), Code::FrameUnknown, None);
        refused(r#"{"type":"ack","stream":"account","upto":-1}"#, Code::Malformed, None);
        refused(
            r#"{"type":"publish","id":"a","room":"8f0e5f6a-2d0b-8c53-9a41-6e0c7b1d35c2","key":"","body":1}"#,
            Code::IdempotencyKeyInvalid,
            Some("a"),
        );
        refused(
            r#"{"type":"publish","id":"a","room":"8f0e5f6a-2d0b-8c53-9a41-6e0c7b1d35c2","key":"k"}"#,
            Code::Malformed,
            Some("a"),
        );
        refused(
            &format!(r#"{{"type":"signal","room":"8f0e5f6a-2d0b-8c53-9a41-6e0c7b1d35c2","kind":"{long}"}}"#),
            Code::ValidationFailed,
            None,
        );
    }

    #[test]
    fn bounds_hold_at_their_edge() {
        let also =
            |count: usize| format!(r#"{{"type":"ack","stream":"account","upto":1,"also":{:?}}}"#, vec![2; count]);
        assert!(one(&also(ALSO_MAX)).is_ok());
        refused(&also(ALSO_MAX + 1), Code::ValidationFailed, None);
        let id = |chars: usize| format!(r#"{{"type":"ping","id":"{}"}}"#, "é".repeat(chars));
        assert!(one(&id(ID_CHARS_MAX)).is_ok());
        refused(&id(ID_CHARS_MAX + 1), Code::ValidationFailed, None);
        let array = |count: usize| format!("[{}]", vec![r#"{"type":"ping"}"#; count].join(","));
        assert_eq!(decode(&array(FRAMES_MAX)).map_err(|error| error.code).unwrap().len(), FRAMES_MAX);
        assert_eq!(decode(&array(FRAMES_MAX + 1)).map(|_| ()).unwrap_err().code, Code::Malformed);
        let publish = |bytes: usize| {
            format!(
                r#"{{"type":"publish","id":"1","room":"8f0e5f6a-2d0b-8c53-9a41-6e0c7b1d35c2","key":"k","body":"{}"}}"#,
                "x".repeat(bytes - 2)
            )
        };
        assert!(one(&publish(BODY_BYTES_MAX)).is_ok());
        refused(&publish(BODY_BYTES_MAX + 1), Code::TooLarge, Some("1"));
        let signal = |bytes: usize| {
            format!(
                r#"{{"type":"signal","room":"8f0e5f6a-2d0b-8c53-9a41-6e0c7b1d35c2","kind":"typing","data":"{}"}}"#,
                "x".repeat(bytes - 2)
            )
        };
        assert!(one(&signal(SIGNAL_BYTES_MAX)).is_ok());
        refused(&signal(SIGNAL_BYTES_MAX + 1), Code::TooLarge, None);
        let stream = |name: usize| format!(r#"{{"type":"ack","stream":"room:{}","upto":1}}"#, "x".repeat(name));
        assert!(one(&stream(STREAM_CHARS_MAX)).is_ok());
        refused(&stream(STREAM_CHARS_MAX + 1), Code::ValidationFailed, None);
    }

    #[test]
    fn a_wrong_frame_does_not_spoil_its_neighbours() {
        let frames = decode(r#" [{"type":"ping","id":"1"},{"type":"fly","id":"2"},{"type":"ping"}] "#);
        let frames = frames.map_err(|error| error.code).unwrap();
        assert!(frames[0].is_ok() && frames[2].is_ok());
        let error = frames[1].as_ref().map(|_| ()).unwrap_err();
        assert_eq!((error.code, error.id.as_deref()), (Code::FrameUnknown, Some("2")));
    }

    #[test]
    fn params_keep_their_text() {
        let text = r#"{"type":"call","id":"a","method":"account.deposit","params":{"amount":1.50},"key":"k"}"#;
        let Ok(ClientFrame::Call(call)) = one(text) else { panic!("not a call") };
        assert_eq!(call.params.as_ref().unwrap().get(), r#"{"amount":1.50}"#);
        assert_eq!(serde_json::to_string(&ClientFrame::Call(call)).unwrap(), text);
    }
}
