//! The webhook: a signed POST to a server of the operator's.

use std::sync::Arc;
use std::time::Duration;

use actors::clock::WallClock;
use actors::deadlines::Escalation;
use actors::streams::message_id;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use protocol::http::admin::Offsets;
use protocol::http::escalation::{EscalationBody, EscalationEvent};
use protocol::value::Time;

use crate::command::failure::Failure;
use crate::escalation::client::Client;
use crate::escalation::config::{RetryConfig, WebhookConfig};
use crate::escalation::{NotTaken, Sink, signature};

/// The header with the escalation's id, the same at every attempt.
const ID_HEADER: &str = "quickpe-escalation";

/// Posts escalations.
pub(super) struct Webhook {
    client: Client,
    secret: String,
    retries: RetryConfig,
    clock: Arc<dyn WallClock>,
}

impl Webhook {
    /// As configured; nothing if it is not.
    ///
    /// # Errors
    /// A URL that cannot be used.
    pub(super) fn new(config: &WebhookConfig, clock: Arc<dyn WallClock>) -> Result<Option<Self>, Failure> {
        let Some(url) = &config.url else { return Ok(None) };
        let client = Client::new(url, config.allow_private, Duration::from_millis(config.timeout_ms));
        let client = client.map_err(|why| Failure::usage(format!("`escalation.webhook.url` {why}")))?;
        let retries = RetryConfig { attempts: config.attempts, backoff_ms: config.backoff_ms };
        Ok(Some(Self { client, secret: config.secret.clone().unwrap_or_default(), retries, clock }))
    }
}

#[async_trait]
impl Sink for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn retries(&self) -> RetryConfig {
        self.retries
    }

    async fn tell(&self, escalation: &Escalation) -> Result<(), NotTaken> {
        let body = serde_json::to_vec(&body(escalation)).map_err(|_| NotTaken::for_good("body_not_made"))?;
        // Signed anew each time: who receives it may refuse an old signature.
        let seconds = self.clock.now().millis() / 1_000;
        let header = |name: &'static str, value: String| {
            let value = HeaderValue::try_from(value).map_err(|_| NotTaken::for_good("header_not_made"))?;
            Ok((HeaderName::from_static(name), value))
        };
        let headers = [
            header(signature::HEADER, signature::signature(&self.secret, seconds, &body))?,
            header(ID_HEADER, escalation.id.to_string())?,
        ];
        self.client.post(headers, Bytes::from(body)).await
    }
}

/// What is posted: ids and offsets, and where to ask for more.
fn body(escalation: &Escalation) -> EscalationBody {
    let (from, to) = escalation.offsets;
    EscalationBody {
        id: escalation.id.to_string(),
        event: EscalationEvent::Undelivered,
        user_id: escalation.user.to_string(),
        stream: escalation.stream.to_string(),
        class: escalation.class,
        offsets: Offsets { from, to },
        first_message: message_id(escalation.stream, from),
        last_message: message_id(escalation.stream, to),
        dead_letter: escalation.dead_letter.map(|letter| letter.to_string()),
        at: Time::of(escalation.at),
    }
}
