//! What events look like from outside: the names and the unsealed text of a node's stores.

use std::sync::Arc;

use actors::rooms::chat::Shown;
use actors::streams::account::{Presenter, Told};
use actors::streams::room::RoomPresenter;
use async_trait::async_trait;
use domain::ids::UserId;
use domain::ledger::Event;

use crate::app::App;
use crate::present;

/// A node's own.
pub(super) struct AppPresenter(pub(super) Arc<App>);

#[async_trait]
impl Presenter for AppPresenter {
    async fn told(&self, owner: UserId, event: &Event) -> Result<Told, storage::Error> {
        let told = present::event::told(&self.0, owner, event).await;
        let told =
            told.map_err(|failure| storage::Error::Unavailable(format!("an event cannot be told: {}", failure.code)))?;
        Ok(Told { name: told.name, data: told.data })
    }
}

#[async_trait]
impl RoomPresenter for AppPresenter {
    async fn told(&self, owner: Option<UserId>, shown: &Shown) -> Result<Told, storage::Error> {
        let told = present::room::told(&self.0, owner, shown).await;
        let told =
            told.map_err(|failure| storage::Error::Unavailable(format!("an event cannot be told: {}", failure.code)))?;
        Ok(Told { name: told.name, data: told.data })
    }
}
