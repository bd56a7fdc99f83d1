//! When each transfer is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How long after the end what was due before it is still sent. A backlog of more is a result.
const BACKLOG: Duration = Duration::from_secs(30);

/// Hands out tickets to send: at a rate, or whenever somebody asks.
///
/// A thread of its own keeps the time. The runtime's timers are a millisecond coarse, which is as
/// much as a good answer takes. Whatever was due is sent, however late a connection is free for it:
/// leaving it out would leave out what a slow server does to those who wait.
pub(crate) struct Pace {
    rate: Option<u32>,
    start: Instant,
    warm_until: Instant,
    end: Instant,
    tickets: u64,
    taken: AtomicU64,
    due: Arc<Semaphore>,
}

/// One transfer to send.
#[derive(Clone, Copy)]
pub(crate) struct Ticket {
    /// Its number, from 0.
    pub(crate) number: u64,
    /// When it is meant to be sent.
    pub(crate) due: Instant,
}

impl Pace {
    /// Starts now.
    pub(crate) fn start(rate: Option<u32>, warm_up: Duration, length: Duration) -> Self {
        let start = Instant::now();
        let whole = warm_up + length;
        let tickets = rate.map_or(u64::MAX, |rate| tickets(whole, rate));
        let due = Arc::new(Semaphore::new(0));
        if let Some(rate) = rate {
            let due = Arc::clone(&due);
            std::thread::spawn(move || keep_time(&due, start, rate, tickets));
        }
        let warm_until = start + warm_up;
        Self { rate, start, warm_until, end: start + whole, tickets, taken: AtomicU64::new(0), due }
    }

    /// Waits until a transfer is due. None when there is no more.
    pub(crate) async fn next(&self) -> Option<Ticket> {
        let Some(rate) = self.rate else {
            let due = Instant::now();
            return (due < self.end).then(|| Ticket { number: self.taken.fetch_add(1, Ordering::Relaxed), due });
        };
        // Never closed; a permit that is handed on lets the next one see the end, too.
        let permit = self.due.acquire().await.ok()?;
        if Instant::now() > self.end + BACKLOG {
            return None;
        }
        let take = |taken| (taken < self.tickets).then_some(taken + 1);
        let number = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        permit.forget();
        Some(Ticket { number, due: self.start + nth(number, rate) })
    }

    /// Whether what was due then is measured, or was to warm up.
    pub(crate) fn counts(&self, due: Instant) -> bool {
        due >= self.warm_until
    }

    /// How many were due and never sent.
    pub(crate) fn unsent(&self) -> u64 {
        if self.rate.is_some() { self.tickets - self.taken.load(Ordering::Relaxed) } else { 0 }
    }
}

/// Adds a permit when each ticket is due, and one more for the end.
fn keep_time(due: &Semaphore, start: Instant, rate: u32, tickets: u64) {
    for ticket in 0..tickets {
        let at = start + nth(ticket, rate);
        if let Some(wait) = at.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        due.add_permits(1);
    }
    due.add_permits(1);
}

/// How many tickets are due in this time.
fn tickets(whole: Duration, rate: u32) -> u64 {
    u64::try_from(whole.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(u64::MAX)
}

/// How long after the start the ticket is due.
fn nth(ticket: u64, rate: u32) -> Duration {
    let nanos = u128::from(ticket) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whatever_is_due_is_sent_once_and_late_if_need_be() {
        let pace = Arc::new(Pace::start(Some(2000), Duration::ZERO, Duration::from_millis(100)));
        let mut takers = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let pace = Arc::clone(&pace);
            takers.spawn(async move {
                let mut numbers = Vec::new();
                while let Some(ticket) = pace.next().await {
                    assert!(ticket.due <= Instant::now());
                    numbers.push(ticket.number);
                }
                numbers
            });
        }
        let mut numbers: Vec<u64> = takers.join_all().await.into_iter().flatten().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        assert_eq!(pace.unsent(), 0);
    }

    #[test]
    fn tickets_are_even() {
        assert_eq!(nth(2000, 2000), Duration::from_secs(1));
        assert_eq!(nth(1, 1000), Duration::from_millis(1));
        assert_eq!(tickets(Duration::from_mins(1), 1000), 60_000);
    }
}
