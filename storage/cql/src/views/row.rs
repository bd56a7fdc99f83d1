//! A row of any table of the views, as a value of a batch of different statements.

use bytes::Bytes;
use scylla::errors::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use uuid::Uuid;

use crate::statements::Named;

/// The values of one upsert; the last of each is its stamp.
pub(super) enum Row {
    Event(i8, Uuid, i64, i64, i64, Bytes, i64),
    Bucket(i8, Uuid, i64, i64, i64),
    Checkpoint(i8, Uuid, i64, i64, Bytes, i64),
    Cell(i8, i8, Uuid, Vec<u8>, Bytes, i64),
}

impl Row {
    /// The statement that writes it.
    pub(super) const fn named(&self) -> Named {
        match self {
            Self::Event(..) => Named::EventPut,
            Self::Bucket(..) => Named::BucketPut,
            Self::Checkpoint(..) => Named::CheckpointPut,
            Self::Cell(..) => Named::CellPut,
        }
    }

    /// About how many bytes it takes of a batch.
    pub(super) fn bytes(&self) -> usize {
        /// Ids, numbers and the frames of values.
        const FIXED: usize = 80;
        FIXED
            + match self {
                Self::Event(_, _, _, _, _, bytes, _) => bytes.len(),
                Self::Bucket(..) => 0,
                Self::Checkpoint(_, _, _, _, state, _) => state.len(),
                Self::Cell(_, _, _, sort, value, _) => sort.len() + value.len(),
            }
    }

    /// What tells its partition from others.
    pub(super) const fn partition(&self) -> (Named, Uuid, i64) {
        match self {
            Self::Event(_, stream, bucket, ..) => (Named::EventPut, *stream, *bucket),
            Self::Bucket(_, stream, ..) => (Named::BucketPut, *stream, 0),
            Self::Checkpoint(_, entity, ..) => (Named::CheckpointPut, *entity, 0),
            // A small number that widens.
            #[allow(clippy::cast_lossless, clippy::as_conversions, reason = "`From` is not const")]
            Self::Cell(_, family, part, ..) => (Named::CellPut, *part, *family as i64),
        }
    }
}

impl SerializeRow for Row {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match self {
            Self::Event(space, stream, bucket, number, entries, bytes, stamp) => {
                (space, stream, bucket, number, entries, bytes, stamp).serialize(context, writer)
            }
            Self::Bucket(space, stream, bucket, at, stamp) => {
                (space, stream, bucket, at, stamp).serialize(context, writer)
            }
            Self::Checkpoint(space, entity, head, at, state, stamp) => {
                (space, entity, head, at, state, stamp).serialize(context, writer)
            }
            Self::Cell(space, family, part, sort, value, stamp) => {
                (space, family, part, sort, value, stamp).serialize(context, writer)
            }
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}
