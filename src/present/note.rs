//! The words of a command: description and category, sealed together.

use domain::ids::UserId;
use domain::sealed::Sealed;
use protocol::code::Code;
use protocol::http::account::{CATEGORY_CHARS_MAX, DESCRIPTION_CHARS_MAX};
use protocol::problem::{FieldCode, FieldError};
use serde::{Deserialize, Serialize};
use storage::sealing::{Purpose, Sealer};

use crate::failure::Failure;

/// What its writer said about a transfer or hold. Stored as sealed JSON; fields are only ever added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What for.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The writer's own label, shown to nobody else.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

impl Note {
    /// Takes what a request says. Blank text is none.
    ///
    /// # Errors
    /// The fields that are too long.
    pub fn parse(description: Option<&str>, category: Option<&str>) -> Result<Self, Failure> {
        let mut errors = Vec::new();
        let mut take = |field: &'static str, text: Option<&str>, most: usize| {
            let text = text.map(str::trim).filter(|text| !text.is_empty())?;
            if text.chars().count() > most {
                errors.push(FieldError::of(field, FieldCode::TooLong, format!("has at most {most} characters")));
            }
            Some(text.to_owned())
        };
        let description = take("description", description, DESCRIPTION_CHARS_MAX);
        let category = take("category", category, CATEGORY_CHARS_MAX);
        if errors.is_empty() { Ok(Self { description, category }) } else { Err(Failure::fields(errors)) }
    }

    /// The note under its writer's key; nothing if nothing was said.
    ///
    /// # Errors
    /// The writer was erased, or the store does not answer.
    pub async fn seal(&self, sealer: &Sealer, writer: UserId) -> Result<Option<Sealed>, Failure> {
        if *self == Self::default() {
            return Ok(None);
        }
        let text = serde_json::to_string(self).map_err(|_| Failure::of(Code::Internal))?;
        let sealed = sealer.seal(writer, Purpose::Description, &text).await?;
        sealed.map(Some).ok_or_else(|| Failure::of(Code::TokenInvalid))
    }

    /// The note as `viewer` may read it: nothing of it if its writer was erased, the category only if they wrote it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn open(sealer: &Sealer, sealed: Option<&Sealed>, viewer: UserId) -> Result<Self, Failure> {
        let Some(sealed) = sealed else { return Ok(Self::default()) };
        let opened = match sealer.unseal(Purpose::Description, sealed).await {
            Ok(Some(text)) => serde_json::from_str::<Self>(&text).ok(),
            Ok(None) => return Ok(Self::default()),
            Err(error @ storage::Error::Unavailable(_)) => return Err(error.into()),
            Err(error) => {
                // One damaged note must not make a whole statement unreadable.
                tracing::error!(%error, writer = %sealed.owner, "a note cannot be read");
                None
            }
        };
        let mut note = opened.unwrap_or_default();
        if sealed.owner != viewer {
            note.category = None;
        }
        Ok(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_is_nothing_and_long_is_refused() {
        assert_eq!(Note::parse(Some("  "), None).unwrap(), Note::default());
        let note = Note::parse(Some(" tea "), Some("food")).unwrap();
        assert_eq!((note.description.as_deref(), note.category.as_deref()), (Some("tea"), Some("food")));
        assert!(Note::parse(Some(&"न".repeat(280)), Some(&"x".repeat(64))).is_ok());
        let failure = Note::parse(Some(&"x".repeat(281)), Some(&"x".repeat(65))).unwrap_err();
        let fields: Vec<_> = failure.errors.iter().map(|error| (error.field.as_str(), error.code)).collect();
        assert_eq!(fields, [("description", FieldCode::TooLong), ("category", FieldCode::TooLong)]);
    }

    #[test]
    fn a_stored_note_does_not_change_its_form() {
        let note = Note { description: Some("tea".into()), category: Some("food".into()) };
        assert_eq!(serde_json::to_string(&note).unwrap(), r#"{"d":"tea","c":"food"}"#);
        assert_eq!(serde_json::from_str::<Note>(r#"{"d":"tea","later":1}"#).unwrap().description.unwrap(), "tea");
    }
}
