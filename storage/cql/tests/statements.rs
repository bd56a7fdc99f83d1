//! Every statement is in what both ScyllaDB 2025.4 and Apache Cassandra 5.0 document, and keeps the store's own rules.
//!
//! The rules: a reading has a limit, names its whole partition key and filters by nothing that is not sorted; no table is
//! written both by lightweight transactions and by plain writes; a transaction has no stamp.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};

use storage_cql::schema::{MIGRATIONS, VERSIONS};
use storage_cql::statements::{ALL, Kind};

/// A table of the schema.
struct Table {
    columns: BTreeMap<String, String>,
    partition: Vec<String>,
    clustering: Vec<String>,
}

/// Words and signs of a statement.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            word.push(letter);
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        if !letter.is_whitespace() {
            let is_pair = "<>".contains(letter) && letters.next_if_eq(&'=').is_some();
            tokens.push(if is_pair { format!("{letter}=") } else { letter.to_string() });
        }
    }
    if !word.is_empty() {
        tokens.push(word);
    }
    tokens
}

/// The grammar of what both servers have, read from left to right.
struct Reader<'a> {
    text: &'a str,
    tokens: Vec<String>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, tokens: tokens(text), at: 0 }
    }

    fn next(&mut self) -> String {
        self.at += 1;
        self.tokens.get(self.at - 1).unwrap_or_else(|| panic!("{}: it ends too early", self.text)).clone()
    }

    fn take(&mut self, token: &str) -> bool {
        let is_next = self.tokens.get(self.at).is_some_and(|next| next == token);
        self.at += usize::from(is_next);
        is_next
    }

    fn want(&mut self, words: &str) {
        for word in words.split(' ') {
            assert!(self.take(word), "{}: `{word}` is missing at token {}", self.text, self.at);
        }
    }

    /// A name: small letters, and no word that either server reserves.
    fn name(&mut self) -> String {
        const RESERVED: [&str; 20] = [
            "add", "allow", "and", "batch", "by", "entries", "execute", "from", "full", "if", "in", "index", "is",
            "limit", "not", "of", "order", "schema", "to", "token",
        ];
        let name = self.next();
        let sound = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(sound && !RESERVED.contains(&name.as_str()), "{}: `{name}` is no name", self.text);
        name
    }

    fn names(&mut self) -> Vec<String> {
        self.want("(");
        let mut names = vec![self.name()];
        while self.take(",") {
            names.push(self.name());
        }
        self.want(")");
        names
    }

    /// A marker, or a whole number.
    fn value(&mut self) {
        let value = self.next();
        assert!(value == "?" || value.parse::<u32>().is_ok(), "{}: `{value}` is no value", self.text);
    }

    /// `column = ?`, or another comparison: the column and the sign.
    fn comparisons(&mut self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        loop {
            let column = self.name();
            let sign = self.next();
            assert!(["=", "<", ">", "<=", ">="].contains(&sign.as_str()), "{}: `{sign}`", self.text);
            self.value();
            all.push((column, sign));
            if !self.take("AND") {
                return all;
            }
        }
    }

    fn end(&self) {
        assert_eq!(self.at, self.tokens.len(), "{}: more follows", self.text);
    }
}

/// What a statement was found to be.
#[derive(Default)]
struct Found {
    table: String,
    columns: Vec<String>,
    conditions: Vec<(String, String)>,
    order: Option<String>,
    is_reading: bool,
    is_removal: bool,
    is_insert: bool,
    is_conditional: bool,
    is_stamped: bool,
}

