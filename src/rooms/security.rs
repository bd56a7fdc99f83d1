//! What people are told of who may sign in as them: a notice like any other, durable in their own room.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::{DeviceId, LoginId, OperationId, UserId};
use protocol::event::room::SecurityKind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::App;
use crate::rooms::notices::{self, Notice};

/// How long what was done waits for its notice to be durable. It is done whether the notice is or not.
const PATIENCE: Duration = Duration::from_millis(500);

/// The type of such notices in the list.
const TYPE: &str = "security";

/// What happened, as it stands in a person's own room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Security {
    /// What.
    pub kind: SecurityKind,
    /// What the device calls itself, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The device that was forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// The login that began or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<LoginId>,
}

impl Security {
    /// That this happened.
    pub const fn of(kind: SecurityKind) -> Self {
        Self { kind, device: None, device_id: None, session: None }
    }

    /// On a login, of a device that may have said its name.
    #[must_use]
    pub fn on(self, session: LoginId, device: &str) -> Self {
        let device = (!device.is_empty()).then(|| device.to_owned());
        Self { session: Some(session), device, ..self }
    }

    /// The same in words.
    pub fn notice(&self) -> Notice {
        let device = self.device.as_deref().map_or_else(|| "a device".to_owned(), |device| format!("“{device}”"));
        let (title, message) = match self.kind {
            SecurityKind::SignedIn => (
                "New sign-in",
                format!("Somebody signed in as you on {device}. If it was not you, change your password."),
            ),
            SecurityKind::PasswordChanged => {
                ("Password changed", "Your password was changed, and you are signed out everywhere else.".to_owned())
            }
            SecurityKind::SessionEnded => ("Signed out", format!("Your session on {device} was ended.")),
            SecurityKind::DeviceForgotten => (
                "Device forgotten",
                "You use many devices: the one seen longest ago was forgotten to make room for a new one.".to_owned(),
            ),
            SecurityKind::TokenReused => (
                "Session ended for safety",
                format!("Your session on {device} was used from two places and was ended. Sign in again."),
            ),
        };
        Notice { kind: TYPE.to_owned(), title: title.to_owned(), message }
    }
}

/// Tells a person. Usually it is durable when this answers; rooms that do not answer hold up nobody's signing in.
pub async fn tell(app: &Arc<App>, user: UserId, security: Security) {
    let kind = security.kind;
    let telling = tokio::spawn({
        let app = Arc::clone(app);
        async move { notices::tell_of_security(&app, OperationId(Uuid::new_v4()), user, &security).await }
    });
    match tokio::time::timeout(PATIENCE, telling).await {
        Ok(Ok(Err(failure))) => {
            tracing::error!(%user, ?kind, code = %failure.code, "a person cannot be told of what happened to their sign-ins");
        }
        Ok(Err(error)) => tracing::error!(%user, ?kind, %error, "telling a person failed"),
        Ok(Ok(Ok(()))) | Err(_) => {}
    }
}
