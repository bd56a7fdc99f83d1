//! What stands in a person's own room: sealed JSON, one of three things.

use protocol::json::Json;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::rooms::security::Security;

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line.
    pub title: String,
    /// The text.
    pub message: String,
}

/// The body of a message in a person's own room. Told apart by its fields: a form is never changed, only added to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Said {
    /// Something about who may sign in.
    Security {
        /// What.
        security: Security,
        /// How many notices were not read with it.
        unread: u64,
    },
    /// Notices were read.
    Read {
        /// Their ids.
        read: Vec<String>,
        /// How many are not read now.
        unread: u64,
    },
    /// A notice.
    Notice {
        /// What it says.
        #[serde(flatten)]
        notice: Notice,
        /// How many notices were not read with it; not known of older ones.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unread: Option<u64>,
    },
}

impl Said {
    /// Reads a body; nothing if a server wrote something of its own.
    pub fn read(body: &Json) -> Option<Self> {
        body.read().ok()
    }

    /// The notice that it is in the list, if it is one.
    pub fn notice(self) -> Option<Notice> {
        match self {
            Self::Security { security, .. } => Some(security.notice()),
            Self::Read { .. } => None,
            Self::Notice { notice, .. } => Some(notice),
        }
    }

    /// As the body of a message.
    ///
    /// # Errors
    /// None: it is text and numbers.
    pub fn body(&self) -> Result<Json, Failure> {
        Json::of(self).map_err(|_| Failure::of(protocol::code::Code::Internal))
    }
}

#[cfg(test)]
mod tests {
    use protocol::event::room::SecurityKind;

    use super::*;

    #[test]
    fn what_was_written_reads_back_for_ever() {
        let notice = |unread| Said::Notice {
            notice: Notice { kind: "kyc".to_owned(), title: "Documents".to_owned(), message: "Send them.".to_owned() },
            unread,
        };
        let security = Security { device: Some("phone".to_owned()), ..Security::of(SecurityKind::SignedIn) };
        for (text, said) in [
            (r#"{"type":"kyc","title":"Documents","message":"Send them."}"#, notice(None)),
            (r#"{"type":"kyc","title":"Documents","message":"Send them.","unread":3}"#, notice(Some(3))),
            (
                r#"{"security":{"kind":"signed_in","device":"phone"},"unread":1}"#,
                Said::Security { security, unread: 1 },
            ),
            (r#"{"read":["a-1","b-2"],"unread":0}"#, Said::Read { read: vec!["a-1".into(), "b-2".into()], unread: 0 }),
        ] {
            assert_eq!(Said::read(&Json::from_text(text.to_owned()).unwrap()), Some(said.clone()), "{text}");
            assert_eq!(said.body().unwrap().get(), text);
        }
        assert_eq!(Said::read(&Json::from_text(r#"{"text":"hello"}"#.to_owned()).unwrap()), None);
    }
}
