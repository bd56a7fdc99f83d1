//! What an examination finds.

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at; never changes its meaning.
    pub check: &'static str,
    /// Whether it is well.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// Whether something is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is.
    Fine,
    /// It is, but something is to be considered.
    Warning,
    /// A node does not start so, or promises could be broken.
    Wrong,
}

impl Finding {
    pub(super) fn fine(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Fine, found: found.into(), mend: None }
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, found: found.into(), mend: Some(mend.into()) }
    }

    pub(super) fn wrong(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, level: Level::Wrong, found: found.into(), mend: Some(mend.into()) }
    }

    /// As a person reads it.
    pub(super) fn lines(&self) -> Vec<String> {
        let level = match self.level {
            Level::Fine => "fine   ",
            Level::Warning => "warning",
            Level::Wrong => "WRONG  ",
        };
        let mut lines = vec![format!("{level}  {}: {}", self.check, self.found)];
        lines.extend(self.mend.as_ref().map(|mend| format!("         mend: {mend}")));
        lines
    }
}
