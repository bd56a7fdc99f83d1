//! Statements: the entries of the caller's account, newest first.
//!
//! Pages by number are entry arithmetic: entries are dense, so page and total are known without counting. Pages by
//! cursor go on at an offset. Filters read at most [`SCAN_MAX`] events a request; where that ends a page early, its
//! cursor goes on from there.

mod filter;
mod history;
pub mod newest;

use protocol::code::Code;
use protocol::http::page::{LIMIT_DEFAULT, LIMIT_MAX};
use protocol::http::transaction::{TransactionsQuery, TransactionsResponse};
use protocol::problem::FieldCode;

use crate::app::App;
use crate::failure::Failure;
use crate::present::transaction::Entry;
use crate::wallet::{Caller, cursor, transaction};
use filter::{Filter, Verdict};
use history::History;

/// The most events that one filtered page reads: some 20 ms.
const SCAN_MAX: usize = 2_000;

/// A page of the caller's statement. It shows every durable event of before: a person reads their own writes.
///
/// # Errors
/// The query is not valid, or the account cannot be read now.
pub async fn statement(app: &App, caller: &Caller, query: &TransactionsQuery) -> Result<TransactionsResponse, Failure> {
    let limit = limit(query.limit)?;
    let place = Place::of(query)?;
    let history = History::open(app, app.account_of(caller.user)).await?;
    let filter = Filter::of(query);
    let before = match place {
        Place::Cursor(before) => before,
        Place::Page(page) => match history.before_page(page, limit).await? {
            Some(before) => before,
            None => return Ok(empty(limit, page, history.entries())),
        },
        Place::Newest => history.before_time(query.to.map(protocol::value::Time::timestamp)).await?,
    };
    let mut response = scan(app, caller, &history, &filter, before, limit).await?;
    if let Place::Page(page) = place {
        response.page = Some(page);
        response.total = Some(history.entries());
    }
    Ok(response)
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Newest,
    Page(u32),
    Cursor(u64),
}

impl Place {
    fn of(query: &TransactionsQuery) -> Result<Self, Failure> {
        match (query.page, query.cursor.as_deref()) {
            (Some(_), _) if query.is_filtered() => Err(Code::PageWithFilter.into()),
            (Some(_), Some(_)) => Err(Failure::field("cursor", FieldCode::Conflicting, "excludes `page`")),
            (Some(0), None) => Err(Failure::field("page", FieldCode::TooSmall, "is 1 or more")),
            (Some(page), None) => Ok(Self::Page(page)),
            (None, Some(cursor)) => Ok(Self::Cursor(cursor::read_statement(cursor)?)),
            (None, None) => Ok(Self::Newest),
        }
    }
}

/// The number of items a page, if it is one that may be asked for.
///
/// # Errors
/// It is out of range.
pub fn limit(limit: Option<u32>) -> Result<u32, Failure> {
    match limit {
        None => Ok(LIMIT_DEFAULT),
        Some(0) => Err(Failure::field("limit", FieldCode::TooSmall, "is 1 or more")),
        Some(limit) if limit > LIMIT_MAX => Err(Failure::field("limit", FieldCode::TooLarge, "is 100 or less")),
        Some(limit) => Ok(limit),
    }
}

fn empty(limit: u32, page: u32, total: u64) -> TransactionsResponse {
    TransactionsResponse { transactions: Vec::new(), next_cursor: None, page: Some(page), limit, total: Some(total) }
}

/// Reads events backwards until the page is full, the account begins, or enough was read.
async fn scan(
    app: &App,
    caller: &Caller,
    history: &History<'_>,
    filter: &Filter,
    mut before: u64,
    limit: u32,
) -> Result<TransactionsResponse, Failure> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut transactions = Vec::with_capacity(wanted);
    let mut read = 0;
    let response =
        |transactions, next_cursor| TransactionsResponse { transactions, next_cursor, page: None, limit, total: None };
    loop {
        let events = history.events_before(before, wanted.max(newest::EVENTS)).await?;
        if events.is_empty() {
            return Ok(response(transactions, None));
        }
        for event in &events {
            before = event.offset;
            read += 1;
            let Some(entry) = Entry::of(event) else { continue };
            match filter.judge(app, caller, event, &entry).await? {
                Verdict::Shown => transactions.push(transaction::read(app, caller, event, entry).await?),
                Verdict::Passed => {}
                Verdict::Over => return Ok(response(transactions, None)),
            }
            // The account's first entry is the last of the list: nothing is asked for once more to learn that.
            if entry.movement.entry.number == 1 {
                return Ok(response(transactions, None));
            }
            if transactions.len() == wanted {
                return Ok(response(transactions, Some(cursor::statement(before))));
            }
        }
        if filter.is_narrow() && read >= SCAN_MAX {
            return Ok(response(transactions, Some(cursor::statement(before))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::http::transaction::Direction;

    #[test]
    fn a_place_is_one_of_three() {
        let query = |page, cursor: Option<&str>, direction| TransactionsQuery {
            page,
            cursor: cursor.map(str::to_owned),
            direction,
            ..TransactionsQuery::default()
        };
        let given = cursor::statement(9);
        assert_eq!(Place::of(&query(None, None, None)), Ok(Place::Newest));
        assert_eq!(Place::of(&query(Some(2), None, None)), Ok(Place::Page(2)));
        assert_eq!(Place::of(&query(None, Some(&given), Some(Direction::Debit))), Ok(Place::Cursor(9)));
        for (query, code) in [
            (query(Some(1), None, Some(Direction::Debit)), Code::PageWithFilter),
            (query(Some(1), Some(&given), None), Code::ValidationFailed),
            (query(Some(0), None, None), Code::ValidationFailed),
            (query(None, Some("nonsense"), None), Code::CursorInvalid),
        ] {
            assert_eq!(Place::of(&query).unwrap_err().code, code, "{query:?}");
        }
    }

    #[test]
    fn a_limit_is_1_to_100() {
        assert_eq!([limit(None), limit(Some(1)), limit(Some(100))], [Ok(20), Ok(1), Ok(100)]);
        assert!(limit(Some(0)).is_err() && limit(Some(101)).is_err());
    }
}
