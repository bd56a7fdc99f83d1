//! What a store says of itself, written once when it is made: one row that whoever comes first writes.

use storage::Error;

use crate::Cql;
use crate::applied::Applied;
use crate::statements::Named;

/// What the store says, if it was made.
///
/// # Errors
/// The store does not answer.
pub async fn read(cql: &Cql) -> Result<Option<String>, Error> {
    Ok(cql.row::<(String,)>(Named::FoundingRead, ()).await?.map(|(store,)| store))
}

/// Makes the store say this, unless it says something already. Answers what it says.
///
/// # Errors
/// The store does not answer.
pub async fn take(cql: &Cql, store: &str) -> Result<String, Error> {
    let settled = cql.transaction(Named::FoundingTake, "founding", (store,)).await?;
    match settled.applied {
        Applied::Yes => Ok(store.to_owned()),
        Applied::No(there) => Ok(there.text("store").unwrap_or_default().to_owned()),
    }
}
