//! Every statement that is ever sent with values, in one list.
//!
//! All are prepared when a node connects. Each stays within what both ScyllaDB 2025.4 and Apache Cassandra 5.0
//! document: a test reads the list with a grammar of what both have, in which every reading has a limit and names a
//! whole partition key, and nothing filters.

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A lightweight transaction: never sent again by the driver, never raced.
    Transaction,
    /// A reading that first ends the transactions under way in its partition.
    SerialRead,
    /// A reading of what a quorum has.
    Read,
    /// An upsert or a removal that may be sent twice.
    Write,
}

impl Kind {
    /// Its label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::SerialRead => "serial_read",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The table that a statement is about.
pub fn table(text: &str) -> &str {
    let mut words = text.split(' ').skip_while(|word| !["INTO", "FROM", "UPDATE"].contains(word));
    words.nth(1).unwrap_or_default()
}

/// The store that a table belongs to: its label in metrics.
pub fn store(table: &str) -> Option<&'static str> {
    Some(match table {
        "journal" | "journal_bounds" => "journal",
        "positions" | "checkpoints" | "cells" | "events" | "event_buckets" => "views",
        "people" | "emails" | "quickpe_ids" | "names" | "logins" | "login_owners" | "erasures" => "identity",
        "devices" | "cursors" | "read_marks" | "dead_letters" | "dead_letter_lists" => "deliveries",
        "subscribers" | "subscriptions" | "watches" | "noted" | "timeline_days" | "timelines" => "watches",
        "due_days" | "due" => "calendar",
        "founding" => "founding",
        _ => return None,
    })
}

macro_rules! statements {
    ($($name:ident $kind:ident $text:literal)*) => {
        /// The name of a statement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the text beside each name says what it does")]
        pub enum Named {
            $($name),*
        }

        /// All of them: name, how it is sent, text.
        pub const ALL: &[(Named, Kind, &str)] = &[$((Named::$name, Kind::$kind, $text)),*];
    };
}

