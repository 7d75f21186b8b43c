//! Which parts of the program an input reached, where the program was built with `-C instrument-coverage` and
//! `--cfg huey_coverage`, as `torture/fuzz` does. Elsewhere nothing is known, and no input is kept for what it reached.
#![cfg_attr(huey_coverage, expect(unsafe_code, reason = "the counters are the compiler's"))]

/// What has been reached by any input so far: for each counter, the magnitudes of its counts.
#[derive(Default)]
pub(crate) struct Coverage(Vec<u8>);

#[cfg(huey_coverage)]
unsafe extern "C" {
    fn __llvm_profile_begin_counters() -> *mut u64;
    fn __llvm_profile_end_counters() -> *mut u64;
}

#[cfg(huey_coverage)]
fn counters() -> &'static mut [u64] {
    // SAFETY: the runtime says where its counters lie, for the life of the program. Other threads may count at the same
    // time, and only a count may be off then.
    unsafe {
        let (begin, end) = (__llvm_profile_begin_counters(), __llvm_profile_end_counters());
        std::slice::from_raw_parts_mut(begin, usize::try_from(end.offset_from(begin)).unwrap_or(0))
    }
}

#[cfg(not(huey_coverage))]
fn counters() -> &'static mut [u64] {
    &mut []
}

impl Coverage {
    /// An input is about to run.
    pub(crate) fn begin() {
        counters().fill(0);
    }

    /// Whether the input that ran reached something new.
    pub(crate) fn end(&mut self) -> bool {
        let counters = counters();
        self.0.resize(counters.len(), 0);
        let mut new = false;
        for (seen, count) in self.0.iter_mut().zip(counters.iter()) {
            if *count > 0 {
                let magnitude = 1 << (count.ilog2() / 2).min(7);
                new |= *seen & magnitude == 0;
                *seen |= magnitude;
            }
        }
        new
    }

    /// How many counters were reached.
    pub(crate) fn reached(&self) -> usize {
        self.0.iter().filter(|seen| **seen > 0).count()
    }
}
