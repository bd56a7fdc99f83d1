//! Which streams a person may follow: their account, their own room, and the rooms that let them read.

use std::sync::Arc;

use actors::session::Rights;
use actors::streams::account::AccountStreams;
use actors::streams::room::RoomStreams;
use actors::streams::topic::{Topic, Topics};
use async_trait::async_trait;
use domain::ids::RoomId;
use domain::room::{Region, RoomClass, RoomKind};
use protocol::code::Code;
use protocol::frame::StreamName;
use uuid::Uuid;

use crate::app::App;

/// A node's own.
pub(super) struct AppTopics {
    pub(super) app: Arc<App>,
    pub(super) accounts: Arc<AccountStreams>,
    pub(super) rooms: Arc<RoomStreams>,
}

#[async_trait]
impl Topics for AppTopics {
    async fn topic(&self, rights: &Rights, name: &StreamName) -> Result<Arc<Topic>, Code> {
        match name {
            StreamName::Account => Ok(self.accounts.topic(rights.account, rights.user)),
            StreamName::User => {
                let own = RoomKind::User(rights.user).room().ok_or(Code::StreamUnknown)?;
                Ok(self.rooms.topic(own, RoomClass::Notice, Some(rights.user)))
            }
            StreamName::Room(id) => {
                let room = Uuid::try_parse(id).map_err(|_| Code::StreamUnknown)?;
                self.room(rights, RoomId(room)).await
            }
            StreamName::Unknown(_) => Err(Code::StreamUnknown),
        }
    }
}

impl AppTopics {
    async fn room(&self, rights: &Rights, room: RoomId) -> Result<Arc<Topic>, Code> {
        let busy = |error: storage::Error| {
            tracing::warn!(%error, "who may read a room cannot be known");
            Code::Busy
        };
        let state = self.app.chat.state(room).await.map_err(busy)?;
        let readable = match &state.profile {
            Some(profile) if profile.is_readable_by(rights.user) => true,
            // One's own room is followed by its name.
            Some(profile) => match &profile.kind {
                RoomKind::Role(_) | RoomKind::Region(_) => self.is_of_all_like(rights, room).await?,
                _ => false,
            },
            // What nobody wrote to yet may be followed as well.
            None => self.is_of_all_like(rights, room).await?,
        };
        if !readable {
            return Err(Code::StreamUnknown);
        }
        let class = state.profile.as_ref().map_or(RoomClass::Chat, |profile| profile.class);
        Ok(self.rooms.topic(room, class, None))
    }

    /// Whether the room is that of the person's role or region, as they are now: a token may be older than they
    /// are.
    async fn is_of_all_like(&self, rights: &Rights, room: RoomId) -> Result<bool, Code> {
        let card = self.app.people.card(rights.user).await.map_err(|error| {
            tracing::warn!(%error, "a person's role and region cannot be read");
            Code::Busy
        })?;
        let Some(standing) = card.standing else { return Ok(false) };
        let role = standing.role.name().parse().ok().map(RoomKind::Role);
        let regions = standing.region.iter().flat_map(Region::rooms);
        Ok(role.into_iter().chain(regions).any(|kind| kind.room() == Some(room)))
    }
}
