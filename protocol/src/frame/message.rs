//! The `message` frame, written once for all its receivers.

use std::fmt::Write;

use crate::event::{Class, EventName};
use crate::frame::stream::StreamName;
use crate::value::Time;

/// The text of a `message` frame, with the place where an attempt's number goes.
///
/// The text is shared by all receivers at their first attempt; a later attempt copies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageText {
    text: String,
    attempt_at: usize,
}

/// What stands around the data of a message.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Of which stream.
    pub stream: &'a StreamName,
    /// The life of the store's streams.
    pub epoch: &'a str,
    /// Its number in the stream.
    pub offset: u64,
    /// The same at every delivery.
    pub id: &'a str,
    /// What happened.
    pub event: EventName,
    /// What kind of stream it is.
    pub class: Class,
    /// Until when it should be applied.
    pub deadline: Option<Time>,
}

impl MessageText {
    /// Writes the frame around `data`, which must be one JSON value.
    pub fn of(envelope: &Envelope<'_>, data: &str) -> Self {
        let Envelope { stream, epoch, offset, id, event, class, deadline } = *envelope;
        let mut text = String::with_capacity(data.len() + epoch.len() + id.len() + 192);
        text.push_str(r#"{"type":"message","stream":"#);
        quote(&mut text, &stream.to_string());
        text.push_str(r#","epoch":"#);
        quote(&mut text, epoch);
        // Writing to a string does not fail.
        _ = write!(text, r#","offset":{offset},"id":"#);
        quote(&mut text, id);
        _ = write!(text, r#","event":"{}","class":"{}""#, event.as_str(), class.as_str());
        let attempt_at = text.len();
        if let Some(deadline) = deadline {
            _ = write!(text, r#","deadline":"{deadline}""#);
        }
        text.push_str(r#","data":"#);
        text.push_str(data);
        text.push('}');
        Self { text, attempt_at }
    }

    /// The frame of the first attempt.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The frame of the first attempt, for good.
    pub fn into_string(self) -> String {
        self.text
    }

    /// The frame of this attempt; that of the first has no number.
    pub fn attempt(&self, attempt: u32) -> String {
        if attempt <= 1 {
            return self.text.clone();
        }
        let (before, after) = self.text.split_at(self.attempt_at);
        format!(r#"{before},"attempt":{attempt}{after}"#)
    }
}

/// Writes a JSON string.
fn quote(out: &mut String, text: &str) {
    // A string can always be written as JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::decode::decode_server;
    use crate::frame::server::{Message, ServerFrame};
    use crate::json::Json;

    fn check(stream: &StreamName, id: &str, deadline: Option<Time>) {
        let data = r#"{"a":1.50,"text":"\"}"}"#;
        let envelope = Envelope {
            stream,
            epoch: "e\"1",
            offset: u64::MAX,
            id,
            event: EventName::TransactionNew,
            class: Class::Money,
            deadline,
        };
        let text = MessageText::of(&envelope, data);
        for attempt in [0, 1, 2, 7] {
            let frame = ServerFrame::Message(Message {
                stream: stream.clone(),
                epoch: "e\"1".into(),
                offset: u64::MAX,
                id: id.into(),
                event: EventName::TransactionNew,
                class: Class::Money,
                attempt: (attempt > 1).then_some(attempt),
                deadline,
                data: Json::from_text(data.into()).unwrap(),
            });
            // The fast way writes what the slow way writes, to the letter.
            assert_eq!(text.attempt(attempt), frame.encode());
            assert_eq!(decode_server(&text.attempt(attempt)).unwrap(), [frame]);
        }
        assert_eq!(text.as_str(), text.attempt(1));
    }

    #[test]
    fn a_message_is_written_as_its_type_is() {
        check(&StreamName::Account, "m1", None);
        check(&StreamName::Room("r\u{1}\"x".into()), "", Some(Time::of(domain::time::Timestamp(1_000_000))));
    }
}
