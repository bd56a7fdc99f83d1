//! Finding people by what another person may type.

use std::collections::HashSet;
use std::ops::Range;

use domain::ids::QuickpeId;
use redb::ReadTransaction;

use super::people;
use super::records::{NAMES, PEOPLE, QUICKPE_IDS, user};
use crate::embedded::database::Failed;
use crate::identity::{Email, Person, User, folded};

/// At most `limit` live people: by whole e-mail, else by handle, then by name.
///
/// Reads at most `limit` rows of handles and `2 × limit` of names: a person has two of these at most.
/// A handle of an erased person takes a place without filling it.
pub(super) fn search(txn: &ReadTransaction, text: &str, limit: usize) -> Result<Vec<User>, Failed> {
    let text = folded(text);
    if text.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    if text.contains('@') {
        let email = Email::parse(&text).ok();
        let found = email.map(|email| people::by_email(txn, &email)).transpose()?.flatten();
        return Ok(found.into_iter().collect());
    }
    let mut ids = Vec::new();
    if let Some(range) = handles(&text) {
        for row in txn.open_table(QUICKPE_IDS)?.range(range)?.take(limit) {
            ids.push(row?.1.value());
        }
        // The last of ten digits only checks the others.
        if text.len() == 12 {
            ids.retain(|_| text.to_uppercase().parse::<QuickpeId>().is_ok());
        }
    }
    for row in txn.open_table(NAMES)?.range((text.as_str(), 0)..)?.take(limit.saturating_mul(2)) {
        let row = row?;
        let (name, id) = row.0.value();
        if !name.starts_with(&text) {
            break;
        }
        ids.push(id);
    }
    let table = txn.open_table(PEOPLE)?;
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for id in ids {
        if found.len() < limit
            && seen.insert(id)
            && let Some(user) = people::get(&table, user(id))?.and_then(Person::live)
        {
            found.push(user);
        }
    }
    Ok(found)
}

/// The nine-digit numbers of the handles that begin with a folded text: `qp` and 1 to 10 digits.
fn handles(text: &str) -> Option<Range<u32>> {
    let digits = text.strip_prefix("qp").filter(|digits| (1..=10).contains(&digits.len()))?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.get(..9).unwrap_or(digits);
    let first: u32 = digits.parse().ok()?;
    let width = 10_u32.pow(9_u32.saturating_sub(u32::try_from(digits.len()).ok()?));
    Some(first.saturating_mul(width)..first.saturating_add(1).saturating_mul(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_by_prefix() {
        for (text, expected) in [
            ("qp1", Some(100_000_000..200_000_000)),
            ("qp12345678", Some(123_456_780..123_456_790)),
            ("qp123456789", Some(123_456_789..123_456_790)),
            ("qp1234567897", Some(123_456_789..123_456_790)),
            ("qp9", Some(900_000_000..1_000_000_000)),
            ("qp", None),
            ("qp12345678970", None),
            ("qp1x", None),
            ("1", None),
        ] {
            assert_eq!(handles(text), expected, "{text}");
        }
    }
}
