//! The ports by which a store is moved to another: what is kept beside the journals, as it lies there.
//!
//! Who signs up, connects or reads uses none of this. Taken out of a store that nobody writes to and put into one that
//! is not served yet, nothing of a person is changed: handles, versions, wrapped data keys, sign-ins and places are what
//! they were. What the other ports say of a person (subscriptions, watches, dead letters) is moved by them.

use async_trait::async_trait;
use domain::ids::{DeviceId, LoginId, QuickpeId, UserId};
use domain::room::Region;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Error;
use crate::sealing::WrappedKey;

/// The most people that one page names.
pub const PAGE_MAX: usize = 1_000;

/// The most streams that are answered of one person, as read or as subscribed to.
pub const STREAMS_MAX: usize = 100_000;

/// Somebody, live or erased.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedPerson {
    /// Their id.
    pub id: UserId,
    /// Their handle.
    pub quickpe_id: QuickpeId,
    /// Whether they live.
    pub standing: MovedStanding,
}

/// Whether somebody lives.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MovedStanding {
    /// They do.
    Live(Box<MovedUser>),
    /// They were erased.
    Erased {
        /// When.
        at: Timestamp,
    },
}

/// A live person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedUser {
    /// Unique among live people.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// [`crate::identity::Role::number`].
    pub role: u8,
    /// Where they are, if that is known.
    pub region: Option<Region>,
    /// When they signed up.
    pub created_at: Timestamp,
    /// The version of the profile.
    pub version: u64,
    /// Since when they are being erased, if they are.
    pub erasing_since: Option<Timestamp>,
    /// The hash of the password, and when it was set.
    pub password: Option<(String, Timestamp)>,
    /// The data key, if it is not destroyed.
    pub key: Option<WrappedKey>,
    /// Their sign-ins.
    pub logins: Vec<MovedLogin>,
}

/// A refresh-token family.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedLogin {
    /// Its id.
    pub id: LoginId,
    /// What the device called itself.
    pub device: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last begun or rotated.
    pub used_at: Timestamp,
    /// When its newest refresh token expires.
    pub expires_at: Timestamp,
    /// The number of that token.
    pub generation: u32,
    /// What the device that rotated last was known by.
    pub rotated_by: Option<String>,
}

/// What is kept of a person's devices and reading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedDevices {
    /// Their devices.
    pub devices: Vec<MovedDevice>,
    /// The streams that they have read something of.
    pub read: Vec<Uuid>,
    /// The streams that they subscribed to.
    pub subscribed: Vec<Uuid>,
}

/// A device, and its places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedDevice {
    /// Its id.
    pub id: DeviceId,
    /// The hash of its name.
    pub name: [u8; 16],
    /// When it first said its name.
    pub first_seen: Timestamp,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// Its places in streams.
    pub places: Vec<MovedPlace>,
}

/// A device's place in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedPlace {
    /// The stream.
    pub stream: Uuid,
    /// The life of the store's streams that the offset counts in.
    pub epoch: String,
    /// The last offset.
    pub offset: u64,
    /// When the device said so.
    pub at: Timestamp,
}

/// Moving people.
#[async_trait]
pub trait MovePeople: Send + Sync + 'static {
    /// Everybody who ever was, live or erased, in an order of the store's own: those after `after`, at most `max`, at
    /// most [`PAGE_MAX`]; none at the end.
    async fn everybody(&self, after: Option<UserId>, max: usize) -> Result<Vec<UserId>, Error>;

    /// All that there is of somebody.
    async fn take_person(&self, user: UserId) -> Result<Option<MovedPerson>, Error>;

    /// Puts somebody in, durably. Again it changes nothing. Only into a store that is not served.
    async fn put_person(&self, person: MovedPerson) -> Result<(), Error>;
}

/// Moving devices.
#[async_trait]
pub trait MoveDevices: Send + Sync + 'static {
    /// All that there is of somebody's devices and reading.
    async fn take_devices(&self, user: UserId) -> Result<MovedDevices, Error>;

    /// Puts a device with its places in, durably. Again it changes nothing. Only into a store that is not served.
    async fn put_device(&self, user: UserId, device: MovedDevice) -> Result<(), Error>;
}
