//! Where a person is, as coarsely as rooms of regions need it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::room::kind::{Label, RoomKind};

/// The longest region, as `FR-20R`, in bytes.
const BYTES_MAX: usize = 6;

/// The letters of a country.
const COUNTRY_BYTES: usize = 2;

/// A country (ISO 3166-1 alpha-2, `IN`), or a part of one (ISO 3166-2, `IN-MH`). Read without case, written in upper
/// case. Whether the standard lists it is not asked: lists change, and a room that nobody writes to does no harm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    /// Padded with zeros.
    bytes: [u8; BYTES_MAX],
}

/// The text is no region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a country such as IN, or a part of one such as IN-MH")]
pub struct NotARegion;

impl Region {
    /// The text.
    pub fn as_str(&self) -> &str {
        let text = self.bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        // Always ASCII: only parsing makes one.
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// The rooms that are of all who are here: the country's, and the part's if it is one.
    pub fn rooms(&self) -> impl Iterator<Item = RoomKind> {
        let text = self.as_str();
        let country = text.get(..COUNTRY_BYTES).unwrap_or(text);
        let part = (text.len() > COUNTRY_BYTES).then_some(text);
        let labels = std::iter::once(country).chain(part).filter_map(|text| text.parse::<Label>().ok());
        labels.map(RoomKind::Region).collect::<Vec<_>>().into_iter()
    }
}

impl FromStr for Region {
    type Err = NotARegion;

    fn from_str(text: &str) -> Result<Self, NotARegion> {
        let (country, part) = text.split_once('-').map_or((text, None), |(country, part)| (country, Some(part)));
        let is_country = country.len() == COUNTRY_BYTES && country.bytes().all(|byte| byte.is_ascii_alphabetic());
        let is_part =
            |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_country || !part.is_none_or(is_part) {
            return Err(NotARegion);
        }
        let mut bytes = [0; BYTES_MAX];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from.to_ascii_uppercase();
        }
        Ok(Self { bytes })
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({self})")
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_country_or_a_part_of_one() {
        for (text, expected, rooms) in
            [("IN", "IN", &["in"][..]), ("in-mh", "IN-MH", &["in", "in-mh"]), ("US-1a2", "US-1A2", &["us", "us-1a2"])]
        {
            let region: Region = text.parse().unwrap();
            assert_eq!((region.to_string().as_str(), region.as_str()), (expected, expected));
            let expected: Vec<_> = rooms.iter().map(|label| RoomKind::Region(label.parse().unwrap())).collect();
            assert_eq!(region.rooms().collect::<Vec<_>>(), expected, "{text}");
        }
        for wrong in ["", "I", "IND", "IN-", "IN-ABCD", "I1", "IN_MH", "IN-M-H", "ü", "IN-M\0"] {
            assert_eq!(wrong.parse::<Region>(), Err(NotARegion), "{wrong:?}");
        }
    }
}
