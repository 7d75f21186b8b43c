//! Receivers: user code that hears signals.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::kind::{Signal, SignalKind};
use super::subscription::{Channel, Subscription};
use crate::error::BoxError;
use crate::id::JobId;
use crate::time::monotonic;

/// What a receiver may return: nothing, or a `Result` whose error is logged.
#[diagnostic::on_unimplemented(
    message = "a receiver of signals cannot return `{Self}`",
    note = "return nothing, or a `Result<(), E>`"
)]
pub trait ReceiverResult {
    #[doc(hidden)]
    fn into_error(self) -> Option<BoxError>;
}

impl ReceiverResult for () {
    fn into_error(self) -> Option<BoxError> {
        None
    }
}

impl<E: Into<BoxError>> ReceiverResult for Result<(), E> {
    fn into_error(self) -> Option<BoxError> {
        self.err().map(Into::into)
    }
}

type Call = Box<dyn Fn(&Signal) -> Option<BoxError> + Send + Sync>;

struct Receiver {
    /// `None` hears all.
    kind: Option<SignalKind>,
    name: &'static str,
    call: Call,
}

/// The receivers of a queue.
pub(crate) struct Signals {
    receivers: Vec<Receiver>,
    slow: Duration,
    next: AtomicU64,
    /// `None` once no more signals will come.
    channels: Mutex<Option<Vec<Weak<Channel>>>>,
    /// How many channels there are, those that were dropped since the last signal among them.
    subscribed: AtomicUsize,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            receivers: Vec::new(),
            slow: Duration::from_millis(10),
            next: AtomicU64::new(1),
            channels: Mutex::new(Some(Vec::new())),
            subscribed: AtomicUsize::new(0),
        }
    }
}

impl Signals {
    pub(crate) fn add<R: ReceiverResult>(
        &mut self,
        kind: Option<SignalKind>,
        receiver: impl Fn(&Signal) -> R + Send + Sync + 'static,
    ) {
        let name = std::any::type_name_of_val(&receiver);
        let call: Call = Box::new(move |signal| receiver(signal).into_error());
        self.receivers.push(Receiver { kind, name, call });
    }

    pub(crate) fn warn_after(&mut self, slow: Duration) {
        self.slow = slow;
    }

    /// Whether anybody hears that kind.
    pub(crate) fn hears(&self, kind: SignalKind) -> bool {
        self.is_subscribed() || self.receivers.iter().any(|receiver| receiver.kind.is_none_or(|wanted| wanted == kind))
    }

    /// Whether anybody hears anything.
    pub(crate) fn any(&self) -> bool {
        self.is_subscribed() || !self.receivers.is_empty()
    }

    fn is_subscribed(&self) -> bool {
        self.subscribed.load(Ordering::SeqCst) > 0
    }

    fn channels(&self) -> MutexGuard<'_, Option<Vec<Weak<Channel>>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A channel that gets every signal from now on, of one job or of all, and holds so many.
    pub(crate) fn subscribe(&self, capacity: usize, of: Option<JobId>) -> Subscription {
        let channel = Channel::new(capacity, of);
        match &mut *self.channels() {
            Some(channels) => {
                channels.push(Arc::downgrade(&channel));
                self.subscribed.store(channels.len(), Ordering::SeqCst);
            }
            None => channel.close(),
        }
        Subscription::new(channel)
    }

    /// No more signals will come.
    pub(crate) fn close(&self) {
        let channels = self.channels().take();
        self.subscribed.store(0, Ordering::SeqCst);
        for channel in channels.into_iter().flatten().filter_map(|channel| channel.upgrade()) {
            channel.close();
        }
    }

    fn publish(&self, signal: &Signal) {
        if !self.is_subscribed() {
            return;
        }
        let mut channels = self.channels();
        let Some(channels) = &mut *channels else { return };
        channels.retain(|channel| match channel.upgrade() {
            Some(channel) => {
                channel.put(signal.clone());
                true
            }
            None => false,
        });
        self.subscribed.store(channels.len(), Ordering::SeqCst);
    }

    /// Calls the receivers of the signal's kind, then those of all kinds. None of them can stop another.
    pub(crate) fn emit(&self, mut signal: Signal) {
        signal.sequence = self.next.fetch_add(1, Ordering::Relaxed);
        self.publish(&signal);
        let named = self.receivers.iter().filter(|receiver| receiver.kind == Some(signal.kind));
        let all = self.receivers.iter().filter(|receiver| receiver.kind.is_none());
        for receiver in named.chain(all) {
            let begun = monotonic();
            let heard = catch_unwind(AssertUnwindSafe(|| (receiver.call)(&signal)));
            let (name, kind, id) = (receiver.name, signal.kind, signal.id);
            match heard {
                Ok(None) => {}
                Ok(Some(error)) => tracing::error!(receiver = name, %kind, job = %id, %error, "a receiver failed"),
                Err(_) => tracing::error!(receiver = name, %kind, job = %id, "a receiver panicked"),
            }
            let took = monotonic().duration_since(begun);
            if took > self.slow {
                tracing::warn!(receiver = name, %kind, job = %id, ?took, "a receiver is slow, and the queue waits for it");
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("receivers", &self.receivers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::sync::{Arc, Mutex};

    use super::*;
    use crate::job::Origin;
    use crate::time::Timestamp;

    fn signal(kind: SignalKind) -> Signal {
        Signal {
            kind,
            sequence: 0,
            id: JobId::new(Timestamp::default(), 1, 1),
            task: "t".into(),
            queue: "q".into(),
            at: Timestamp::default(),
            origin: Origin::Bulk,
            headers: [].into(),
            run_at: None,
            attempt: 0,
            error: None,
            cause: None,
            skipped: None,
            progress: None,
        }
    }

    #[test]
    fn named_receivers_come_before_catch_all_ones_and_a_panic_stops_nobody() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut signals = Signals::default();
        let note = |name: &'static str| {
            let heard = Arc::clone(&heard);
            move |signal: &Signal| heard.lock().unwrap().push((name, signal.kind, signal.sequence))
        };
        signals.add(None, note("all"));
        signals.add(Some(SignalKind::Dead), |_: &Signal| -> () { panic!("a receiver that panics") });
        signals.add(Some(SignalKind::Dead), |_: &Signal| Err::<(), _>("a receiver that fails"));
        signals.add(Some(SignalKind::Dead), note("dead"));
        signals.emit(signal(SignalKind::Dead));
        signals.emit(signal(SignalKind::Complete));
        let expected = [("dead", SignalKind::Dead, 1), ("all", SignalKind::Dead, 1), ("all", SignalKind::Complete, 2)];
        assert_eq!(*heard.lock().unwrap(), expected);
    }
}
