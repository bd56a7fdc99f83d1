//! Money: whole minor units of one currency, checked, never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most minor units that one amount or one balance may hold: 10^15.
///
/// Far below `i64::MAX`, so that sums of thousands of balances still fit, and exactly
/// representable in a JavaScript number.
pub const MINOR_MAX: i64 = 1_000_000_000_000_000;

/// An amount or a balance in the minor unit of its currency (paise, cents, fils).
///
/// Has checked operations only: an operator that can overflow does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minor(i64);

impl Minor {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most one account or one command may hold.
    pub const MAX: Self = Self(MINOR_MAX);

    /// Takes a count of minor units as it is. System accounts may be negative.
    pub const fn new(minor: i64) -> Self {
        Self(minor)
    }

    /// The count of minor units.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// `self + other`, if it fits.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// `self − other`, if it fits.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `−self`, if it fits.
    pub fn negated(self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }

    /// More than nothing.
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Less than nothing.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// A balance that a person's account may have: 0 to [`MINOR_MAX`].
    pub const fn is_balance(self) -> bool {
        0 <= self.0 && self.0 <= MINOR_MAX
    }

    /// An amount that a command may move: 1 to [`MINOR_MAX`].
    pub const fn is_amount(self) -> bool {
        0 < self.0 && self.0 <= MINOR_MAX
    }
}

/// An ISO 4217 currency that the platform keeps accounts in.
///
/// The number is what the journal holds; it never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Currency {
    /// Indian rupee, 2 decimals.
    Inr,
    /// Japanese yen, no decimals.
    Jpy,
    /// Kuwaiti dinar, 3 decimals.
    Kwd,
    /// US dollar, 2 decimals.
    Usd,
    /// Euro, 2 decimals.
    Eur,
}

impl Currency {
    /// Every currency, in the journal's order.
    pub const ALL: [Self; 5] = [Self::Inr, Self::Jpy, Self::Kwd, Self::Usd, Self::Eur];

    /// The ISO 4217 code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Inr => "INR",
            Self::Jpy => "JPY",
            Self::Kwd => "KWD",
            Self::Usd => "USD",
            Self::Eur => "EUR",
        }
    }

    /// The number of decimals of the minor unit.
    pub const fn exponent(self) -> u32 {
        match self {
            Self::Jpy => 0,
            Self::Inr | Self::Usd | Self::Eur => 2,
            Self::Kwd => 3,
        }
    }

    /// The currency with this ISO 4217 code, in capitals.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|currency| currency.code() == code)
    }

    /// Reads an amount in the major unit from its decimal text, exactly.
    ///
    /// Takes what JSON takes as a number: an optional sign, digits, an optional fraction and an
    /// optional exponent. `1e2` and `100.00` are the same amount.
    pub fn parse(self, text: &str) -> Result<Minor, AmountError> {
        let decimal = Decimal::parse(text)?;
        let minor = decimal.scaled(self.exponent())?;
        if minor > MINOR_MAX {
            return Err(AmountError::TooLarge);
        }
        let minor = Minor::new(minor);
        if decimal.negative { minor.negated().ok_or(AmountError::TooLarge) } else { Ok(minor) }
    }

    /// Writes an amount in the major unit with all its decimals: `-0.05`, `1200.00`.
    pub fn format(self, amount: Minor) -> String {
        let exponent = self.exponent();
        let digits = format!(
            "{:0>width$}",
            amount.get().unsigned_abs(),
            width = usize::try_from(exponent).unwrap_or(0).saturating_add(1)
        );
        let sign = if amount.is_negative() { "-" } else { "" };
        let (major, minor) = digits.split_at(digits.len().saturating_sub(usize::try_from(exponent).unwrap_or(0)));
        if minor.is_empty() { format!("{sign}{major}") } else { format!("{sign}{major}.{minor}") }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number.
    #[error("is not a decimal number")]
    Malformed,
    /// More decimals than the currency has.
    #[error("has more decimals than the currency")]
    TooPrecise,
    /// More than [`MINOR_MAX`].
    #[error("is larger than any amount may be")]
    TooLarge,
}

/// The most characters an amount's text may have. Bounds the work before it is understood.
const TEXT_MAX: usize = 64;

