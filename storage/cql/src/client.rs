//! The connection to a CQL store: one session, every statement prepared, and how each kind of request is sent.
//!
//! The driver never sends a lightweight transaction twice: what became of it is found out here, by offering the same
//! one again until the store says. Of one partition only one is in flight in a process, since two would only hinder
//! each other, and of all together a configured number.

mod connection;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use metrics::{Counter, counter, histogram};
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use storage::Error;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::applied::Applied;
use crate::config::CqlConfig;
use crate::error::{Fate, failed, fate, is_contention, unreadable};
use crate::metrics::{
    FAILURES, KIND, REQUESTS, STORE, TRANSACTION_SECONDS, TRANSACTIONS_CONTENDED, TRANSACTIONS_UNKNOWN,
};
use crate::statements::{self, Kind, Named, table};
pub use connection::Connection;

/// How often one lightweight transaction or serial reading is offered before the caller hears that nobody knows.
const OFFERS_MAX: u32 = 8;

/// How long to wait before the second offer; twice as long before each one after it.
const BACK_OFF: Duration = Duration::from_millis(10);

/// The longest wait between two offers.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// Statements prepared at once: a store that has just started is not asked for all of them together.
const PREPARING_MAX: usize = 8;

/// Locks that partitions share. Two that share one by chance wait for each other, which costs little.
const LOCKS: usize = 4_096;

/// Readings and plain writes in flight. Others wait here: a store that is behind is not helped by more of them.
const PLAIN_MAX: usize = 256;

/// A CQL store, connected.
pub struct Cql {
    connection: Connection,
    keyspace: String,
    prepared: Vec<Prepared>,
    locks: Vec<Mutex<()>>,
    transactions: Semaphore,
    plain: Semaphore,
}

/// A statement, and how often it was sent.
struct Prepared {
    statement: PreparedStatement,
    requests: Counter,
}

/// What became of a lightweight transaction.
#[derive(Debug)]
pub(crate) struct Settled {
    /// The last answer.
    pub(crate) applied: Applied,
    /// An earlier offer had no answer: a refusal may be of what that one did.
    pub(crate) repeated: bool,
}

impl Settled {
    /// Whether it was applied by the offer that was answered.
    pub(crate) fn is_applied(&self) -> bool {
        matches!(self.applied, Applied::Yes)
    }
}

impl Cql {
    /// Prepares every statement on a connection to a store whose schema is as this build wants it.
    ///
    /// # Errors
    /// The store does not answer or does not know a table.
    pub async fn prepare(connection: Connection, config: &CqlConfig) -> Result<Self, Error> {
        let session = &connection;
        let prepare = |&(_, kind, text): &(Named, Kind, &'static str)| async move {
            let statement = session.prepare(kind, in_keyspace(text, config)).await?;
            Ok::<_, Error>(Prepared { statement, requests: requests(kind.name(), text) })
        };
        let prepared = stream::iter(statements::ALL).map(prepare).buffered(PREPARING_MAX).try_collect().await?;
        Ok(Self {
            connection,
            keyspace: config.keyspace.clone(),
            prepared,
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            transactions: Semaphore::new(config.transactions_max.into()),
            plain: Semaphore::new(PLAIN_MAX),
        })
    }

    /// The connection itself.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The keyspace of the store.
    pub(crate) fn keyspace(&self) -> &str {
        &self.keyspace
    }

    /// Removes every row of a table at once, stamps or not.
    pub(crate) async fn clear(&self, table: &str) -> Result<(), Error> {
        self.connection.execute(&format!("TRUNCATE {}.{table}", self.keyspace)).await
    }

    /// All rows of a reading, which its limit bounds.
    pub(crate) async fn rows<T>(&self, named: Named, values: impl SerializeRow + Sync) -> Result<Vec<T>, Error>
    where
        T: for<'f> DeserializeRow<'f, 'f>,
    {
        let what = text(named);
        let rows = self.read(named, &values).await?.into_rows_result().map_err(|error| unreadable(what, error))?;
        let typed = rows.rows::<T>().map_err(|error| unreadable(what, error))?;
        typed.collect::<Result<_, _>>().map_err(|error| unreadable(what, error))
    }

    /// The only row of a reading, if there is one.
    pub(crate) async fn row<T>(&self, named: Named, values: impl SerializeRow + Sync) -> Result<Option<T>, Error>
    where
        T: for<'f> DeserializeRow<'f, 'f>,
    {
        Ok(self.rows(named, values).await?.pop())
    }

    /// An upsert or a removal.
    pub(crate) async fn write(&self, named: Named, values: impl SerializeRow) -> Result<(), Error> {
        let _permit = self.plain.acquire().await.map_err(|_| closed())?;
        let done = self.execute(named, &values).await;
        done.map(drop).map_err(|error| failed_with(text(named), &error))
    }

