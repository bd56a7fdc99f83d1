//! The tables, as the versions of the schema made them.
//!
//! A version is never changed once it was released: what comes later is another. Each statement can be repeated, so a
//! migration that was cut short is gone through again.

/// A version of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// Its number, from 1.
    pub number: i32,
    /// What leads to it from the one before.
    pub statements: &'static [&'static str],
}

/// What says of itself how far the schema is, and who is changing it. Made before any version.
pub const MIGRATIONS: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS schema_version (id int PRIMARY KEY, version int)",
    "CREATE TABLE IF NOT EXISTS schema_change (id int PRIMARY KEY, holder uuid)",
];

/// The newest version that this build knows.
pub const NEWEST: i32 = 2;

/// All versions, in order.
///
/// `journal`, `people`, `emails`, `quickpe_ids`, `logins`, `devices`, `read_marks`, `dead_letters`, `founding` and the
/// two of [`MIGRATIONS`] are written by lightweight transactions and by nothing else; all others by plain upserts and
/// by nothing else.
///
/// A partition of the journal holds at most 256 records of 256 KiB. Those of people who may be erased are compacted
/// within days (`gc_grace_seconds` of one day), so that what was erased leaves the disk too.
pub const VERSIONS: &[Version] = &[
    Version { number: 1, statements: FIRST },
    Version {
        number: 2,
        // Rows that expire a month after they were written: files by day are dropped whole, where the usual compaction
        // would rewrite what is about to go.
        statements: &[
            "ALTER TABLE timeline_days WITH compaction = {'class': 'TimeWindowCompactionStrategy', \
             'compaction_window_unit': 'DAYS', 'compaction_window_size': '1'}",
            "ALTER TABLE timelines WITH compaction = {'class': 'TimeWindowCompactionStrategy', \
             'compaction_window_unit': 'DAYS', 'compaction_window_size': '1'}",
        ],
    },
];

