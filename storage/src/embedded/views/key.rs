//! Keys without an allocation.

use std::ops::Deref;

/// Up to `N` bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Key<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// The key with `more` at its end, as far as there is room.
    pub(super) fn with(mut self, more: &[u8]) -> Self {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(more) {
            *to = *from;
        }
        self.len = self.len.saturating_add(more.len()).min(N);
        self
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

impl<const N: usize> AsRef<[u8]> for Key<N> {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl<const N: usize> Deref for Key<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}
