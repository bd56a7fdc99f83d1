//! What events look like from outside: the names and the unsealed text of a node's stores.

use std::sync::Arc;

use actors::rooms::chat::Shown;
use actors::streams::account::{Presenter, Told};
use actors::streams::presence::{Attendance, Telling};
use actors::streams::room::RoomPresenter;
use async_trait::async_trait;
use domain::ids::{RoomId, UserId};
use domain::ledger::Event;
use protocol::http::presence::PresentUser;

use crate::app::App;
use crate::present;
use crate::rooms::presence;

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

/// What rooms and people are to who tells of presence.
pub(super) struct AppAttendance(pub(super) Arc<App>);

#[async_trait]
impl Attendance for AppAttendance {
    async fn telling(&self, room: RoomId) -> Result<Telling, storage::Error> {
        let state = self.0.chat.state(room).await?;
        Ok(state.profile.as_ref().map_or(Telling::Count, |profile| presence::telling(profile)))
    }

    async fn person(&self, user: UserId) -> Result<PresentUser, storage::Error> {
        presence::person(&self.0, user).await
    }
}
