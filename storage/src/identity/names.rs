//! Names and e-mail addresses: parsed once, compared in one form.

use std::fmt;

/// An e-mail address in the form in which two are compared: trimmed, in lower case.
///
/// The part before the `@` may in theory be told apart by case; no provider of note does, and two
/// people with addresses that differ by case only are the same person or a fraud.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

/// The text is no e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an e-mail address")]
pub struct NotAnEmail;

impl Email {
    /// Takes an address of at most 254 bytes (RFC 5321): something, `@`, and a domain of dotted labels.
    /// Whether it exists only a message to it can tell.
    pub fn parse(text: &str) -> Result<Self, NotAnEmail> {
        let text = text.trim().to_lowercase();
        let (local, host) = text.rsplit_once('@').ok_or(NotAnEmail)?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '<' | '>' | ',' | ';' | '"');
        let label = |label: &str| {
            !label.is_empty() && label.len() <= 63 && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        let sound = text.len() <= 254
            && (1..=64).contains(&local.len())
            && !local.contains(odd)
            && host.contains('.')
            && host.split('.').all(label);
        if sound { Ok(Self(text)) } else { Err(NotAnEmail) }
    }

    /// An address that a store holds: it was parsed before it was written.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address as others may see it: `a***@example.com`.
    pub fn masked(&self) -> String {
        let (local, host) = self.0.rsplit_once('@').unwrap_or((&self.0, ""));
        format!("{}***@{host}", local.chars().next().unwrap_or('*'))
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

/// A first or last name: trimmed, 1 to 64 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonName(String);

/// The text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a name: 1 to 64 characters")]
pub struct NotAName;

impl PersonName {
    /// Takes a name.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let text = text.trim();
        let sound = (1..=64).contains(&text.chars().count()) && !text.contains(char::is_control);
        if sound { Ok(Self(text.to_owned())) } else { Err(NotAName) }
    }

    /// A name that a store holds: it was parsed before it was written.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonName(..)")
    }
}

/// The form in which names are searched: trimmed, in lower case.
pub fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("asha@example.com", Some("asha@example.com")),
            ("  Asha.Rao+upi@Example.CO.IN ", Some("asha.rao+upi@example.co.in")),
            ("आशा@उदाहरण.भारत", Some("आशा@उदाहरण.भारत")),
            ("asha@münchen.de", Some("asha@münchen.de")),
            ("asha", None),
            ("asha@", None),
            ("@example.com", None),
            ("asha@example", None),
            ("asha@example..com", None),
            ("a b@example.com", None),
            ("a@b@example.com", None),
            ("asha@example.com\r\nBcc: x@y.z", None),
            ("<asha@example.com>", None),
        ] {
            assert_eq!(Email::parse(text).ok().as_ref().map(Email::as_str), expected, "{text:?}");
        }
        assert!(Email::parse(&format!("{}@example.com", "a".repeat(65))).is_err());
        assert!(Email::parse(&format!("a@{}com", "b.".repeat(130))).is_err());
        assert_eq!(Email::parse("Asha@example.com").unwrap().masked(), "a***@example.com");
        assert_eq!(format!("{:?}", Email::parse("asha@example.com")), "Ok(Email(..))");
    }

    #[test]
    fn names() {
        assert_eq!(PersonName::parse(" Asha ").unwrap().as_str(), "Asha");
        assert_eq!(PersonName::parse(&"न".repeat(64)).unwrap().as_str().chars().count(), 64);
        for wrong in ["", "  ", "a\u{7}b", &"x".repeat(65)] {
            assert_eq!(PersonName::parse(wrong), Err(NotAName), "{wrong:?}");
        }
        assert_eq!(folded(" ÉMILE "), "émile");
    }
}
