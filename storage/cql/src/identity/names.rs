//! Finding people by what another person may type: names and handles by their beginning, an address whole.
//!
//! A name is a row under its first letter and one under its first three: three letters are a partition of bounded size
//! in which most searches look, one letter serves who has typed no more. Rows are stamped with the person's version.

use std::collections::HashSet;

use domain::ids::{QuickpeId, UserId};
use storage::Error;
use storage::identity::{Email, Person, SEARCH_MAX, User, folded};
use uuid::Uuid;

use super::People;
use super::person::Row;
use crate::number::{limit, to_cql};
use crate::statements::Named;

/// Letters of the partitions in which longer texts are searched.
const INITIAL_CHARS: usize = 3;

/// How many times as many rows are read as people are asked for: a person has two names, and some rows are old.
const ROWS_A_PERSON: usize = 3;

/// What is after every text that begins as another does.
const LAST: char = char::MAX;

impl People {
    /// Makes a person findable by name and handle.
    pub(super) async fn index_names(&self, user: UserId, row: &Row) -> Result<(), Error> {
        let stamp = stamp(row)?;
        for (initial, name) in rows(row) {
            self.cql.write(Named::NamePut, (initial, name, user.0, stamp)).await?;
        }
        Ok(())
    }

    /// Takes names out that a person had `before` and has not `after`.
    pub(super) async fn unindex_names(&self, user: UserId, before: &Row, after: &Row) -> Result<(), Error> {
        let (stamp, kept) = (stamp(after)?, rows(after));
        for (initial, name) in rows(before).difference(&kept) {
            self.cql.write(Named::NameRemove, (stamp, initial, name, user.0)).await?;
        }
        Ok(())
    }

    /// Takes all names of a person out.
    pub(super) async fn unindex_all(&self, user: UserId, row: &Row) -> Result<(), Error> {
        let nobody = Row { first_name: None, last_name: None, version: row.version.saturating_add(1), ..row.clone() };
        self.unindex_names(user, row, &nobody).await?;
        let handle = folded(&row.quickpe_id.to_string());
        for initial in initials(&handle) {
            self.cql.write(Named::NameRemove, (stamp(&nobody)?, initial, &handle, user.0)).await?;
        }
        Ok(())
    }

    /// Live people that a text finds.
    pub(super) async fn search(&self, text: &str, count: usize) -> Result<Vec<User>, Error> {
        let (text, count) = (folded(text), count.min(SEARCH_MAX));
        if text.is_empty() || count == 0 {
            return Ok(Vec::new());
        }
        if text.contains('@') {
            let Ok(email) = Email::parse(&text) else { return Ok(Vec::new()) };
            return Ok(self.by_email(&email).await?.into_iter().collect());
        }
        let Some(initial) = initials(&text).pop() else { return Ok(Vec::new()) };
        let rows = limit(count.saturating_mul(ROWS_A_PERSON));
        let values = (initial, &text, format!("{text}{LAST}"), rows);
        let found = self.cql.rows::<(String, Uuid)>(Named::NamesFrom, values).await?;
        let mut seen = HashSet::new();
        let ids: Vec<UserId> = found.into_iter().map(|(_, user)| UserId(user)).filter(|id| seen.insert(*id)).collect();
        let mut people = Vec::new();
        for id in ids {
            if people.len() == count {
                break;
            }
            people.extend(self.find(id).await?.and_then(Person::live).filter(|user| is_found_by(user, &text)));
        }
        Ok(people)
    }
}

/// Whether a person has a name that begins with a folded text, or a handle that does and of which `qp` is not all.
fn is_found_by(user: &User, text: &str) -> bool {
    let handle = user.quickpe_id.to_string();
    let by_handle = text.len() > 2 && folded(&handle).starts_with(text) && is_possible(text);
    by_handle || [&user.first_name, &user.last_name].iter().any(|name| folded(name.as_str()).starts_with(text))
}

/// Whether a text may begin a handle: a whole one has a check digit that agrees.
fn is_possible(text: &str) -> bool {
    text.len() < 12 || text.to_uppercase().parse::<QuickpeId>().is_ok()
}

/// The rows that lead to a person: initial and folded name.
fn rows(row: &Row) -> HashSet<(String, String)> {
    let names = [row.first_name.as_deref(), row.last_name.as_deref()].into_iter().flatten().map(folded);
    let all = names.chain([folded(&row.quickpe_id.to_string())]);
    all.flat_map(|name| initials(&name).into_iter().map(move |initial| (initial, name.clone()))).collect()
}

/// The partitions of a name, the smallest last. Nobody is looked for by the first letters of all handles.
fn initials(name: &str) -> Vec<String> {
    let first = |count: usize| name.chars().take(count).collect::<String>();
    let is_handle = name.strip_prefix("qp").is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit()));
    let mut initials = vec![first(1), first(INITIAL_CHARS)];
    initials.retain(|initial| !(initial.is_empty() || is_handle && initial.len() == 1));
    initials.dedup();
    // A name of two letters is in the partition of its first letter, in which texts so short are searched.
    if name.chars().count() < INITIAL_CHARS {
        initials.truncate(1);
    }
    initials
}

fn stamp(row: &Row) -> Result<i64, Error> {
    to_cql(row.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_names() {
        for (name, expected) in [
            ("asha", vec!["a", "ash"]),
            ("émile", vec!["é", "émi"]),
            ("li", vec!["l"]),
            ("x", vec!["x"]),
            ("qp1234567897", vec!["qp1"]),
            ("qpradeep", vec!["q", "qpr"]),
            ("", vec![]),
        ] {
            assert_eq!(initials(name), expected, "{name}");
        }
    }
}
