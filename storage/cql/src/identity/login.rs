//! A login's row.

use domain::ids::{LoginId, UserId};
use domain::time::Timestamp;
use storage::Error;
use storage::identity::Login;
use uuid::Uuid;

use crate::number::from_cql;

/// A login's row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: LoginId,
    pub(super) device: String,
    pub(super) created_at: Timestamp,
    pub(super) used_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) generation: u32,
    /// What the device that rotated last was known by; nothing before the first rotation.
    pub(super) rotated_by: Option<String>,
    /// Drawn anew at every change.
    pub(super) change: Uuid,
}

/// The columns of a row, in the order in which they are read.
pub(super) type Columns = (Uuid, String, i64, i64, i64, i64, Option<String>, Uuid);

impl Row {
    pub(super) fn read((id, device, created, used, expires, generation, by, change): Columns) -> Result<Self, Error> {
        let time = |at| from_cql(at).map(Timestamp);
        Ok(Self {
            id: LoginId(id),
            device,
            created_at: time(created)?,
            used_at: time(used)?,
            expires_at: time(expires)?,
            generation: u32::try_from(generation)
                .map_err(|_| Error::Unknown("the number of a refresh token cannot be one".to_owned()))?,
            rotated_by: by,
            change,
        })
    }

    /// The login of the row.
    pub(super) fn login(&self, user: UserId) -> Login {
        Login {
            id: self.id,
            user,
            device: self.device.clone(),
            created_at: self.created_at,
            used_at: self.used_at,
            expires_at: self.expires_at,
            generation: self.generation,
        }
    }
}
