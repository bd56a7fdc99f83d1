//! Whether the node is well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /health`, `/health/live`, `/health/ready`: 200, or 503 if the status is `unavailable`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthResponse {
    /// The worst that matters for this question.
    pub status: HealthStatus,
    /// Each part by name: `journal`, `views`, `identity`, …
    pub parts: BTreeMap<String, PartHealth>,
}

/// How one part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartHealth {
    /// How it is.
    pub status: HealthStatus,
    /// Why, for a person to read; absent if all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How well something is. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Well.
    Ok,
    /// Serves, with less than it should.
    Degraded,
    /// Does not serve.
    Unavailable,
}
