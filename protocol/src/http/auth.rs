//! Signing up, in and out.

use domain::ids::LoginId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::user::User;
use crate::value::Time;

/// The most characters a password may have.
pub const PASSWORD_CHARS_MAX: usize = 128;

/// `POST /auth/signup`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignUpRequest {
    /// Given name.
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub first_name: String,
    /// Family name.
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub last_name: String,
    /// Compared without case.
    #[schema(format = Email, max_length = 254)]
    pub email: String,
    /// 8 to 128 characters (6 in the development profile).
    #[schema(format = Password, min_length = 6, max_length = 128)]
    pub password: String,
    /// A stable name that the client made for this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub device: Option<String>,
    /// Where they are: a country (ISO 3166-1, `IN`) or a part of one (ISO 3166-2, `IN-MH`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 6, pattern = "^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$")]
    pub region: Option<String>,
}

/// `POST /auth/signin`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignInRequest {
    /// Compared without case.
    #[schema(format = Email, max_length = 254)]
    pub email: String,
    /// The password.
    #[schema(format = Password, max_length = 128)]
    pub password: String,
    /// A stable name that the client made for this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub device: Option<String>,
}

/// `POST /auth/refresh`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefreshRequest {
    /// The newest refresh token of the login.
    pub refresh_token: String,
    /// A stable name that the client made for this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub device: Option<String>,
}

/// `POST /auth/signout`
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignOutRequest {
    /// The login to end; the access token's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

/// The answer to sign-up, sign-in and refresh.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokensResponse {
    /// The access token, a JWT.
    pub token: String,
    /// Gives the next pair; is then used up.
    pub refresh_token: String,
    /// Seconds until the access token ends.
    pub expires_in: u64,
    /// Who signed in.
    pub user: User,
}

/// `GET /auth/verify`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whose token it is.
    pub user: User,
    /// When the token ends.
    pub expires_at: Time,
}

/// A sign-in that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginSession {
    /// The id.
    #[schema(value_type = uuid::Uuid)]
    pub id: LoginId,
    /// What the device called itself; null if it did not.
    pub device: Option<String>,
    /// When it began.
    pub created_at: Time,
    /// When it last got new tokens.
    pub last_seen_at: Time,
    /// When it ends by itself.
    pub expires_at: Time,
    /// Whether a connection of it is open.
    pub online: bool,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// `GET /auth/sessions`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionsResponse {
    /// At most 64, the one seen last first.
    pub sessions: Vec<LoginSession>,
}
