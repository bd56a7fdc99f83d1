//! Money on the wire: exact text in, exact number out.

use std::fmt;

use domain::money::{AmountError, Currency, Minor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::FieldCode;

/// An amount as a client wrote it: the text of a JSON number or of a JSON string.
///
/// `1e2`, `0.1` and `"12.50"` are kept to the letter and read by [`Amount::parse`] once the currency
/// is known. What is no number at all (`"abc"`) is found there too, so that it becomes an error of
/// the field and not of the whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount(Box<str>);

/// Why an amount that came in cannot be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountRefused {
    /// Not the text of an amount in this currency.
    #[error(transparent)]
    Unreadable(#[from] AmountError),
    /// Zero or less.
    #[error("must be more than zero")]
    NotPositive,
}

impl Amount {
    /// An amount with this text, as a client would send it in a string.
    pub fn from_text(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The amount of `minor` in `currency`, with all decimals.
    pub fn of(minor: Minor, currency: Currency) -> Self {
        Self(currency.format(minor).into())
    }

    /// The text as it was written, without the quotes if it came in a string.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Reads an amount that a command may move: more than zero, at most the currency's decimals.
    pub fn parse(&self, currency: Currency) -> Result<Minor, AmountRefused> {
        let minor = currency.parse(&self.0)?;
        if minor.is_positive() { Ok(minor) } else { Err(AmountRefused::NotPositive) }
    }

    /// Whether the text is a JSON number and so can be written without quotes.
    fn is_number(&self) -> bool {
        let starts = self.0.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        starts && serde_json::from_str::<&RawValue>(&self.0).is_ok_and(|value| value.get() == &*self.0)
    }
}

impl AmountRefused {
    /// What to call it in a problem's list of fields.
    pub const fn code(self) -> FieldCode {
        match self {
            Self::Unreadable(AmountError::Malformed) => FieldCode::Malformed,
            Self::Unreadable(AmountError::TooPrecise) => FieldCode::TooPrecise,
            Self::Unreadable(AmountError::TooLarge) => FieldCode::TooLarge,
            Self::NotPositive => FieldCode::NotPositive,
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The raw text: going through a number type of serde would go through a float.
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if text.starts_with('"') {
            let text: String = serde_json::from_str(text).map_err(serde::de::Error::custom)?;
            Ok(Self(text.into()))
        } else if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            Ok(Self(text.into()))
        } else {
            Err(serde::de::Error::custom("an amount is a number or a string"))
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_number() { raw(self.0.to_string())?.serialize(serializer) } else { self.0.serialize(serializer) }
    }
}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Number).exclusive_minimum(Some(0)).build();
        let string = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,4})?$"))
            .max_length(Some(64))
            .build();
        OneOfBuilder::new()
            .item(number)
            .item(string)
            .description(Some("More than zero, in the major unit, with at most the currency's decimals. Read exactly."))
            .into()
    }
}

impl ToSchema for Amount {}

/// An amount in the major unit, written as a JSON number with all the currency's decimals: `12.50`.
///
/// Reading one back keeps the decimals as written, so that it serialises identically. It does not
/// know its currency; the field beside it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Major {
    minor: Minor,
    decimals: u32,
}

impl Major {
    /// The amount of `minor` in `currency`.
    pub const fn of(minor: Minor, currency: Currency) -> Self {
        Self { minor, decimals: currency.exponent() }
    }

    /// The count of minor units.
    pub const fn minor(self) -> Minor {
        self.minor
    }
}

impl fmt::Display for Major {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minor.is_negative() { "-" } else { "" };
        let units = self.minor.get().unsigned_abs();
        match 10_u64.checked_pow(self.decimals) {
            None | Some(1) => write!(f, "{sign}{units}"),
            Some(unit) => {
                let width = self.decimals as usize;
                write!(f, "{sign}{}.{:0>width$}", units / unit, units % unit)
            }
        }
    }
}

impl Serialize for Major {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        raw(self.to_string())?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Major {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        read_major(raw.get()).ok_or_else(|| serde::de::Error::custom("not an amount in the major unit"))
    }
}

