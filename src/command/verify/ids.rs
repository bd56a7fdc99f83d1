//! Sets of many ids in 8 bytes each, to find out whether one is in them twice.

use std::collections::HashSet;

use uuid::Uuid;

/// Ids as 64 bits. Two different ones may meet (for 10 million in 1 of 400,000 stores), so what is found twice is
/// suspected, and proved by a second reading.
#[derive(Debug, Default)]
pub(crate) struct Ids(Vec<u64>);

impl Ids {
    pub(crate) fn add(&mut self, id: Uuid) {
        self.0.push(short(id));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What is in the set more than once.
    pub(crate) fn repeated(&mut self) -> HashSet<u64> {
        self.0.sort_unstable();
        self.0.windows(2).filter(|pair| pair.first() == pair.last()).filter_map(|pair| pair.first().copied()).collect()
    }
}

/// 64 bits of an id. Ids of transfers and holds are hashes or random but for 22 bits; both halves have enough.
pub(crate) fn short(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    high.rotate_left(17) ^ low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_twice_is_found() {
        let mut ids = Ids::default();
        for number in 0..1_000_u128 {
            ids.add(Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)));
        }
        assert!(ids.repeated().is_empty());
        ids.add(Uuid::from_u128(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        assert_eq!(ids.repeated().len(), 1);
        assert_eq!(ids.len(), 1_001);
    }
}
