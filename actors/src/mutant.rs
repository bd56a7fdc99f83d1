//! Faults put in on purpose, so that the simulation can show that it finds them.
//!
//! Exists in builds with the feature `simulation` only; in all others [`is`] is `false` and costs
//! nothing.

/// A way in which money was lost, made or shown wrong in a simulated predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// Answers before the record is durable.
    AcknowledgeEarly = 1,
    /// Takes every repeat of a credit for a new one.
    NoWatermark,
    /// Hands a credit out again that an account has already.
    NoHandedState,
    /// Activates without what is queued.
    ActivateFromDurable,
    /// Sends a credit when its debit is queued.
    CreditBeforeDebitDurable,
    /// Forgets up to which event a checkpoint is.
    CheckpointWithoutHead,
    /// Sends decisions to the shard by mail.
    DecisionsByMail,
    /// Believes views alone.
    FactsWithoutIndex,
}

#[cfg(feature = "simulation")]
static ACTIVE: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Whether this fault is put in.
#[cfg(feature = "simulation")]
#[inline]
pub fn is(mutant: Mutant) -> bool {
    ACTIVE.load(std::sync::atomic::Ordering::Relaxed) == mutant as u8
}

/// Whether this fault is put in: never.
#[cfg(not(feature = "simulation"))]
#[inline]
pub const fn is(_: Mutant) -> bool {
    false
}

/// Puts one fault in, or none.
#[cfg(feature = "simulation")]
pub fn put_in(mutant: Option<Mutant>) {
    ACTIVE.store(mutant.map_or(0, |mutant| mutant as u8), std::sync::atomic::Ordering::Relaxed);
}
