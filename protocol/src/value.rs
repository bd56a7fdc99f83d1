//! Small values as the wire writes them: times, handles, currencies, scopes.

use std::fmt;

use domain::ids::QuickpeId;
use domain::money::Currency;
use domain::time::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A time: RFC 3339, UTC, with milliseconds.
///
/// The ledger's microseconds are cut when it is made, so that two times are equal if they read alike.
/// Reads any offset and any precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Timestamp);

impl Time {
    /// The millisecond of `at`.
    pub const fn of(at: Timestamp) -> Self {
        Self(Timestamp(at.0 - at.0 % 1000))
    }

    /// The time, whole in milliseconds.
    pub const fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self::of(at)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        // A time past the calendar's end is shown as its end.
        let micros = i64::try_from(self.0.0).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
        f.write_str(&PRINTER.timestamp_to_string(&at))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(|_| serde::de::Error::custom("is not an RFC 3339 time"))?;
        let micros = u64::try_from(at.as_microsecond()).map_err(|_| serde::de::Error::custom("is before 1970"))?;
        Ok(Self::of(Timestamp(micros)))
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples(["2026-11-22T17:47:41.123Z"])
            .into()
    }
}

impl ToSchema for Time {}

/// A person's public handle: `QP` and ten digits, the last a check digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub QuickpeId);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<QuickpeId> for Handle {
    fn from(id: QuickpeId) -> Self {
        Self(id)
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl PartialSchema for Handle {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^QP\d{10}$"))
            .description(Some("A person's public handle; the last digit is a check digit."))
            .into()
    }
}

impl ToSchema for Handle {}

/// A currency by its ISO 4217 code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CurrencyCode(pub Currency);

impl From<Currency> for CurrencyCode {
    fn from(currency: Currency) -> Self {
        Self(currency)
    }
}

impl Serialize for CurrencyCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.code())
    }
}

impl<'de> Deserialize<'de> for CurrencyCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Currency::from_code(&code).map(Self).ok_or_else(|| serde::de::Error::custom("is not a currency kept here"))
    }
}

impl PartialSchema for CurrencyCode {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Currency::ALL.map(Currency::code)))
            .description(Some("ISO 4217 code."))
            .into()
    }
}

impl ToSchema for CurrencyCode {}

/// What a freeze stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FreezeScope {
    /// Money going out.
    Debit,
    /// Money coming in.
    Credit,
    /// Both.
    All,
}

/// What a person may do beyond their own money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nothing.
    User,
    /// Fund accounts where people may not do so themselves.
    Treasury,
    /// Freeze accounts, see and resolve dead letters.
    Admin,
    /// See what became of people's messages.
    Support,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        let at = Timestamp(1_795_369_661_123_999);
        let time = Time::of(at);
        let text = serde_json::to_string(&time).unwrap();
        assert_eq!(text, "\"2026-11-22T17:47:41.123Z\"");
        assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), time);
        assert_eq!(Time::of(Timestamp::EPOCH).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(serde_json::from_str::<Time>("\"2026-11-22T23:17:41.123456+05:30\"").unwrap(), time);
        assert!(Time::of(Timestamp(u64::MAX)).to_string().starts_with("9999-12-30"));
        for text in ["\"1969-12-31T23:59:59Z\"", "\"yesterday\"", "5", "\"2026-11-22\""] {
            assert!(serde_json::from_str::<Time>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn handles_and_currencies_read_back() {
        let handle = Handle(QuickpeId::new(123_456_789).unwrap());
        let text = serde_json::to_string(&handle).unwrap();
        assert_eq!(serde_json::from_str::<Handle>(&text).unwrap(), handle);
        assert!(serde_json::from_str::<Handle>("\"QP0000000001\"").is_err());
        assert_eq!(serde_json::to_string(&CurrencyCode(Currency::Kwd)).unwrap(), "\"KWD\"");
        assert!(serde_json::from_str::<CurrencyCode>("\"inr\"").is_err());
    }
}
