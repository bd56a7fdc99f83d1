//! The bodies of messages of this run: a tag and a version, so that each can be told from every other.

use protocol::event::room::{MessageNew, MessageUpdate};
use protocol::json::Json;
use serde::{Deserialize, Serialize};

use super::history::Shows;

/// A body.
#[derive(Serialize, Deserialize)]
struct Words {
    /// The message's tag.
    tag: String,
    /// 0 as it was said, then as it was edited.
    version: u32,
    /// So that bodies are of different lengths.
    padding: String,
}

/// Writes a body. Its length follows from the tag and the version.
pub(crate) fn write(tag: &str, version: u32) -> serde_json::Result<Json> {
    let sum = tag.bytes().fold(version as usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let padding = "x".repeat(sum % 400);
    Json::of(&Words { tag: tag.to_owned(), version, padding })
}

/// Reads a body.
pub(crate) fn read(body: Option<&Json>) -> Shows {
    match body.and_then(|body| body.read::<Words>().ok()) {
        Some(Words { tag, version, .. }) => Shows::Words { tag, version },
        None => Shows::Strange,
    }
}

/// What a message shows.
pub(crate) fn of_new(new: &MessageNew) -> Shows {
    if new.gone.is_some() { Shows::Deleted } else { read(new.body.as_ref()) }
}

/// What a change of a message shows. The words of an edit go when its message is deleted.
pub(crate) fn of_update(update: &MessageUpdate) -> Shows {
    if update.body.is_none() { Shows::Deleted } else { read(update.body.as_ref()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        let body = write("tag", 3).unwrap();
        assert_eq!(read(Some(&body)), Shows::Words { tag: "tag".into(), version: 3 });
        assert_eq!(read(Json::of("tag").ok().as_ref()), Shows::Strange);
        assert_eq!(read(None), Shows::Strange);
    }
}