/// Reads plain decimal text of at most 9 decimals, as [`Major`] writes it.
fn read_major(text: &str) -> Option<Major> {
    let (sign, unsigned) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let units: i64 = format!("{whole}{fraction}").parse().ok()?;
    Some(Major { minor: Minor::new(units * sign), decimals: u32::try_from(fraction.len()).ok()? })
}

impl PartialSchema for Major {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .description(Some("In the major unit, with all the currency's decimals."))
            .examples([12.5])
            .into()
    }
}

impl ToSchema for Major {}

fn raw<E: serde::ser::Error>(text: String) -> Result<Box<RawValue>, E> {
    RawValue::from_string(text).map_err(E::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::money::MINOR_MAX;
    use proptest::prelude::*;

    fn read(json: &str) -> Result<Amount, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn text_is_kept_to_the_letter() {
        for (json, text, minor) in [
            ("1e2", "1e2", Some(10_000)),
            ("0.1", "0.1", Some(10)),
            ("\"12.50\"", "12.50", Some(1250)),
            ("\"1\\u0032\"", "12", Some(1200)),
            ("9007199254740.93", "9007199254740.93", Some(900_719_925_474_093)),
            ("0.30000000000000004", "0.30000000000000004", None),
            ("\"abc\"", "abc", None),
            ("\"\"", "", None),
            ("0", "0", None),
            ("-1", "-1", None),
        ] {
            let amount = read(json).unwrap();
            assert_eq!(amount.text(), text);
            assert_eq!(amount.parse(Currency::Inr).ok().map(Minor::get), minor, "{json}");
        }
        for json in ["null", "true", "[1]", "{}", "NaN", "01", "1.", ".5", "+1", ""] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn refusals_have_codes() {
        for (text, code) in [
            ("x", FieldCode::Malformed),
            ("0.001", FieldCode::TooPrecise),
            ("1e300", FieldCode::TooLarge),
            ("0.00", FieldCode::NotPositive),
            ("-5", FieldCode::NotPositive),
        ] {
            assert_eq!(Amount::from_text(text).parse(Currency::Inr).map_err(AmountRefused::code), Err(code), "{text}");
        }
    }

    #[test]
    fn majors_are_numbers_with_all_decimals() {
        for (currency, minor, text) in [
            (Currency::Inr, 120_000, "1200.00"),
            (Currency::Inr, 5, "0.05"),
            (Currency::Inr, -5, "-0.05"),
            (Currency::Inr, 0, "0.00"),
            (Currency::Jpy, 7, "7"),
            (Currency::Kwd, 7125, "7.125"),
        ] {
            let major = Major::of(Minor::new(minor), currency);
            assert_eq!(serde_json::to_string(&major).unwrap(), text);
            assert_eq!(major.to_string(), currency.format(Minor::new(minor)));
        }
        for text in ["\"1\"", "1e2", "99999999999999999999", "0.0000000001", "null"] {
            assert!(serde_json::from_str::<Major>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_amount_goes_through_a_float(minor in 1..=MINOR_MAX, currency in 0..Currency::ALL.len()) {
            let currency = Currency::ALL[currency];
            let minor = Minor::new(minor);
            let out = serde_json::to_string(&Major::of(minor, currency)).unwrap();
            prop_assert_eq!(&out, &currency.format(minor));
            // What the server writes, a client may send back: as a number and as a string.
            prop_assert_eq!(read(&out).unwrap().parse(currency), Ok(minor));
            prop_assert_eq!(read(&format!("\"{out}\"")).unwrap().parse(currency), Ok(minor));
            prop_assert_eq!(serde_json::from_str::<Major>(&out).unwrap(), Major::of(minor, currency));
            let sent = serde_json::to_string(&Amount::of(minor, currency)).unwrap();
            prop_assert_eq!(sent, out);
        }

        #[test]
        fn any_number_keeps_its_text(text in "(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,5})?") {
            let amount = read(&text).unwrap();
            prop_assert_eq!(amount.text(), &text);
            prop_assert_eq!(serde_json::to_string(&amount).unwrap(), text);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            // Strangers write it: any answer will do, a panic will not.
            let written = serde_json::to_string(&Amount::from_text(text.clone())).unwrap();
            prop_assert_eq!(read(&written).unwrap(), Amount::from_text(text));
        }
    }
}
