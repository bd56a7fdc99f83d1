//! Mail to the person: that messages wait for them, and no word of what they say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actors::deadlines::Escalation;
use async_trait::async_trait;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncFileTransport, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use storage::identity::{Identity, Person};

use crate::command::failure::Failure;
use crate::config::Profile;
use crate::escalation::config::{MailConfig, MailTls, MailTransport, RetryConfig};
use crate::escalation::{NotTaken, Sink};

/// The folder of mails in the data folder.
const FOLDER: &str = "mail";

/// The most mails that are kept as files; the oldest goes first.
const FILES_MAX: usize = 1_000;

/// Sends mails.
pub(super) struct Mail {
    from: Mailbox,
    way: Way,
    retries: RetryConfig,
    timeout: Duration,
    identity: Arc<dyn Identity>,
}

enum Way {
    Files { folder: PathBuf, transport: AsyncFileTransport<Tokio1Executor> },
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

impl Mail {
    /// As configured; nothing if mail is off.
    ///
    /// # Errors
    /// An address or server that cannot be used, or a folder that cannot be made.
    pub(super) fn new(
        config: &MailConfig,
        profile: Profile,
        data: &Path,
        identity: Arc<dyn Identity>,
    ) -> Result<Option<Self>, Failure> {
        let way = match config.transport(profile) {
            MailTransport::Off => return Ok(None),
            MailTransport::File => {
                let folder = data.join(FOLDER);
                let made = std::fs::create_dir_all(&folder);
                made.map_err(|error| Failure::failed(format!("make {}: {error}", folder.display())))?;
                Way::Files { transport: AsyncFileTransport::new(&folder), folder }
            }
            MailTransport::Smtp => Way::Smtp(smtp(config)?),
        };
        let from = config.from.parse();
        let from = from.map_err(|_| Failure::usage("`escalation.mail.from` is not an address"))?;
        let retries = RetryConfig { attempts: config.attempts, backoff_ms: config.backoff_ms };
        Ok(Some(Self { from, way, retries, timeout: Duration::from_millis(config.timeout_ms), identity }))
    }

    async fn send(&self, message: Message) -> Result<(), NotTaken> {
        match &self.way {
            Way::Files { folder, transport } => {
                let sent = transport.send(message).await;
                sent.map_err(|error| NotTaken::for_now(format!("file: {error}")))?;
                let folder = folder.clone();
                // A folder that cannot be tidied is no reason to say that the mail was not written.
                tokio::task::spawn_blocking(move || tidy(&folder).ok()).await.ok();
                Ok(())
            }
            Way::Smtp(transport) => match transport.send(message).await {
                Ok(_) => Ok(()),
                Err(error) if error.is_permanent() => Err(NotTaken::for_good(format!("smtp: {error}"))),
                Err(error) => Err(NotTaken::for_now(format!("smtp: {error}"))),
            },
        }
    }
}

fn smtp(config: &MailConfig) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let host = config.host.as_deref().unwrap_or_default();
    let relay = match config.tls {
        MailTls::Implicit => AsyncSmtpTransport::<Tokio1Executor>::relay(host),
        MailTls::Starttls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host),
    };
    let mut relay = relay.map_err(|error| Failure::usage(format!("`escalation.mail.host`: {error}")))?;
    if let Some(port) = config.port {
        relay = relay.port(port);
    }
    if let (Some(user), Some(password)) = (&config.user, &config.password) {
        relay = relay.credentials(Credentials::new(user.clone(), password.clone()));
    }
    Ok(relay.timeout(Some(Duration::from_millis(config.timeout_ms))).build())
}

#[async_trait]
impl Sink for Mail {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn retries(&self) -> RetryConfig {
        self.retries
    }

    async fn tell(&self, escalation: &Escalation) -> Result<(), NotTaken> {
        let person = self.identity.person(escalation.user).await;
        let person = person.map_err(|_| NotTaken::for_now("people_not_readable"))?;
        let user = person.and_then(Person::live).ok_or_else(|| NotTaken::for_good("no_such_person"))?;
        let to = user.email.as_str().parse::<Mailbox>().map_err(|_| NotTaken::for_good("address_not_usable"))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject("Messages wait for you in QuickPe")
            .header(ContentType::TEXT_PLAIN)
            .body(text(escalation))
            .map_err(|error| NotTaken::for_good(format!("mail_not_made: {error}")))?;
        tokio::time::timeout(self.timeout, self.send(message)).await.map_err(|_| NotTaken::for_now("timeout"))?
    }
}

/// What the mail says.
fn text(escalation: &Escalation) -> String {
    let (from, to) = escalation.offsets;
    let Escalation { id, stream, class, .. } = escalation;
    let class = class.as_str();
    format!(
        "None of your devices has taken messages of your QuickPe account in time.\r\n\
         Open QuickPe on any of them, and they come.\r\n\
         \r\n\
         stream: {stream}\r\n\
         class: {class}\r\n\
         messages: {from} to {to}\r\n\
         escalation: {id}\r\n"
    )
}

/// Removes the oldest mails beyond those that are kept.
fn tidy(folder: &Path) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "eml") {
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    let surplus = files.len().saturating_sub(FILES_MAX);
    if surplus > 0 {
        files.sort();
        for (_, path) in &files[..surplus] {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_mails_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..FILES_MAX + 3 {
            std::fs::write(folder.path().join(format!("{number:05}.eml")), "x").unwrap();
        }
        std::fs::write(folder.path().join("note.txt"), "x").unwrap();
        tidy(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), FILES_MAX + 1);
        assert!(folder.path().join("note.txt").exists());
    }
}