statements! {
    // The journal.
    JournalAppend Transaction "INSERT INTO journal (space, shard, segment, slot, term, writer, at, previous, hash, total, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
    JournalEnd SerialRead "SELECT slot, term, at, hash, total FROM journal WHERE space = ? AND shard = ? AND segment = ? ORDER BY slot DESC LIMIT 1"
    JournalRead Read "SELECT slot, term, at, previous, hash, total, payload FROM journal WHERE space = ? AND shard = ? AND segment = ? AND slot >= ? LIMIT ?"
    JournalStamp Read "SELECT at, total FROM journal WHERE space = ? AND shard = ? AND segment = ? AND slot = ? LIMIT 1"
    JournalEmpty Transaction "UPDATE journal SET payload = null WHERE space = ? AND shard = ? AND segment = ? AND slot = ? IF hash = ?"
    JournalBounds Read "SELECT hint, floor, floor_total FROM journal_bounds WHERE space = ? AND shard = ? LIMIT 1"
    JournalHint Write "UPDATE journal_bounds USING TIMESTAMP ? SET hint = ? WHERE space = ? AND shard = ?"
    JournalFloor Write "UPDATE journal_bounds USING TIMESTAMP ? SET floor = ?, floor_total = ? WHERE space = ? AND shard = ?"

    // Views.
    PositionPut Write "INSERT INTO positions (space, shard, through, hash, at, term, state) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
    PositionGet Read "SELECT through, hash, at, term, state FROM positions WHERE space = ? AND shard = ? LIMIT 1"
    CheckpointPut Write "INSERT INTO checkpoints (space, entity, head, at, state) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?"
    CheckpointGet Read "SELECT head, at, state FROM checkpoints WHERE space = ? AND entity = ? LIMIT 1"
    CellPut Write "INSERT INTO cells (space, family, part, sort, value) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?"
    CellGet Read "SELECT value FROM cells WHERE space = ? AND family = ? AND part = ? AND sort = ? LIMIT 1"
    CellsAfter Read "SELECT sort, value FROM cells WHERE space = ? AND family = ? AND part = ? AND sort > ? LIMIT ?"
    CellStamp Read "SELECT WRITETIME(value) FROM cells WHERE space = ? AND family = ? AND part = ? AND sort = ? LIMIT 1"
    CellRemove Write "DELETE FROM cells USING TIMESTAMP ? WHERE space = ? AND family = ? AND part = ? AND sort = ?"
    EventPut Write "INSERT INTO events (space, stream, bucket, number, entry_count, bytes) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
    EventsAfter Read "SELECT number, bytes FROM events WHERE space = ? AND stream = ? AND bucket = ? AND number > ? LIMIT ?"
    EventsUpTo Read "SELECT number, bytes FROM events WHERE space = ? AND stream = ? AND bucket = ? AND number <= ? ORDER BY number DESC LIMIT ?"
    EntriesFrom Read "SELECT number, entry_count FROM events WHERE space = ? AND stream = ? AND bucket = ? AND number >= ? LIMIT 1"
    EntriesLast Read "SELECT number, entry_count FROM events WHERE space = ? AND stream = ? AND bucket = ? ORDER BY number DESC LIMIT 1"
    EventStamp Read "SELECT number, WRITETIME(bytes) FROM events WHERE space = ? AND stream = ? AND bucket = ? AND number <= ? ORDER BY number DESC LIMIT 1"
    EventsRemove Write "DELETE FROM events USING TIMESTAMP ? WHERE space = ? AND stream = ? AND bucket = ? AND number <= ?"
    BucketPut Write "INSERT INTO event_buckets (space, stream, bucket, at) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
    BucketsAfter Read "SELECT bucket, at FROM event_buckets WHERE space = ? AND stream = ? AND bucket > ? LIMIT ?"
    BucketsBefore Read "SELECT bucket, at FROM event_buckets WHERE space = ? AND stream = ? AND bucket < ? ORDER BY bucket DESC LIMIT ?"
    BucketRemove Write "DELETE FROM event_buckets USING TIMESTAMP ? WHERE space = ? AND stream = ? AND bucket = ?"

    // People.
    PersonInsert Transaction "INSERT INTO people (user_id, quickpe_id, email, first_name, last_name, role, region, created_at, version, status, password_hash, password_at, key_by, data_key, change) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
    PersonChange Transaction "UPDATE people SET email = ?, first_name = ?, last_name = ?, role = ?, region = ?, version = ?, status = ?, status_at = ?, password_hash = ?, password_at = ?, key_by = ?, data_key = ?, change = ? WHERE user_id = ? IF change = ?"
    PersonRead Read "SELECT quickpe_id, email, first_name, last_name, role, region, created_at, version, status, status_at, password_hash, password_at, key_by, data_key, change FROM people WHERE user_id = ? LIMIT 1"
    PersonSerial SerialRead "SELECT quickpe_id, email, first_name, last_name, role, region, created_at, version, status, status_at, password_hash, password_at, key_by, data_key, change FROM people WHERE user_id = ? LIMIT 1"
    PersonRemove Transaction "DELETE FROM people WHERE user_id = ? IF change = ?"
    EmailReserve Transaction "INSERT INTO emails (email, user_id) VALUES (?, ?) IF NOT EXISTS USING TTL 600"
    EmailTake Transaction "INSERT INTO emails (email, user_id) VALUES (?, ?) IF NOT EXISTS"
    EmailConfirm Transaction "UPDATE emails SET user_id = ? WHERE email = ? IF user_id = ?"
    EmailRelease Transaction "DELETE FROM emails WHERE email = ? IF user_id = ?"
    EmailRead Read "SELECT user_id FROM emails WHERE email = ? LIMIT 1"
    QuickpeIdTake Transaction "INSERT INTO quickpe_ids (quickpe_id, user_id) VALUES (?, ?) IF NOT EXISTS"
    QuickpeIdRead Read "SELECT user_id FROM quickpe_ids WHERE quickpe_id = ? LIMIT 1"
    NamePut Write "INSERT INTO names (initial, name, user_id) VALUES (?, ?, ?) USING TIMESTAMP ?"
    NameRemove Write "DELETE FROM names USING TIMESTAMP ? WHERE initial = ? AND name = ? AND user_id = ?"
    NamesFrom Read "SELECT name, user_id FROM names WHERE initial = ? AND name >= ? AND name < ? LIMIT ?"
    LoginInsert Transaction "INSERT INTO logins (user_id, login_id, device, created_at, used_at, expires_at, generation, rotated_by, change) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
    LoginChange Transaction "UPDATE logins SET used_at = ?, expires_at = ?, generation = ?, rotated_by = ?, change = ? WHERE user_id = ? AND login_id = ? IF change = ?"
    LoginEnd Transaction "DELETE FROM logins WHERE user_id = ? AND login_id = ? IF change = ?"
    LoginRead Read "SELECT login_id, device, created_at, used_at, expires_at, generation, rotated_by, change FROM logins WHERE user_id = ? AND login_id = ? LIMIT 1"
    LoginSerial SerialRead "SELECT login_id, device, created_at, used_at, expires_at, generation, rotated_by, change FROM logins WHERE user_id = ? AND login_id = ? LIMIT 1"
    LoginsOfUser SerialRead "SELECT login_id, device, created_at, used_at, expires_at, generation, rotated_by, change FROM logins WHERE user_id = ? LIMIT ?"
    LoginOwnerPut Write "INSERT INTO login_owners (login_id, user_id) VALUES (?, ?)"
    LoginOwnerRead Read "SELECT user_id FROM login_owners WHERE login_id = ? LIMIT 1"
    LoginOwnerRemove Write "DELETE FROM login_owners WHERE login_id = ?"
    ErasurePut Write "INSERT INTO erasures (listing, user_id) VALUES (?, ?)"
    ErasureRemove Write "DELETE FROM erasures WHERE listing = ? AND user_id = ?"
    ErasuresRead Read "SELECT user_id FROM erasures WHERE listing = ? LIMIT ?"

    // What falls due, by day.
    DueDayPut Write "INSERT INTO due_days (purpose, day) VALUES (?, ?)"
    DueDays Read "SELECT day FROM due_days WHERE purpose = ? AND day <= ? LIMIT ?"
    DueDayRemove Write "DELETE FROM due_days WHERE purpose = ? AND day = ?"
    DuePut Write "INSERT INTO due (purpose, day, at, owner, item) VALUES (?, ?, ?, ?, ?)"
    DueRead Read "SELECT at, owner, item FROM due WHERE purpose = ? AND day = ? AND at < ? LIMIT ?"
    DueRemove Write "DELETE FROM due WHERE purpose = ? AND day = ? AND at = ? AND owner = ? AND item = ?"

    // Devices and what was delivered to them.
    DeviceInsert Transaction "INSERT INTO devices (user_id, name, device_id, first_seen, last_seen) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS"
    DeviceSeen Transaction "UPDATE devices SET last_seen = ? WHERE user_id = ? AND name = ? IF device_id = ?"
    DeviceForget Transaction "DELETE FROM devices WHERE user_id = ? AND name = ? IF device_id = ?"
    DevicesRead Read "SELECT name, device_id, first_seen, last_seen FROM devices WHERE user_id = ? LIMIT ?"
    DevicesSerial SerialRead "SELECT name, device_id, first_seen, last_seen FROM devices WHERE user_id = ? LIMIT ?"
    CursorPut Write "INSERT INTO cursors (user_id, device_id, stream, epoch, since, number, at) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
    CursorRead Read "SELECT stream, epoch, since, number, at FROM cursors WHERE user_id = ? AND device_id = ? AND stream = ? LIMIT ?"
    CursorsOfDevice Read "SELECT stream, epoch, since, number, at FROM cursors WHERE user_id = ? AND device_id = ? LIMIT ?"
    CursorRemove Write "DELETE FROM cursors WHERE user_id = ? AND device_id = ? AND stream = ? AND epoch = ? AND since = ?"
    CursorsForget Write "DELETE FROM cursors WHERE user_id = ? AND device_id = ?"
    MarkInsert Transaction "INSERT INTO read_marks (user_id, stream, mark, change) VALUES (?, ?, ?, ?) IF NOT EXISTS"
    MarkChange Transaction "UPDATE read_marks SET mark = ?, change = ? WHERE user_id = ? AND stream = ? IF change = ?"
    MarkRemove Transaction "DELETE FROM read_marks WHERE user_id = ? AND stream = ? IF EXISTS"
    MarkRead Read "SELECT mark, change FROM read_marks WHERE user_id = ? AND stream = ? LIMIT 1"
    MarkSerial SerialRead "SELECT mark, change FROM read_marks WHERE user_id = ? AND stream = ? LIMIT 1"
    MarksOfUser SerialRead "SELECT stream FROM read_marks WHERE user_id = ? LIMIT ?"
    LetterInsert Transaction "INSERT INTO dead_letters (letter_id, letter, stamp, change) VALUES (?, ?, ?, ?) IF NOT EXISTS"
    LetterChange Transaction "UPDATE dead_letters SET letter = ?, stamp = ?, change = ? WHERE letter_id = ? IF change = ?"
    LetterRemove Transaction "DELETE FROM dead_letters WHERE letter_id = ? IF change = ?"
    LetterRead Read "SELECT letter FROM dead_letters WHERE letter_id = ? LIMIT 1"
    LetterSerial SerialRead "SELECT letter, stamp, change FROM dead_letters WHERE letter_id = ? LIMIT 1"
    ListPut Write "INSERT INTO dead_letter_lists (listing, letter) VALUES (?, ?) USING TIMESTAMP ?"
    ListRemove Write "DELETE FROM dead_letter_lists USING TIMESTAMP ? WHERE listing = ? AND letter = ?"
    ListBefore Read "SELECT letter FROM dead_letter_lists WHERE listing = ? AND letter < ? ORDER BY letter DESC LIMIT ?"
    ListAfter Read "SELECT letter FROM dead_letter_lists WHERE listing = ? AND letter >= ? LIMIT ?"
    ListAll Read "SELECT letter FROM dead_letter_lists WHERE listing = ? ORDER BY letter DESC LIMIT ?"

    // What is owed to persons.
    SubscriberPut Write "INSERT INTO subscribers (stream, user_id, class) VALUES (?, ?, ?)"
    SubscriberRead Read "SELECT user_id, class FROM subscribers WHERE stream = ? LIMIT 1"
    SubscriberRemove Write "DELETE FROM subscribers WHERE stream = ?"
    SubscriptionPut Write "INSERT INTO subscriptions (user_id, stream) VALUES (?, ?)"
    SubscriptionsRead Read "SELECT stream FROM subscriptions WHERE user_id = ? LIMIT ?"
    SubscriptionRemove Write "DELETE FROM subscriptions WHERE user_id = ? AND stream = ?"
    WatchPut Write "INSERT INTO watches (user_id, stream, class, epoch, through, found, due_at, unsaid_first, unsaid_last, escalated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    WatchRead Read "SELECT class, epoch, through, found, due_at, unsaid_first, unsaid_last, escalated_at FROM watches WHERE user_id = ? AND stream = ? LIMIT 1"
    WatchRemove Write "DELETE FROM watches WHERE user_id = ? AND stream = ?"
    NotedPut Write "INSERT INTO noted (listing, space, shard, slot) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
    NotedRead Read "SELECT space, shard, slot FROM noted WHERE listing = ? LIMIT ?"
    TimelineDayPut Write "INSERT INTO timeline_days (user_id, day) VALUES (?, ?)"
    TimelineDays Read "SELECT day FROM timeline_days WHERE user_id = ? LIMIT ?"
    TimelineDayRemove Write "DELETE FROM timeline_days WHERE user_id = ? AND day = ?"
    TimelinePut Write "INSERT INTO timelines (user_id, day, stream, number, step, at, passage) VALUES (?, ?, ?, ?, ?, ?, ?)"
    TimelineRead Read "SELECT at, passage FROM timelines WHERE user_id = ? AND day = ? AND stream = ? AND number = ? LIMIT ?"
    TimelinesOfDay Read "SELECT stream, number, at, passage FROM timelines WHERE user_id = ? AND day = ? LIMIT ?"
    TimelinesOfStream Read "SELECT stream, number, at, passage FROM timelines WHERE user_id = ? AND day = ? AND stream = ? AND number > ? LIMIT ?"
    TimelinesAfter Read "SELECT stream, number, at, passage FROM timelines WHERE user_id = ? AND day = ? AND stream > ? LIMIT ?"
    TimelinesRemove Write "DELETE FROM timelines WHERE user_id = ? AND day = ?"

    // The store itself.
    FoundingTake Transaction "INSERT INTO founding (id, store) VALUES (0, ?) IF NOT EXISTS"
    FoundingRead SerialRead "SELECT store FROM founding WHERE id = 0 LIMIT 1"
}
