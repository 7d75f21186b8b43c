//! Telling of jobs that ended without an attempt.

use std::sync::Arc;

use crate::job::{Head, Origin};
use crate::signal::{Final, Signal, SignalKind, Signals, Waiters};
use crate::state::JobState;
use crate::store::{Discarded, Limited, LimitedBy};
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

/// Tells the receivers that a job waits for a limit.
pub(crate) fn tell_limited(signals: &Signals, limited: &Limited, at: Timestamp) {
    let (kinds, run_at, cause): (&[SignalKind], _, _) = match limited.by {
        LimitedBy::Lock(holder) => {
            (&[SignalKind::Locked], None, Some(format!("the job {holder} holds the lock").into()))
        }
        LimitedBy::Rate(turn) => (&[SignalKind::RateLimited, SignalKind::Scheduled], Some(turn), None),
    };
    let head = Head::decode(&limited.head);
    for kind in kinds.iter().filter(|kind| signals.hears(**kind)) {
        signals.emit(Signal {
            kind: *kind,
            sequence: 0,
            id: limited.id,
            task: Arc::clone(&limited.task),
            queue: Arc::clone(&limited.queue),
            at,
            origin: head.as_ref().map_or(Origin::Call { parent: None }, |head| head.origin),
            headers: head.as_ref().map(|head| head.headers.clone()).unwrap_or_default().into(),
            run_at,
            attempt: 0,
            error: None,
            cause: cause.clone(),
            skipped: None,
            progress: None,
        });
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
