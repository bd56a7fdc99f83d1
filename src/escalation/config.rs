//! Where escalations go: the configuration of the webhook and of mail.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Profile};

/// The fewest characters of the webhook's secret: 32 of base64 are 192 bits.
const SECRET_CHARS_MIN: usize = 32;

/// The most attempts: with doubling pauses of at most five minutes, an afternoon.
const ATTEMPTS_MAX: u32 = 32;

/// The longest time-out or first pause: a minute.
const WAIT_MS_MAX: u64 = 60_000;

/// Where escalations go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EscalationConfig {
    /// To a server of yours.
    pub webhook: WebhookConfig,
    /// To the person's e-mail.
    pub mail: MailConfig,
}

/// How often a sink is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// How often in all.
    pub attempts: u32,
    /// Milliseconds before the second, doubled for each further one.
    pub backoff_ms: u64,
}

/// The webhook.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where it is posted: an `https` URL. Default none: there is no webhook.
    pub url: Option<String>,
    /// The key of its signatures, at least 32 characters. Needed with `url`.
    pub secret: Option<String>,
    /// Whether it may go to private, loopback and link-local addresses, and over plain `http`. Default no.
    pub allow_private: bool,
    /// Milliseconds that one attempt may take, at most a minute. Default 10,000.
    pub timeout_ms: u64,
    /// How often is tried, 1 to 32. Default 8.
    pub attempts: u32,
    /// Milliseconds before the second attempt, doubled for each further one up to five minutes, at random between half
    /// and one and a half. Default 1,000.
    pub backoff_ms: u64,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { url: None, secret: None, allow_private: false, timeout_ms: 10_000, attempts: 8, backoff_ms: 1_000 }
    }
}

/// Logs get no secret.
impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookConfig({:?}, {} attempts)", self.url, self.attempts)
    }
}

/// Mail.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// How mail goes: `off`, `file` (each a file in `DATA/mail`) or `smtp`. Default `file` in development, else `off`.
    pub transport: Option<MailTransport>,
    /// Whom it is from. Default `QuickPe <no-reply@quickpe.invalid>`.
    pub from: String,
    /// The SMTP server. Needed for `smtp`.
    pub host: Option<String>,
    /// Its port. Default 465, or 587 with `starttls`.
    pub port: Option<u16>,
    /// How the connection is encrypted: `implicit` or `starttls`. Default `implicit`.
    pub tls: MailTls,
    /// Who signs in there. Default nobody.
    pub user: Option<String>,
    /// Their password.
    pub password: Option<String>,
    /// Milliseconds that one attempt may take, at most a minute. Default 10,000.
    pub timeout_ms: u64,
    /// How often is tried, 1 to 32. Default 4.
    pub attempts: u32,
    /// Milliseconds before the second attempt, as of the webhook. Default 2,000.
    pub backoff_ms: u64,
}

/// How mail goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTransport {
    /// Not at all.
    Off,
    /// Into files.
    File,
    /// To an SMTP server.
    Smtp,
}

/// How a connection to an SMTP server is encrypted. It always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// From its first byte on.
    #[default]
    Implicit,
    /// After `STARTTLS`, without which nothing is sent.
    Starttls,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            transport: None,
            from: "QuickPe <no-reply@quickpe.invalid>".to_owned(),
            host: None,
            port: None,
            tls: MailTls::Implicit,
            user: None,
            password: None,
            timeout_ms: 10_000,
            attempts: 4,
            backoff_ms: 2_000,
        }
    }
}

/// Logs get no secret.
impl fmt::Debug for MailConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailConfig({:?}, {:?}, {} attempts)", self.transport, self.host, self.attempts)
    }
}

impl MailConfig {
    /// How mail goes in a profile.
    pub fn transport(&self, profile: Profile) -> MailTransport {
        self.transport.unwrap_or(match profile {
            Profile::Development => MailTransport::File,
            Profile::Production => MailTransport::Off,
        })
    }
}

impl EscalationConfig {
    /// Checks ranges, and what needs what.
    ///
    /// # Errors
    /// The first value that cannot be used, with its key.
    pub fn check(&self, profile: Profile) -> Result<(), ConfigError> {
        let wrong = |key: &str, why: &str| Err(ConfigError::new(format!("`escalation.{key}` {why}")));
        let (webhook, mail) = (&self.webhook, &self.mail);
        if webhook.url.is_some() {
            let chars = webhook.secret.as_ref().map_or(0, |secret| secret.chars().count());
            if chars < SECRET_CHARS_MIN {
                return wrong(
                    "webhook.secret",
                    "must have at least 32 characters where `escalation.webhook.url` is given",
                );
            }
        }
        if mail.transport(profile) == MailTransport::Smtp && mail.host.is_none() {
            return wrong("mail.host", "must be given for `smtp`");
        }
        if mail.user.is_some() != mail.password.is_some() {
            return wrong("mail.password", "goes together with `escalation.mail.user`");
        }
        for (sink, timeout_ms, attempts, backoff_ms) in [
            ("webhook", webhook.timeout_ms, webhook.attempts, webhook.backoff_ms),
            ("mail", mail.timeout_ms, mail.attempts, mail.backoff_ms),
        ] {
            if timeout_ms == 0 || timeout_ms > WAIT_MS_MAX {
                return wrong(&format!("{sink}.timeout_ms"), "must be 1 to 60000");
            }
            if attempts == 0 || attempts > ATTEMPTS_MAX {
                return wrong(&format!("{sink}.attempts"), "must be 1 to 32");
            }
            if backoff_ms > WAIT_MS_MAX {
                return wrong(&format!("{sink}.backoff_ms"), "must be at most 60000");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        let check = |config: EscalationConfig| config.check(Profile::Development).map_err(|error| error.to_string());
        assert_eq!(check(EscalationConfig::default()), Ok(()));
        let webhook = |webhook| EscalationConfig { webhook, ..EscalationConfig::default() };
        let mail = |mail| EscalationConfig { mail, ..EscalationConfig::default() };
        let (hook, post) = (WebhookConfig::default(), MailConfig::default());
        let cases = [
            (webhook(WebhookConfig { url: Some("https://a.example".into()), ..hook.clone() }), "webhook.secret"),
            (webhook(WebhookConfig { attempts: 0, ..hook.clone() }), "webhook.attempts"),
            (webhook(WebhookConfig { timeout_ms: 60_001, ..hook }), "webhook.timeout_ms"),
            (mail(MailConfig { transport: Some(MailTransport::Smtp), ..post.clone() }), "mail.host"),
            (mail(MailConfig { user: Some("me".into()), ..post.clone() }), "mail.password"),
            (mail(MailConfig { backoff_ms: 60_001, ..post.clone() }), "mail.backoff_ms"),
            (mail(MailConfig { attempts: 33, ..post }), "mail.attempts"),
        ];
        for (config, key) in cases {
            let error = check(config).unwrap_err();
            assert!(error.starts_with(&format!("`escalation.{key}`")), "{error}");
        }
    }

    #[test]
    fn logs_get_no_secret() {
        let secret = "s".repeat(40);
        let webhook = WebhookConfig { secret: Some(secret.clone()), ..WebhookConfig::default() };
        let mail = MailConfig { password: Some(secret.clone()), ..MailConfig::default() };
        assert!(!format!("{:?}", EscalationConfig { webhook, mail }).contains(&secret));
    }
}