/// A decimal number as it was written: `digits × 10^scale`.
struct Decimal {
    negative: bool,
    digits: String,
    scale: i32,
}

impl Decimal {
    fn parse(text: &str) -> Result<Self, AmountError> {
        if text.len() > TEXT_MAX {
            return Err(AmountError::Malformed);
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return Err(AmountError::Malformed),
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err(AmountError::Malformed);
        }
        let mut digits = format!("{whole}{fraction}");
        let mut scale = exponent.saturating_sub(i32::try_from(fraction.len()).map_err(|_| AmountError::Malformed)?);
        while digits.len() > 1 && digits.ends_with('0') {
            digits.pop();
            scale = scale.saturating_add(1);
        }
        Ok(Self { negative, digits, scale })
    }

    /// The number times `10^decimals`, which must be whole and no larger than a `u64`'s half.
    fn scaled(&self, decimals: u32) -> Result<i64, AmountError> {
        let mut value: i64 = self.digits.trim_start_matches('0').parse().or_else(|_| {
            if self.digits.bytes().all(|digit| digit == b'0') { Ok(0) } else { Err(AmountError::TooLarge) }
        })?;
        if value == 0 {
            return Ok(0);
        }
        let shift = self.scale.saturating_add(i32::try_from(decimals).map_err(|_| AmountError::Malformed)?);
        if shift < 0 {
            return Err(AmountError::TooPrecise);
        }
        for _ in 0..shift {
            value = value.checked_mul(10).ok_or(AmountError::TooLarge)?;
        }
        Ok(value)
    }
}

fn parse_exponent(text: &str) -> Result<i32, AmountError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AmountError::Malformed);
    }
    text.strip_prefix('+').unwrap_or(text).parse().map_err(|_| AmountError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_exactly() {
        let cases = [
            (Currency::Inr, "1", Ok(100)),
            (Currency::Inr, "0.05", Ok(5)),
            (Currency::Inr, "19.9", Ok(1990)),
            (Currency::Inr, "1e2", Ok(10_000)),
            (Currency::Inr, "1.5E+1", Ok(1500)),
            (Currency::Inr, "100e-2", Ok(100)),
            (Currency::Inr, "1.230", Ok(123)),
            (Currency::Inr, "-4.20", Ok(-420)),
            (Currency::Inr, "0", Ok(0)),
            (Currency::Inr, "0e9999", Ok(0)),
            (Currency::Inr, "0.001", Err(AmountError::TooPrecise)),
            (Currency::Inr, "10000000000000", Ok(MINOR_MAX)),
            (Currency::Inr, "10000000000000.01", Err(AmountError::TooLarge)),
            (Currency::Inr, "1e400", Err(AmountError::TooLarge)),
            (Currency::Inr, "99999999999999999999999999", Err(AmountError::TooLarge)),
            (Currency::Inr, "", Err(AmountError::Malformed)),
            (Currency::Inr, "1.", Err(AmountError::Malformed)),
            (Currency::Inr, ".5", Err(AmountError::Malformed)),
            (Currency::Inr, "+1", Err(AmountError::Malformed)),
            (Currency::Inr, "1e", Err(AmountError::Malformed)),
            (Currency::Inr, "0x10", Err(AmountError::Malformed)),
            (Currency::Inr, "NaN", Err(AmountError::Malformed)),
            (Currency::Inr, "1 ", Err(AmountError::Malformed)),
            (Currency::Inr, "١", Err(AmountError::Malformed)),
            (Currency::Jpy, "7", Ok(7)),
            (Currency::Jpy, "7.5", Err(AmountError::TooPrecise)),
            (Currency::Kwd, "7.125", Ok(7125)),
        ];
        for (currency, text, expected) in cases {
            assert_eq!(currency.parse(text).map(Minor::get), expected, "{currency} {text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(minor in -MINOR_MAX..=MINOR_MAX, currency in 0_usize..Currency::ALL.len()) {
            let currency = Currency::ALL[currency];
            let text = currency.format(Minor::new(minor));
            prop_assert_eq!(currency.parse(&text), Ok(Minor::new(minor)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,70}") {
            // The text of an amount comes from strangers: any answer is fine, a panic is not.
            if let Ok(minor) = Currency::Inr.parse(&text) {
                prop_assert!(minor.get().abs() <= MINOR_MAX);
            }
        }
    }
}
