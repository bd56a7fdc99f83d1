//! A file of people: a user's id, a tab and an access token a line.

use std::path::Path;

use anyhow::{Context, ensure};

use super::Bearer;

/// The most people of a file.
const PEOPLE_MAX: usize = 1_000_000;

/// Reads a file.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Bearer>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let people = parse(&text).with_context(|| path.display().to_string())?;
    ensure!(!people.is_empty(), "{} names nobody", path.display());
    Ok(people)
}

fn parse(text: &str) -> anyhow::Result<Vec<Bearer>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .take(PEOPLE_MAX)
        .map(|(number, line)| {
            let (id, token) = line.split_once('\t').with_context(|| format!("line {}: no tab", number + 1))?;
            let id = id.trim().parse().with_context(|| format!("line {}: no user id", number + 1))?;
            Ok(Bearer { id, token: token.trim().to_owned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_an_id_and_a_token_a_line() {
        let people =
            parse("0193503e-6f00-7000-8000-000000000001\ta.b.c\n\n0193503e-6f00-7000-8000-000000000002\td.e.f\r\n");
        let people = people.unwrap();
        assert_eq!(people.len(), 2);
        assert_eq!(people[1].token, "d.e.f");
        let error = parse("\n0193503e-6f00-7000-8000-000000000001 a.b.c").map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
