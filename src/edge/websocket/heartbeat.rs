//! One wheel of heartbeats for all connections.
//!
//! Connections are spread over the slots of a wheel that turns once a heartbeat; at each step one slot's connections
//! are pinged with the one ping frame everybody shares, and those that were silent too long are closed with 4408. A
//! timer a connection cost six times the processor time and 260 bytes each.
//!
//! The wheel is also the list of the open connections, for telling them all that the node stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use actors::outbox::{CloseCode, Outbox, frame};
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Slots of the wheel: at the default heartbeat one step is 100 ms, and a step of 50,000 connections pings 200.
const SLOTS: u32 = 250;

/// The wheel.
#[derive(Debug)]
pub struct Heartbeats {
    slots: Box<[Mutex<Vec<Arc<Outbox>>>]>,
    next_slot: AtomicUsize,
    step: Duration,
    /// Steps a client may be silent.
    silence_steps: u32,
    /// Steps the wheel has made: the clock of [`Outbox::mark_seen`]. It stands while the wheel does, so that a node
    /// that was held up does not take its own absence for its clients'.
    now: AtomicU32,
}

/// A connection's place on the wheel; dropping it gives it up.
#[derive(Debug)]
pub struct Enrolled {
    heartbeats: Arc<Heartbeats>,
    outbox: Arc<Outbox>,
    slot: usize,
}

impl Heartbeats {
    /// A wheel that turns once a `period` (at least 250 ms) and closes who was silent for `silence`.
    pub fn new(period: Duration, silence: Duration) -> Arc<Self> {
        let step = (period / SLOTS).max(Duration::from_millis(1));
        let silence_steps = u32::try_from(silence.as_nanos().div_ceil(step.as_nanos())).unwrap_or(u32::MAX);
        Arc::new(Self {
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            next_slot: AtomicUsize::new(0),
            step,
            silence_steps,
            now: AtomicU32::new(0),
        })
    }

    /// Puts a connection on the wheel; it counts as heard now.
    pub fn enrol(self: &Arc<Self>, outbox: &Arc<Outbox>) -> Enrolled {
        outbox.mark_seen(self.now());
        // In turn, so that the slots stay even; which one it is orders nothing.
        let slot = self.next_slot.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        if let Some(outboxes) = self.slots.get(slot) {
            outboxes.lock().push(outbox.clone());
        }
        Enrolled { heartbeats: self.clone(), outbox: outbox.clone(), slot }
    }

    /// The time on the wheel's clock.
    pub fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// Turns the wheel until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut steps = tokio::time::interval(self.step);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = steps.tick() => self.turn(),
            }
        }
    }

    /// Makes one step: pings one slot's connections, closes the silent ones.
    pub fn turn(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let slot = usize::try_from(now % SLOTS).unwrap_or_default();
        let Some(outboxes) = self.slots.get(slot) else { return };
        for outbox in &*outboxes.lock() {
            if now.wrapping_sub(outbox.last_seen()) > self.silence_steps {
                outbox.close(CloseCode::TooSlow, "nothing was heard of the client");
            } else {
                outbox.push_control(frame::ping());
            }
        }
    }

    /// Calls `tell` for every open connection's outbox, a slot at a time. It must not wait.
    pub fn for_each(&self, mut tell: impl FnMut(&Outbox)) {
        for slot in &self.slots {
            for outbox in &*slot.lock() {
                tell(outbox);
            }
        }
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        if let Some(outboxes) = self.heartbeats.slots.get(self.slot) {
            let mut outboxes = outboxes.lock();
            if let Some(at) = outboxes.iter().position(|outbox| Arc::ptr_eq(outbox, &self.outbox)) {
                outboxes.swap_remove(at);
            }
            // A wheel that once held a crowd gives the memory back.
            if outboxes.len() * 4 < outboxes.capacity() {
                let keep = outboxes.len() * 2;
                outboxes.shrink_to(keep);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;

    use super::*;

    fn wheel() -> Arc<Heartbeats> {
        Heartbeats::new(Duration::from_secs(25), Duration::from_mins(1))
    }

    fn taken(outbox: &Outbox) -> Vec<Bytes> {
        match outbox.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(batch)) => batch.into(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn everybody_is_pinged_once_a_turn_of_the_wheel() {
        let wheel = wheel();
        let outboxes: Vec<_> = (0..1_000).map(|_| Arc::new(Outbox::new(1 << 10))).collect();
        let _places: Vec<_> = outboxes.iter().map(|outbox| wheel.enrol(outbox)).collect();
        for _ in 0..SLOTS {
            wheel.turn();
        }
        for outbox in &outboxes {
            assert_eq!(taken(outbox), [frame::ping()]);
        }
    }

    #[test]
    fn who_speaks_stays_and_who_is_silent_is_closed() {
        let wheel = wheel();
        let (speaking, silent) = (Arc::new(Outbox::new(1 << 10)), Arc::new(Outbox::new(1 << 10)));
        let _places = [wheel.enrol(&speaking), wheel.enrol(&silent)];
        // 60 s are 600 steps; the slot comes round every 250.
        for _ in 0..600 {
            wheel.turn();
            speaking.mark_seen(wheel.now());
        }
        assert!(!silent.is_closed());
        for _ in 0..SLOTS {
            wheel.turn();
            speaking.mark_seen(wheel.now());
        }
        assert_eq!(silent.end().map(|end| end.code), Some(CloseCode::TooSlow));
        assert!(!speaking.is_closed());
    }

    #[test]
    fn who_leaves_is_forgotten_at_once() {
        let wheel = wheel();
        let outboxes: Vec<_> = (0..5_000).map(|_| Arc::new(Outbox::new(1 << 10))).collect();
        let mut places: Vec<_> = outboxes.iter().map(|outbox| wheel.enrol(outbox)).collect();
        places.truncate(3);
        let mut left = 0;
        wheel.for_each(|_| left += 1);
        assert_eq!(left, 3);
        assert_eq!(outboxes.iter().filter(|outbox| Arc::strong_count(outbox) > 1).count(), 3);
        drop(places);
        assert!(wheel.slots.iter().all(|slot| slot.lock().capacity() == 0));
    }
}
