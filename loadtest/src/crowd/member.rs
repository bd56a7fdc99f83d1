//! One session: where it is in its stream, and its connection if it has one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::line::Line;

/// What became of an offset that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is new.
    New,
    /// It came before, on an earlier connection.
    Again,
    /// It came before on this connection.
    Twice,
    /// So many before it did not come.
    Skipped(u64),
}

/// One session. It outlives its connections.
#[derive(Default)]
pub(super) struct Member {
    /// Its number in the worker.
    pub(super) index: usize,
    /// Its number in the run.
    pub(super) number: usize,
    line: RefCell<Option<Rc<Line>>>,
    task: RefCell<Option<AbortHandle>>,
    /// Everything up to here came on this connection, or was before it.
    next: Cell<u64>,
    /// Everything up to here was ever heard.
    heard: Cell<u64>,
    acknowledged: Cell<u64>,
    /// The stream's newest offset when it was subscribed.
    head: Cell<Option<u64>>,
    began: Cell<bool>,
    stalled: Cell<bool>,
    /// The offset of the account's balance, once it was answered.
    pub(super) balance: Cell<Option<u64>>,
    /// Tells that something came, to whoever waits for it.
    pub(super) changed: Notify,
}

impl Member {
    /// A session that is not connected yet.
    pub(super) fn of(index: usize, number: usize) -> Self {
        Self { index, number, ..Self::default() }
    }

    /// The connection, if there is one.
    pub(super) fn line(&self) -> Option<Rc<Line>> {
        self.line.borrow().clone()
    }

    /// This task is its connection's.
    pub(super) fn runs(&self, task: AbortHandle) {
        self.task.replace(Some(task));
    }

    /// It is connected.
    pub(super) fn connected(&self, line: &Rc<Line>) {
        self.head.set(None);
        self.line.replace(Some(Rc::clone(line)));
    }

    /// It is no longer connected.
    pub(super) fn gone(&self) {
        self.line.replace(None);
    }

    /// Ends the connection as a cable does that is pulled.
    pub(super) fn cut(&self) {
        self.gone();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// Reads nothing any more, and stays connected.
    pub(super) fn stall(&self) {
        self.stalled.set(true);
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// Whether it reads nothing any more.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.get()
    }

    /// Whether it is subscribed.
    pub(super) fn is_subscribed(&self) -> bool {
        self.head.get().is_some()
    }

    /// What follows begins after `from`. Answers how many offsets are left out between what was heard
    /// before and this.
    pub(super) fn subscribed(&self, from: u64, head: u64) -> u64 {
        let left_out = if self.began.replace(true) { from.saturating_sub(self.heard.get()) } else { 0 };
        self.heard.set(self.heard.get().max(from));
        self.next.set(from);
        self.acknowledged.set(from);
        self.head.set(Some(head));
        left_out
    }

    /// An offset came.
    pub(super) fn came(&self, offset: u64) -> Step {
        let (next, heard) = (self.next.get(), self.heard.get());
        if offset <= next {
            return Step::Twice;
        }
        self.next.set(offset);
        self.heard.set(heard.max(offset));
        match offset - next - 1 {
            0 if offset <= heard => Step::Again,
            0 => Step::New,
            skipped => Step::Skipped(skipped),
        }
    }

    /// Offsets up to here will not come.
    pub(super) fn passed(&self, to: u64) {
        self.next.set(self.next.get().max(to));
        self.heard.set(self.heard.get().max(to));
    }

    /// Up to where it has heard on this connection.
    pub(super) fn place(&self) -> u64 {
        self.next.get()
    }

    /// What to acknowledge, if at least so many messages are not.
    pub(super) fn to_acknowledge(&self, at_least: u64) -> Option<u64> {
        let upto = self.next.get();
        let is_due = upto >= self.acknowledged.get().saturating_add(at_least);
        if is_due {
            self.acknowledged.set(upto);
        }
        is_due.then_some(upto)
    }

    /// Whether it has heard everything that there was when it was subscribed.
    pub(super) fn is_caught_up(&self) -> bool {
        self.head.get().is_some_and(|head| self.next.get() >= head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_knows_what_it_missed() {
        let member = Member::of(0, 0);
        assert_eq!(member.subscribed(5, 5), 0, "a first subscription misses nothing");
        assert!(member.is_caught_up());
        assert_eq!(
            [6, 7, 7, 9].map(|offset| member.came(offset)),
            [Step::New, Step::New, Step::Twice, Step::Skipped(1)]
        );
        assert_eq!(member.to_acknowledge(10), None);
        assert_eq!(member.to_acknowledge(1), Some(9));
        assert_eq!(member.to_acknowledge(1), None);
        // Back from an earlier place: what was heard comes again, then what is new.
        assert_eq!(member.subscribed(8, 10), 0);
        assert!(!member.is_caught_up());
        assert_eq!([9, 10].map(|offset| member.came(offset)), [Step::Again, Step::New]);
        assert!(member.is_caught_up());
        // Back from a later place than what was heard: something is lost.
        assert_eq!(member.subscribed(13, 13), 3);
        member.passed(20);
        assert_eq!(member.came(21), Step::New);
    }
}
