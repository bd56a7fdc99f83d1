//! Text of a person that only their data key opens.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// Free text or personal data, encrypted under the data key of the person it belongs to.
///
/// Events, views, dead letters and exports hold this form. Destroying the key erases all of it at
/// once, and the chain of records still verifies. It is longer than the plaintext by a constant.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sealed {
    /// Whose data key opens it: who wrote it, or whom the platform wrote it about.
    pub owner: UserId,
    /// Nonce (12 bytes), ciphertext, tag (16 bytes).
    pub bytes: Box<[u8]>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {} bytes)", self.owner, self.bytes.len())
    }
}
