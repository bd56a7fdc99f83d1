//! Names, units and help of what is measured of escalations.

use metrics::{Unit, counter, describe_counter};

/// Attempts to tell of escalations, by `sink` and `outcome`.
pub const ESCALATIONS: &str = "quickpe_escalations_total";

/// Tells the recorder units and help. Call it once, after the recorder is installed.
pub fn describe() {
    describe_counter!(
        ESCALATIONS,
        Unit::Count,
        "Escalations by sink and outcome: told, retried (an attempt that failed), dead (given up)."
    );
}

/// An attempt came to this.
pub(super) fn counted(sink: &'static str, outcome: &'static str) {
    counter!(ESCALATIONS, "sink" => sink, "outcome" => outcome).increment(1);
}
