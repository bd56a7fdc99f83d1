//! The port of revocations: what has ended or changed, and other nodes may still go by.
//!
//! A node that ends a sign-in has it in the identity store first, and acts on its own connections at once. Here it
//! tells the others, so that they need not wait until what they remember is too old. All of it may be lost: then
//! sign-ins that ended elsewhere are good until the store is asked again, and [`Heard::Missed`] says so.

use async_trait::async_trait;
use domain::ids::{LoginId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Error;

/// What has ended or changed. New kinds go at the end: nodes of two builds talk to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revocation {
    /// A sign-in has ended: its tokens and its connections.
    Login {
        /// Whose.
        user: UserId,
        /// Which.
        login: LoginId,
    },
    /// Connections of a person are to end; the sign-ins that they are of live on.
    Connections {
        /// Whose.
        user: UserId,
        /// Which: one connection, those of one sign-in, or all.
        which: Option<Uuid>,
    },
    /// A person's name, handle, role or region is not what it was, or there is a new person.
    Profile {
        /// Whose.
        user: UserId,
    },
    /// A person is erased: their connections, their key, and all that is remembered of them.
    Erased {
        /// Who.
        user: UserId,
    },
}

/// What a node hears of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// What another node told.
    Revoked(Revocation),
    /// Something may have been told that cannot be heard any more: nothing that is remembered is to be gone by.
    Missed,
}

/// What nodes tell one another has ended or changed.
#[async_trait]
pub trait Revocations: Send + Sync + 'static {
    /// Tells all other nodes. When this answers, those that hear now will hear it, and those whose connection is
    /// broken will hear it, or that they missed something, when they are back.
    ///
    /// # Errors
    /// The store is away. An adapter may go on trying.
    async fn tell(&self, revocation: Revocation) -> Result<(), Error>;

    /// The next that another node told, in the order told, each at least once; one's own is not heard. Nothing of
    /// before this node joined is. For one caller at a time. Cancel safe.
    async fn heard(&self) -> Heard;
}
