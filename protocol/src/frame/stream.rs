//! Names of streams, and places in them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which stream.
///
/// A name that nobody knows is kept, so that whoever answers can name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamName {
    /// One's own money.
    Account,
    /// One's own notices.
    User,
    /// A room, by its id.
    Room(Box<str>),
    /// None that this version knows.
    Unknown(Box<str>),
}

impl StreamName {
    /// The stream of this name.
    pub fn of(name: &str) -> Self {
        match name {
            "account" => Self::Account,
            "user" => Self::User,
            other => match other.strip_prefix("room:") {
                Some(id) if !id.is_empty() => Self::Room(id.into()),
                _ => Self::Unknown(other.into()),
            },
        }
    }

    /// How many bytes the name has.
    pub(crate) fn name_len(&self) -> usize {
        match self {
            Self::Account | Self::User => 0,
            Self::Room(name) | Self::Unknown(name) => name.len(),
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("account"),
            Self::User => f.write_str("user"),
            Self::Room(id) => write!(f, "room:{id}"),
            Self::Unknown(name) => f.write_str(name),
        }
    }
}

impl Serialize for StreamName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| Self::of(&name))
    }
}

/// A place in a stream: everything up to this offset is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The life of the store's streams that the offset belongs to.
    pub epoch: Box<str>,
    /// The offset; 0 is before the first event.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for (name, stream) in [
            ("account", StreamName::Account),
            ("user", StreamName::User),
            ("room:7", StreamName::Room("7".into())),
            ("room:", StreamName::Unknown("room:".into())),
            ("Account", StreamName::Unknown("Account".into())),
            ("", StreamName::Unknown("".into())),
        ] {
            assert_eq!(StreamName::of(name), stream);
            assert_eq!(stream.to_string(), name);
        }
    }
}