    /// Upserts of one request. Each is done or not, whatever becomes of the others.
    pub(crate) async fn write_all(&self, rows: Vec<(Named, impl SerializeRow)>) -> Result<(), Error> {
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        batch.set_execution_profile_handle(Some(self.connection.profile(Kind::Write)));
        let mut values = Vec::with_capacity(rows.len());
        // Rows of one request are of one store.
        let first = rows.first().map(|(named, _)| *named);
        for (named, row) in rows {
            batch.append_statement(self.prepared(named).statement.clone());
            values.push(row);
        }
        let _permit = self.plain.acquire().await.map_err(|_| closed())?;
        requests("batch", first.map(text).unwrap_or_default()).increment(1);
        let done = self.connection.session().batch(&batch, values).await;
        done.map(drop).map_err(|error| failed_with("a batch of rows", &error))
    }

    /// A lightweight transaction on the rows of `partition`, offered until the store says what became of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if nobody knows: it may still take effect.
    pub(crate) async fn transaction(
        &self,
        named: Named,
        partition: impl Hash,
        values: impl SerializeRow + Sync,
    ) -> Result<Settled, Error> {
        let begun = Instant::now();
        let _alone = self.lock(&(table(text(named)), partition)).lock().await;
        let _permit = self.transactions.acquire().await.map_err(|_| closed())?;
        let (result, repeated) = self.offer(named, &values).await?;
        histogram!(TRANSACTION_SECONDS).record(begun.elapsed().as_secs_f64());
        Ok(Settled { applied: Applied::read(result)?, repeated })
    }

    /// Sends a reading; a serial one as often as it takes.
    async fn read(&self, named: Named, values: &(impl SerializeRow + Sync)) -> Result<QueryResult, Error> {
        let _permit = self.plain.acquire().await.map_err(|_| closed())?;
        if kind(named) == Kind::SerialRead {
            return self.offer(named, values).await.map(|(result, _)| result);
        }
        self.execute(named, values).await.map_err(|error| failed_with(text(named), &error))
    }

    /// Sends the same request until it is answered; says whether an earlier one may have had an effect.
    async fn offer(&self, named: Named, values: &(impl SerializeRow + Sync)) -> Result<(QueryResult, bool), Error> {
        let mut wait = BACK_OFF;
        let mut repeated = false;
        let mut offers = 0;
        loop {
            let error = match self.execute(named, values).await {
                Ok(result) => return Ok((result, repeated)),
                Err(error) => error,
            };
            offers += 1;
            counter!(FAILURES, KIND => kind(named).name()).increment(1);
            if fate(&error) == Fate::Wrong || offers == OFFERS_MAX {
                return Err(failed(text(named), &error));
            }
            if is_contention(&error) {
                counter!(TRANSACTIONS_CONTENDED).increment(1);
            }
            if fate(&error) == Fate::Unknown {
                repeated = true;
                counter!(TRANSACTIONS_UNKNOWN).increment(1);
            }
            // Not all of those that hinder one another come back at once.
            tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.5))).await;
            wait = (wait * 2).min(BACK_OFF_MAX);
        }
    }

    async fn execute(&self, named: Named, values: &impl SerializeRow) -> Result<QueryResult, ExecutionError> {
        let Prepared { statement, requests } = self.prepared(named);
        requests.increment(1);
        self.connection.session().execute_unpaged(statement, values).await
    }

    fn prepared(&self, named: Named) -> &Prepared {
        &self.prepared[named as usize]
    }

    fn lock(&self, partition: &impl Hash) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        partition.hash(&mut hasher);
        let number = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or(0);
        &self.locks[number]
    }
}

/// Does a write to its end, though its caller may go away.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work).await.map_err(|error| Error::Unavailable(format!("a write did not end: {error}")))?
}

/// A request that failed, counted.
fn failed_with(what: &str, error: &ExecutionError) -> Error {
    counter!(FAILURES, KIND => "request").increment(1);
    failed(what, error)
}

fn closed() -> Error {
    Error::Unavailable("the connection to the store is closed".to_owned())
}

fn kind(named: Named) -> Kind {
    statements::ALL[named as usize].1
}

fn text(named: Named) -> &'static str {
    statements::ALL[named as usize].2
}

/// The count of requests of a kind, to the store that the statement is about.
fn requests(kind: &'static str, text: &str) -> Counter {
    let store = statements::store(table(text)).unwrap_or_default();
    counter!(REQUESTS, KIND => kind, STORE => store)
}

/// A statement with its table in the configured keyspace: a session that is told its keyspace is warned of it.
fn in_keyspace(text: &str, config: &CqlConfig) -> String {
    let table = table(text);
    text.replacen(&format!(" {table} "), &format!(" {}.{table} ", config.keyspace), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_found_by_their_names() {
        for (index, (named, _, text)) in statements::ALL.iter().enumerate() {
            assert_eq!(*named as usize, index);
            assert!(statements::store(table(text)).is_some(), "{text}: whose rows are these?");
        }
        for (named, expected) in [
            (Named::JournalAppend, "INSERT INTO quickpe.journal (space, "),
            (Named::EmailRelease, "DELETE FROM quickpe.emails WHERE "),
            (Named::LoginChange, "UPDATE quickpe.logins SET "),
            (Named::EmailRead, "SELECT user_id FROM quickpe.emails WHERE "),
        ] {
            let text = in_keyspace(text(named), &CqlConfig::default());
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
