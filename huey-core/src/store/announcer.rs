//! The thread that calls back those who did not wait.

use crate::sync::Weak;
use crate::sync::mpsc::Receiver;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::barrier::panic_text;
use super::core::Core;
use super::inbox::Told;
use super::log::Medium;
use super::shared::Shared;
use super::storage::{Done, StorageError};
use super::transition::Outcome;

pub(super) fn call_back(done: Done, outcome: Result<Outcome, StorageError>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| done(outcome))) {
        tracing::error!("a callback of the storage panicked: {}", panic_text(&*panic));
    }
}

pub(super) fn announce_loop<M: Medium>(shared: &Weak<Shared<M>>, told: &Receiver<Told>) {
    while let Ok((done, outcome, held)) = told.recv() {
        if let Some(shared) = shared.upgrade() {
            shared.let_go(&held.jobs, Core::show);
        }
        call_back(done, outcome);
        if let Some(shared) = shared.upgrade().filter(|_| !held.by_caller) {
            shared.let_go(&held.jobs, Core::release);
        }
    }
}
