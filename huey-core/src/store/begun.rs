//! The attempts that run, as the process remembers them.

use super::claimed::Lease;

/// The attempts that run, by slot, as long as the process lives. A job that was claimed before a failure and has none
/// goes back: the answer to its claim was lost on the way, or its settle was, in the log.
#[derive(Default)]
pub(super) struct Begun {
    slots: Vec<Option<Lease>>,
    /// Older claims may not begin any more.
    pub(super) least_claim: u32,
}

impl Begun {
    /// Puts a lease in a slot, or none, and returns the one that was there.
    pub(super) fn put(&mut self, slot: usize, lease: Option<Lease>) -> Option<Lease> {
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        self.slots.get_mut(slot).and_then(|place| std::mem::replace(place, lease))
    }

    /// The attempt in a slot is over. Returns its lease if that has outlived a failure: the settle may not have.
    pub(super) fn end(&mut self, slot: usize) -> Option<Lease> {
        self.put(slot, None).filter(|lease| lease.claim < self.least_claim)
    }

    /// The attempts that keep their lease. Whoever has claimed and not begun is refused from now on.
    pub(super) fn keep(&mut self, least_claim: u32) -> Vec<(u64, u32)> {
        self.least_claim = least_claim;
        self.slots.iter().flatten().map(|lease| (lease.id.counter(), lease.claim)).collect()
    }
}
