//! Dead letters of the ledger in the store of deliveries.

use std::sync::Arc;

use actors::dead_letters::{DeadLetterStore, Failure, Reported};
use domain::time::Timestamp;
use storage::Error;
use storage::deliveries::{DeadLetter, DeadLetterId, Deliveries, Reason};
use uuid::Uuid;

/// Keeps what failed for good.
pub struct LedgerDeadLetters {
    deliveries: Arc<dyn Deliveries>,
}

impl LedgerDeadLetters {
    /// In this store.
    pub const fn new(deliveries: Arc<dyn Deliveries>) -> Self {
        Self { deliveries }
    }
}

#[async_trait::async_trait]
impl DeadLetterStore for LedgerDeadLetters {
    async fn keep(&self, letter: Reported) -> Result<(), Error> {
        self.deliveries.put_dead_letter(of(&letter)).await.map(drop)
    }
}

/// The letter of a failure. The same failure at the same time is the same letter.
fn of(reported: &Reported) -> DeadLetter {
    let at = reported.at;
    let letter = |subject: Uuid, reason| DeadLetter {
        id: id(at, subject, reason),
        reason,
        stream: None,
        user: None,
        device: None,
        offsets: None,
        transfer: None,
        attempts: 1,
        last_error: reported.failure.reason().to_owned(),
        detail: String::new(),
        first_at: at,
        last_at: at,
        class: None,
        redrive: false,
        resolved_at: None,
    };
    match &reported.failure {
        Failure::Suspended { transfer, account, .. } => DeadLetter {
            stream: Some(account.0),
            transfer: Some(*transfer),
            detail: format!("`quickpe admin suspense release {transfer}` or `… return {transfer}` resolves it"),
            ..letter(transfer.0, Reason::Suspense)
        },
        Failure::Quarantined { account, error } => DeadLetter {
            stream: Some(account.0),
            last_error: error.clone(),
            detail: format!("`quickpe admin account release {account}` ends it"),
            ..letter(account.0, Reason::Quarantined)
        },
        Failure::RoomQuarantined { room, error } => DeadLetter {
            stream: Some(room.0),
            last_error: error.clone(),
            detail: format!("`quickpe admin room release {room}` ends it"),
            ..letter(room.0, Reason::Quarantined)
        },
    }
}

/// A UUIDv7 of the time, whose other bits are a hash of what failed and why.
fn id(at: Timestamp, subject: Uuid, reason: Reason) -> DeadLetterId {
    let bytes = Uuid::new_v5(&subject, &[reason.number()]).into_bytes();
    let mut rest = [0; 10];
    rest.copy_from_slice(bytes.split_at(10).0);
    DeadLetterId(uuid::Builder::from_unix_timestamp_millis(at.millis(), &rest).into_uuid())
}

#[cfg(test)]
mod tests {
    use actors::dead_letters::Failure;
    use domain::ids::{AccountId, TransferId};
    use domain::ledger::DivertReason;

    use super::*;

    #[test]
    fn one_failure_is_one_letter() {
        let suspended = |transfer, at| Reported {
            failure: Failure::Suspended {
                transfer: TransferId(Uuid::from_u128(transfer)),
                account: AccountId(Uuid::from_u128(9)),
                reason: DivertReason::Frozen,
            },
            at: Timestamp(at),
        };
        let first = of(&suspended(1, 5_000_000));
        assert_eq!(first, of(&suspended(1, 5_000_000)));
        assert_ne!(first.id, of(&suspended(2, 5_000_000)).id);
        assert!(first.id < of(&suspended(1, 9_000_000)).id, "letters sort by time");
        assert_eq!((first.reason, first.last_error.as_str()), (Reason::Suspense, "credit_frozen"));
        assert_eq!(first.id.0.get_version_num(), 7);
    }
}