/// The tables as they were first made.
const FIRST: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS founding (id int PRIMARY KEY, store text)",
    // Its rows are never deleted: a slot that is empty again would let an old owner back in.
    "CREATE TABLE IF NOT EXISTS journal (space tinyint, shard int, segment bigint, slot bigint, term bigint, \
     writer uuid, at bigint, previous blob, hash blob, total bigint, payload blob, \
     PRIMARY KEY ((space, shard, segment), slot))",
    "CREATE TABLE IF NOT EXISTS journal_bounds (space tinyint, shard int, hint bigint, floor bigint, \
     floor_total bigint, PRIMARY KEY ((space, shard)))",
    "CREATE TABLE IF NOT EXISTS positions (space tinyint, shard int, through bigint, hash blob, at bigint, \
     term bigint, state blob, PRIMARY KEY ((space, shard)))",
    "CREATE TABLE IF NOT EXISTS checkpoints (space tinyint, entity uuid, head bigint, at bigint, state blob, \
     PRIMARY KEY ((space, entity)))",
    "CREATE TABLE IF NOT EXISTS cells (space tinyint, family tinyint, part uuid, sort blob, value blob, \
     PRIMARY KEY ((space, family, part), sort))",
    "CREATE TABLE IF NOT EXISTS events (space tinyint, stream uuid, bucket bigint, number bigint, \
     entry_count bigint, bytes blob, PRIMARY KEY ((space, stream, bucket), number))",
    "CREATE TABLE IF NOT EXISTS event_buckets (space tinyint, stream uuid, bucket bigint, at bigint, \
     PRIMARY KEY ((space, stream), bucket))",
    "CREATE TABLE IF NOT EXISTS people (user_id uuid PRIMARY KEY, quickpe_id int, email text, first_name text, \
     last_name text, role tinyint, region text, created_at bigint, version bigint, status tinyint, status_at bigint, \
     password_hash text, password_at bigint, key_by blob, data_key blob, change uuid) \
     WITH gc_grace_seconds = 86400",
    "CREATE TABLE IF NOT EXISTS emails (email text PRIMARY KEY, user_id uuid) WITH gc_grace_seconds = 86400",
    "CREATE TABLE IF NOT EXISTS quickpe_ids (quickpe_id int PRIMARY KEY, user_id uuid)",
    "CREATE TABLE IF NOT EXISTS names (initial text, name text, user_id uuid, \
     PRIMARY KEY ((initial), name, user_id)) WITH gc_grace_seconds = 86400",
    "CREATE TABLE IF NOT EXISTS logins (user_id uuid, login_id uuid, device text, created_at bigint, \
     used_at bigint, expires_at bigint, generation bigint, rotated_by text, change uuid, \
     PRIMARY KEY ((user_id), login_id)) WITH gc_grace_seconds = 86400",
    "CREATE TABLE IF NOT EXISTS login_owners (login_id uuid PRIMARY KEY, user_id uuid)",
    "CREATE TABLE IF NOT EXISTS erasures (listing tinyint, user_id uuid, PRIMARY KEY ((listing), user_id))",
    "CREATE TABLE IF NOT EXISTS due_days (purpose tinyint, day bigint, PRIMARY KEY ((purpose), day))",
    "CREATE TABLE IF NOT EXISTS due (purpose tinyint, day bigint, at bigint, owner uuid, item uuid, \
     PRIMARY KEY ((purpose, day), at, owner, item))",
    "CREATE TABLE IF NOT EXISTS devices (user_id uuid, name blob, device_id uuid, first_seen bigint, \
     last_seen bigint, PRIMARY KEY ((user_id), name))",
    "CREATE TABLE IF NOT EXISTS cursors (user_id uuid, device_id uuid, stream uuid, epoch text, since bigint, \
     number bigint, at bigint, PRIMARY KEY ((user_id), device_id, stream, epoch, since))",
    "CREATE TABLE IF NOT EXISTS read_marks (user_id uuid, stream uuid, mark blob, change uuid, \
     PRIMARY KEY ((user_id), stream))",
    "CREATE TABLE IF NOT EXISTS dead_letters (letter_id uuid PRIMARY KEY, letter blob, stamp bigint, change uuid)",
    "CREATE TABLE IF NOT EXISTS dead_letter_lists (listing text, letter blob, PRIMARY KEY ((listing), letter))",
    "CREATE TABLE IF NOT EXISTS subscribers (stream uuid PRIMARY KEY, user_id uuid, class tinyint)",
    "CREATE TABLE IF NOT EXISTS subscriptions (user_id uuid, stream uuid, PRIMARY KEY ((user_id), stream))",
    "CREATE TABLE IF NOT EXISTS watches (user_id uuid, stream uuid, class tinyint, epoch text, through bigint, \
     found blob, due_at bigint, unsaid_first bigint, unsaid_last bigint, escalated_at bigint, \
     PRIMARY KEY ((user_id), stream))",
    "CREATE TABLE IF NOT EXISTS noted (listing tinyint, space tinyint, shard int, slot bigint, \
     PRIMARY KEY ((listing), space, shard))",
    // What became of a message is kept for 30 days, and gone after 32.
    "CREATE TABLE IF NOT EXISTS timeline_days (user_id uuid, day bigint, PRIMARY KEY ((user_id), day)) \
     WITH default_time_to_live = 2764800",
    "CREATE TABLE IF NOT EXISTS timelines (user_id uuid, day bigint, stream uuid, number bigint, step blob, \
     at bigint, passage blob, PRIMARY KEY ((user_id, day), stream, number, step)) \
     WITH default_time_to_live = 2764800",
];

/// The tables of a statement list, by the names that follow `TABLE IF NOT EXISTS`.
pub fn tables() -> impl Iterator<Item = &'static str> {
    let all = VERSIONS.iter().flat_map(|version| version.statements);
    all.filter_map(|text| text.strip_prefix("CREATE TABLE IF NOT EXISTS ")?.split(' ').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_one_another() {
        let numbers: Vec<_> = VERSIONS.iter().map(|version| version.number).collect();
        assert_eq!(numbers, (1..=NEWEST).collect::<Vec<_>>());
        assert_eq!(tables().count(), 28);
    }
}
