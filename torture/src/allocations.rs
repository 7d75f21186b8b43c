//! Counts what is allocated, while somebody wants to know.
#![expect(unsafe_code, reason = "an allocator deals in pointers")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

static COUNTS: AtomicBool = AtomicBool::new(false);
/// Bytes allocated since the counting began, less those given back.
static HELD: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Does `act`, and says how many bytes more than before were allocated at its worst instant, by all threads.
pub(crate) fn most_during<T>(act: impl FnOnce() -> T) -> (T, u64) {
    HELD.store(0, Ordering::Relaxed);
    MOST.store(0, Ordering::Relaxed);
    COUNTS.store(true, Ordering::SeqCst);
    let done = act();
    COUNTS.store(false, Ordering::SeqCst);
    (done, u64::try_from(MOST.load(Ordering::Relaxed)).unwrap_or(0))
}

fn count(more: usize, less: usize) {
    if COUNTS.load(Ordering::Relaxed) {
        let change = i64::try_from(more).unwrap_or(i64::MAX) - i64::try_from(less).unwrap_or(0);
        let held = HELD.fetch_add(change, Ordering::Relaxed).saturating_add(change);
        MOST.fetch_max(held, Ordering::Relaxed);
    }
}

// SAFETY: the system's allocator does the work, and is given what this one was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(old, layout) }
    }
}
