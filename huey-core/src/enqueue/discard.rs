//! Telling of jobs that ended without an attempt.

use std::sync::Arc;

use crate::job::{Head, Origin};
use crate::signal::{Final, Signal, SignalKind, Signals, Waiters};
use crate::state::JobState;
use crate::store::Discarded;
use crate::time::Timestamp;

/// Tells the receivers and those who wait for it that a job ended.
pub(crate) fn tell_discarded(signals: &Signals, waiters: &Waiters, end: Discarded, at: Timestamp) {
    emit_discarded(signals, &end, at);
    tell_waiters(waiters, end);
}

/// Tells those who wait for it that a job ended.
pub(crate) fn tell_waiters(waiters: &Waiters, end: Discarded) {
    if waiters.any(end.id) {
        waiters.tell(end.id, Final { task: end.task, state: end.state, ended: end.ended });
    }
}

/// Tells the receivers that a job ended.
pub(crate) fn emit_discarded(signals: &Signals, end: &Discarded, at: Timestamp) {
    let kinds: &[SignalKind] = match (end.state, end.rescued) {
        (JobState::Expired, _) => &[SignalKind::Expired],
        (JobState::Revoked, _) => &[SignalKind::Revoked],
        (JobState::Canceled, _) => &[SignalKind::Canceled],
        (JobState::Lost, _) => &[SignalKind::Interrupted],
        (_, true) => &[SignalKind::Rescued, SignalKind::Dead],
        (_, false) => &[SignalKind::Dead],
    };
    let head = Head::decode(&end.head);
    for kind in kinds.iter().filter(|kind| signals.hears(**kind)) {
        signals.emit(Signal {
            kind: *kind,
            sequence: 0,
            id: end.id,
            task: Arc::clone(&end.task),
            queue: Arc::clone(&end.queue),
            at,
            origin: head.as_ref().map_or(Origin::Call { parent: None }, |head| head.origin),
            headers: head.as_ref().map(|head| head.headers.clone()).unwrap_or_default().into(),
            run_at: None,
            attempt: 0,
            error: end.ended.error.clone().map(Arc::new),
            cause: end.ended.cause.as_deref().map(Into::into),
            skipped: None,
            progress: None,
        });
    }
}