fn read(text: &str) -> Found {
    let mut reader = Reader::new(text);
    let mut found = Found::default();
    match reader.next().as_str() {
        "INSERT" => {
            reader.want("INTO");
            found.is_insert = true;
            found.table = reader.name();
            found.columns = reader.names();
            reader.want("VALUES (");
            for number in 0..found.columns.len() {
                if number > 0 {
                    reader.want(",");
                }
                reader.value();
            }
            reader.want(")");
            found.is_conditional = reader.take("IF");
            if found.is_conditional {
                reader.want("NOT EXISTS");
            }
            if reader.take("USING") {
                found.is_stamped = reader.take("TIMESTAMP");
                if !found.is_stamped {
                    reader.want("TTL");
                }
                reader.value();
            }
        }
        "SELECT" => {
            found.is_reading = true;
            loop {
                if reader.take("WRITETIME") {
                    found.columns.extend(reader.names());
                } else {
                    found.columns.push(reader.name());
                }
                if !reader.take(",") {
                    break;
                }
            }
            reader.want("FROM");
            found.table = reader.name();
            reader.want("WHERE");
            found.conditions = reader.comparisons();
            if reader.take("ORDER") {
                reader.want("BY");
                found.order = Some(reader.name());
                assert!(reader.take("ASC") || reader.take("DESC"), "{text}: in which order?");
            }
            reader.want("LIMIT");
            reader.value();
        }
        "UPDATE" => {
            found.table = reader.name();
            found.is_stamped = stamp(&mut reader);
            reader.want("SET");
            loop {
                found.columns.push(reader.name());
                reader.want("=");
                if !reader.take("null") {
                    reader.want("?");
                }
                if !reader.take(",") {
                    break;
                }
            }
            conditional(&mut reader, &mut found);
        }
        "DELETE" => {
            found.is_removal = true;
            reader.want("FROM");
            found.table = reader.name();
            found.is_stamped = stamp(&mut reader);
            conditional(&mut reader, &mut found);
        }
        other => panic!("{text}: `{other}`"),
    }
    reader.end();
    found
}

fn stamp(reader: &mut Reader<'_>) -> bool {
    let is_stamped = reader.take("USING");
    if is_stamped {
        reader.want("TIMESTAMP ?");
    }
    is_stamped
}

/// Where, and on what condition.
fn conditional(reader: &mut Reader<'_>, found: &mut Found) {
    reader.want("WHERE");
    found.conditions = reader.comparisons();
    found.is_conditional = reader.take("IF");
    if found.is_conditional && !reader.take("EXISTS") {
        found.columns.push(reader.name());
        reader.want("= ?");
    }
}

/// A change of a table that is there: of how its files are compacted.
fn altered(reader: &mut Reader<'_>, tables: &BTreeMap<String, Table>) {
    reader.want("TABLE");
    let name = reader.name();
    assert!(tables.contains_key(&name), "{}: no table {name}", reader.text);
    // Both servers have it, with these two options.
    reader.want("WITH compaction = { ' class ' : ' TimeWindowCompactionStrategy '");
    reader.want(", ' compaction_window_unit ' : ' DAYS ' , ' compaction_window_size ' : '");
    reader.value();
    reader.want("' }");
    reader.end();
}

/// The tables that the schema makes.
fn tables() -> BTreeMap<String, Table> {
    const TYPES: [&str; 6] = ["bigint", "blob", "int", "text", "tinyint", "uuid"];
    let mut tables = BTreeMap::new();
    for text in VERSIONS.iter().flat_map(|version| version.statements).chain(MIGRATIONS) {
        let mut reader = Reader::new(text);
        if reader.take("ALTER") {
            altered(&mut reader, &tables);
            continue;
        }
        reader.want("CREATE TABLE IF NOT EXISTS");
        let name = reader.name();
        reader.want("(");
        let mut table = Table { columns: BTreeMap::new(), partition: Vec::new(), clustering: Vec::new() };
        loop {
            if reader.take("PRIMARY") {
                reader.want("KEY (");
                table.partition = reader.names();
                while reader.take(",") {
                    table.clustering.push(reader.name());
                }
                reader.want(")");
            } else {
                let (column, kind) = (reader.name(), reader.next());
                assert!(TYPES.contains(&kind.as_str()), "{text}: `{kind}` is no type that we use");
                if reader.take("PRIMARY") {
                    reader.want("KEY");
                    table.partition = vec![column.clone()];
                }
                table.columns.insert(column, kind);
            }
            if !reader.take(",") {
                break;
            }
        }
        reader.want(")");
        if reader.take("WITH") {
            assert!(reader.take("gc_grace_seconds") || reader.take("default_time_to_live"), "{text}: which option?");
            reader.want("=");
            reader.value();
        }
        reader.end();
        assert!(!table.partition.is_empty(), "{name} has no key");
        assert!(tables.insert(name.clone(), table).is_none(), "{name} is made twice");
    }
    tables
}

