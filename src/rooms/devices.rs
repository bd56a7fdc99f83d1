//! A person's devices, as they say their names at sign-in and at `hello`.

use std::sync::Arc;

use domain::ids::{DeviceId, UserId};
use protocol::event::room::SecurityKind;
use storage::deliveries::Seen;

use crate::app::App;
use crate::rooms::security::{self, Security};

/// A device says its name. The person is told if another had to be forgotten for it.
///
/// # Errors
/// The store does not answer.
pub async fn seen(app: &Arc<App>, user: UserId, name: &str) -> Result<Seen, storage::Error> {
    let candidate = DeviceId(app.new_id());
    let seen = app.deliveries.device(user, name, candidate, app.now()).await?;
    if let Some(forgotten) = seen.forgotten {
        let told = Security { device_id: Some(forgotten.id), ..Security::of(SecurityKind::DeviceForgotten) };
        security::tell(app, user, told).await;
    }
    Ok(seen)
}
