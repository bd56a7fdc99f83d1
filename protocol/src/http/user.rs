//! People.

use domain::ids::UserId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::value::{Handle, Role, Time};

/// The most people a search answers.
pub const FOUND_MAX: u32 = 20;

/// A person, as they see themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The id.
    #[schema(value_type = uuid::Uuid)]
    pub id: UserId,
    /// The public handle.
    pub quickpe_id: Handle,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The whole e-mail.
    pub email: String,
    /// What they may do beyond their own money.
    pub role: Role,
    /// Where they are, if that is known: `IN`, `IN-MH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// When they signed up.
    pub created_at: Time,
}

/// `PATCH /user/me`: what is absent stays as it is.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateUserRequest {
    /// Given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub first_name: Option<String>,
    /// Family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub last_name: Option<String>,
    /// A new e-mail; needs `currentPassword`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Email, max_length = 254)]
    pub email: Option<String>,
    /// A new password; needs `currentPassword`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Password, min_length = 6, max_length = 128)]
    pub password: Option<String>,
    /// The password of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Password, max_length = 128)]
    pub current_password: Option<String>,
}

/// `DELETE /user/me`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeleteUserRequest {
    /// The password of now.
    #[schema(format = Password, max_length = 128)]
    pub password: String,
}

/// `POST /user/bulk`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindUsersRequest {
    /// The start of a name or QuickPe id, or a whole e-mail.
    #[serde(default)]
    #[schema(max_length = 254)]
    pub filter: String,
    /// The most people to answer, 1 to 20; 20 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 20)]
    pub limit: Option<u32>,
}

/// The answer to `POST /user/bulk`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindUsersResponse {
    /// Who was found.
    pub users: Vec<FoundUser>,
}

/// A person, as others see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundUser {
    /// The id.
    #[schema(value_type = uuid::Uuid)]
    pub id: UserId,
    /// The public handle.
    pub quickpe_id: Handle,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The e-mail, masked: `a***@example.com`.
    pub email: String,
}

/// The other party of a transfer or hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Party {
    /// The public handle; null if the person was erased.
    pub quickpe_id: Option<Handle>,
    /// First and last name, or what stands for an erased person.
    pub name: String,
}
