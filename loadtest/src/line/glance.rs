//! What a text is about, found without reading it whole.

use std::str::FromStr;

use protocol::frame::{ServerFrame, decode_server};

/// The start of a message as servers usually write it.
const MESSAGE: &str = r#"{"type":"message","stream":""#;
/// How far from there the offset is looked for: a stream's name and an epoch are short.
const HEAD_BYTES_MAX: usize = 512;

/// What one text holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Glance<'a> {
    /// One message of a stream.
    Message {
        /// The stream's name.
        stream: &'a str,
        /// Its number.
        offset: u64,
    },
    /// Anything else, read whole.
    Frames(Vec<ServerFrame>),
    /// Nothing of the protocol, and why.
    Foreign(String),
}

impl<'a> Glance<'a> {
    /// Looks at a text.
    ///
    /// A message as it is usually written is recognised by its first bytes; parsing each whole would
    /// cost the tool more than sending it costs the server. All others are parsed: no order of
    /// fields is relied on.
    pub(crate) fn of(text: &'a str) -> Self {
        if let Some(message) = usual(text) {
            return message;
        }
        match decode_server(text) {
            Ok(frames) => Self::Frames(frames),
            Err(error) => Self::Foreign(format!("{}: {}", error.message, text.chars().take(200).collect::<String>())),
        }
    }
}

fn usual(text: &str) -> Option<Glance<'_>> {
    let rest = text.strip_prefix(MESSAGE)?;
    let (stream, _) = rest.split_once('"')?;
    // A quote inside a string has a backslash before it, so these can only be names of fields.
    let head = rest.get(..rest.floor_char_boundary(HEAD_BYTES_MAX))?;
    let head = head.split_once(r#""data":"#).map_or(head, |(head, _)| head);
    let offset = number_after(head, r#""offset":"#)?;
    (!stream.contains('\\')).then_some(Glance::Message { stream, offset })
}

/// The number that stands behind some text.
pub(crate) fn number_after<T: FromStr>(text: &str, before: &str) -> Option<T> {
    let (_, rest) = text.split_once(before)?;
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use protocol::event::{Class, EventName};
    use protocol::frame::message::Envelope;
    use protocol::frame::{MessageText, StreamName};

    use super::*;

    fn message(stream: &StreamName, data: &str) -> String {
        let envelope = Envelope {
            stream,
            epoch: "e\",\"offset\":9",
            offset: 71,
            id: "m1",
            event: EventName::TransactionNew,
            class: Class::Money,
            deadline: None,
        };
        MessageText::of(&envelope, data).into_string()
    }

    #[test]
    fn a_message_is_known_by_its_head() {
        let data = r#"{"offset":5,"type":"message","text":"\"offset\":6"}"#;
        let text = message(&StreamName::Account, data);
        assert_eq!(Glance::of(&text), Glance::Message { stream: "account", offset: 71 });
        let text = message(&StreamName::Room("a-1".into()), data);
        assert_eq!(Glance::of(&text), Glance::Message { stream: "room:a-1", offset: 71 });
    }

    #[test]
    fn whatever_is_written_otherwise_is_read_whole() {
        let swapped = r#"{"stream":"account","type":"message","data":{"offset":5},"offset":71,"epoch":"e","id":"m","event":"transaction:new","class":"money"}"#;
        let late = r#"{"type":"message","stream":"account","data":{"offset":5},"offset":71,"epoch":"e","id":"m","event":"transaction:new","class":"money"}"#;
        let array = format!("[{swapped},{late}]");
        for (text, count) in [(swapped, 1), (late, 1), (array.as_str(), 2)] {
            let Glance::Frames(frames) = Glance::of(text) else { panic!("{text}") };
            assert_eq!(frames.len(), count);
            for frame in frames {
                assert!(matches!(frame, ServerFrame::Message(message) if message.offset == 71), "{text}");
            }
        }
        assert!(matches!(Glance::of("{}"), Glance::Foreign(_)));
        assert!(matches!(Glance::of(r#"{"type":"message","stream":"account"#), Glance::Foreign(_)));
    }

    #[test]
    fn numbers_are_found_behind_their_name() {
        assert_eq!(number_after::<u64>(r#"{"at":123,"x":1}"#, r#""at":"#), Some(123));
        assert_eq!(number_after::<u64>(r#"{"at":"x"}"#, r#""at":"#), None);
        assert_eq!(number_after::<u64>("none", r#""at":"#), None);
    }
}
