//! Commands that wait for facts, and those that must not overtake them.

use std::collections::{BTreeMap, VecDeque};

use domain::ledger::Command;

use crate::account::facts::Wanted;
use crate::call::Reply;

/// A command with what it wants to know.
type Parked = (Wanted, Box<Command>, Reply);

/// Commands that wait. Bounded by the permits of the account, one a command.
#[derive(Default)]
pub(super) struct Parking {
    tickets: u64,
    looking: BTreeMap<u64, Parked>,
    behind: VecDeque<Parked>,
}

impl Parking {
    /// Whether a command that touches the same key, original or hold waits already.
    pub(super) fn has(&self, wanted: &Wanted) -> bool {
        let same = |(other, _, _): &Parked| other.touches(wanted);
        self.looking.values().any(same) || self.behind.iter().any(same)
    }

    /// Parks a command while its facts are read.
    pub(super) fn park(&mut self, wanted: Wanted, command: Box<Command>, reply: Reply) -> u64 {
        self.tickets += 1;
        self.looking.insert(self.tickets, (wanted, command, reply));
        self.tickets
    }

    /// Queues a command behind one that touches the same.
    pub(super) fn wait(&mut self, wanted: Wanted, command: Box<Command>, reply: Reply) {
        self.behind.push_back((wanted, command, reply));
    }

    /// The command whose facts were read.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Parked> {
        self.looking.remove(&ticket)
    }

    /// The first waiting command that nothing holds back any more.
    pub(super) fn next(&mut self) -> Option<Parked> {
        let free = |(place, (wanted, _, _)): (usize, &Parked)| {
            let held = self.looking.values().any(|(other, _, _)| other.touches(wanted))
                || self.behind.iter().take(place).any(|(other, _, _)| other.touches(wanted));
            (!held).then_some(place)
        };
        let place = self.behind.iter().enumerate().find_map(free)?;
        self.behind.remove(place)
    }
}
