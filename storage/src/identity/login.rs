//! Logins: families of refresh tokens, one a sign-in.

use domain::ids::{LoginId, UserId};
use domain::time::Timestamp;

/// A sign-in that may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLogin {
    /// Its id, made by the caller.
    pub id: LoginId,
    /// Who signed in.
    pub user: UserId,
    /// What the device calls itself; the first 64 characters are kept.
    pub device: String,
    /// When.
    pub at: Timestamp,
    /// When its first refresh token expires.
    pub expires_at: Timestamp,
}

/// A refresh-token family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its id.
    pub id: LoginId,
    /// Whose.
    pub user: UserId,
    /// What the device called itself.
    pub device: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last begun or rotated.
    pub used_at: Timestamp,
    /// When its newest refresh token expires.
    pub expires_at: Timestamp,
    /// The number of its newest refresh token, from 0. The token is made of it: see
    /// [`crate::identity::RefreshTokens`].
    pub generation: u32,
}

/// A refresh token that was presented, its authenticity already checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// The login that the token names.
    pub login: LoginId,
    /// The number of the token in it.
    pub generation: u32,
    /// What the caller knows the device by; two calls of one device must say the same. The first 64
    /// characters count.
    pub device: String,
    /// When.
    pub at: Timestamp,
    /// When the successor expires.
    pub expires_at: Timestamp,
}

/// What became of a presented refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the newest; its successor is the login's generation now.
    Rotated(Login),
    /// It is the one before the newest and comes again from the device that rotated it, within
    /// [`crate::identity::ROTATION_GRACE`]: the same successor again, nothing changed.
    Repeated(Login),
    /// It was used before: somebody else holds it. The login has ended, durably.
    Reused {
        /// Whose login it was.
        user: UserId,
    },
    /// It expired. The login has ended.
    Expired,
    /// Its login ended before, or never was, or the store was restored to before the token.
    Unknown,
}