#[test]
fn statements_are_in_what_both_servers_have() {
    let tables = tables();
    let mut writers: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for (named, kind, text) in ALL {
        let found = read(text);
        let table = tables.get(&found.table).unwrap_or_else(|| panic!("{named:?}: no table {}", found.table));
        for column in found.columns.iter().chain(found.conditions.iter().map(|(column, _)| column)) {
            assert!(table.columns.contains_key(column), "{named:?}: {} has no column {column}", found.table);
        }
        let is_reading = matches!(kind, Kind::Read | Kind::SerialRead);
        assert_eq!(found.is_reading, is_reading, "{named:?}");
        assert_eq!(found.is_conditional, *kind == Kind::Transaction, "{named:?}");
        assert!(!(found.is_conditional && found.is_stamped), "{named:?}: a transaction has no stamp");
        if !is_reading {
            writers.entry(found.table.clone()).or_default().insert(found.is_conditional);
        }
        if found.is_insert {
            let keys = table.partition.iter().chain(&table.clustering);
            assert!(keys.into_iter().all(|key| found.columns.contains(key)), "{named:?}: a part of the key is missing");
            continue;
        }
        // The whole partition key, then the clustering columns in their order, of which only the last may be a range.
        let sign_of = |column: &String| found.conditions.iter().find(|(name, _)| name == column).map(|(_, sign)| sign);
        for column in &table.partition {
            assert_eq!(sign_of(column).map(String::as_str), Some("="), "{named:?}: {column}");
        }
        let mut signs = table.clustering.iter().map_while(sign_of).peekable();
        let mut sorted = 0;
        while let Some(sign) = signs.next() {
            sorted += 1;
            assert!(sign == "=" || signs.peek().is_none(), "{named:?}: a range before the last column");
            // Two bounds of one column.
            let of_column = found.conditions.iter().filter(|(name, _)| *name == table.clustering[sorted - 1]).count();
            assert!(of_column <= 2, "{named:?}");
        }
        let known: BTreeSet<_> = table.partition.iter().chain(table.clustering.iter().take(sorted)).collect();
        assert!(found.conditions.iter().all(|(column, _)| known.contains(column)), "{named:?} filters");
        if !is_reading && !found.is_removal {
            assert_eq!(sorted, table.clustering.len(), "{named:?}: an update names its row");
        }
        if found.is_conditional {
            assert!(found.conditions.iter().all(|(_, sign)| sign == "="), "{named:?}: a transaction is on one row");
        }
        if let Some(order) = &found.order {
            let equal = table.clustering.iter().take_while(|column| sign_of(column).is_some_and(|sign| sign == "="));
            assert_eq!(table.clustering.get(equal.count()), Some(order), "{named:?} is not sorted so");
        }
    }
    for (table, kinds) in writers {
        assert_eq!(kinds.len(), 1, "{table} is written by transactions and without");
    }
}

#[test]
fn what_only_one_server_has_is_refused() {
    for text in [
        "SELECT user_id FROM people WHERE user_id = ?",
        "SELECT user_id FROM people WHERE user_id = ? LIMIT 1 ALLOW FILTERING",
        "SELECT user_id FROM people WHERE user_id = ? LIMIT 1 BYPASS CACHE",
        "SELECT count FROM people WHERE user_id IN ? LIMIT 1",
        "SELECT * FROM people WHERE user_id = ? LIMIT 1",
        "INSERT INTO people (user_id) VALUES (?) USING TIMEOUT 5",
        "UPDATE people SET email = 'a' WHERE user_id = ?",
        "TRUNCATE people",
    ] {
        let refused = std::panic::catch_unwind(|| read(text));
        assert!(refused.is_err(), "{text}");
    }
}
