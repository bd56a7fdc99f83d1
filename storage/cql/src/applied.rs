//! The answer to a lightweight transaction.
//!
//! Its columns differ from answer to answer: ScyllaDB always sends the row that was there, Apache Cassandra only when
//! it refuses, and then all of it (`IF NOT EXISTS`) or what the conditions name. So they are found by name.

use scylla::response::query_result::QueryResult;
use scylla::value::{CqlValue, Row};
use storage::Error;
use uuid::Uuid;

use crate::error::unreadable;

/// What became of a lightweight transaction.
#[derive(Debug)]
pub(crate) enum Applied {
    /// It was applied.
    Yes,
    /// It was not.
    No(There),
}

/// The row that was there instead, as far as the store says.
#[derive(Debug, Default)]
pub(crate) struct There {
    names: Vec<String>,
    values: Vec<Option<CqlValue>>,
}

impl Applied {
    /// Reads an answer.
    pub(crate) fn read(result: QueryResult) -> Result<Self, Error> {
        let what = "an answer to a lightweight transaction";
        let rows = result.into_rows_result().map_err(|error| unreadable(what, error))?;
        let names: Vec<String> = rows.column_specs().iter().map(|column| column.name().to_owned()).collect();
        let row = rows.first_row::<Row>().map_err(|error| unreadable(what, error))?;
        let there = There { names, values: row.columns };
        match there.get("[applied]") {
            Some(CqlValue::Boolean(true)) => Ok(Self::Yes),
            Some(CqlValue::Boolean(false)) => Ok(Self::No(there)),
            _ => Err(unreadable(what, "it does not say whether it was applied")),
        }
    }
}

impl There {
    fn get(&self, name: &str) -> Option<&CqlValue> {
        let at = self.names.iter().position(|column| column == name)?;
        self.values.get(at)?.as_ref()
    }

    /// A column of type `uuid`.
    pub(crate) fn uuid(&self, name: &str) -> Option<Uuid> {
        self.get(name).and_then(CqlValue::as_uuid)
    }

    /// A column of type `blob`.
    pub(crate) fn blob(&self, name: &str) -> Option<&[u8]> {
        match self.get(name)? {
            CqlValue::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A column of type `text`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text().map(String::as_str)
    }
}
