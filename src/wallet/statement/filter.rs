//! What a statement is narrowed to.

use domain::ledger::Event;
use domain::time::Timestamp;
use protocol::http::transaction::{Direction, TransactionStatus, TransactionsQuery};
use protocol::value::Time;

use crate::app::App;
use crate::failure::Failure;
use crate::present::note::Note;
use crate::present::transaction::Entry;
use crate::wallet::{Caller, transaction};

/// The filters of a query.
pub(super) struct Filter {
    direction: Option<Direction>,
    status: Option<TransactionStatus>,
    category: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

/// What is to be done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is shown.
    Shown,
    /// It is not.
    Passed,
    /// Neither it nor any older one is.
    Over,
}

impl Filter {
    pub(super) fn of(query: &TransactionsQuery) -> Self {
        Self {
            direction: query.direction,
            status: query.status,
            category: query.category.as_deref().map(|category| category.trim().to_owned()),
            from: query.from.map(Time::timestamp),
            to: query.to.map(Time::timestamp),
        }
    }

    /// Whether entries may be passed over.
    pub(super) const fn is_narrow(&self) -> bool {
        self.direction.is_some()
            || self.status.is_some()
            || self.category.is_some()
            || self.from.is_some()
            || self.to.is_some()
    }

    /// Looks at an entry: first at what costs nothing.
    pub(super) async fn judge(
        &self,
        app: &App,
        caller: &Caller,
        event: &Event,
        entry: &Entry<'_>,
    ) -> Result<Verdict, Failure> {
        // Times are compared as they are shown, in whole milliseconds.
        let at = Time::of(event.meta.at).timestamp();
        if self.from.is_some_and(|from| at < from) {
            return Ok(Verdict::Over);
        }
        if self.to.is_some_and(|to| at >= to) || self.direction.is_some_and(|wanted| wanted != entry.direction) {
            return Ok(Verdict::Passed);
        }
        if let Some(wanted) = &self.category {
            let note = Note::open(&app.sealer, entry.movement.note.as_ref(), caller.user).await?;
            if note.category.as_ref() != Some(wanted) {
                return Ok(Verdict::Passed);
            }
        }
        if let Some(wanted) = self.status
            && transaction::status(app, entry).await? != wanted
        {
            return Ok(Verdict::Passed);
        }
        Ok(Verdict::Shown)
    }
}
