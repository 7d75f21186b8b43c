//! Those who wait for the end of a job, as threads or as futures.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, PoisonError};
use std::collections::HashMap;
use std::task::Waker;
use std::time::Instant;

use crate::id::JobId;
use crate::patience::{LOOK, Patience};
use crate::state::JobState;
use crate::store::Ended;
use crate::time::monotonic;

/// How a job ended, as those hear it who waited for it.
#[derive(Debug)]
pub(crate) struct Final {
    pub(crate) task: Arc<str>,
    pub(crate) state: JobState,
    pub(crate) ended: Ended,
}

/// What those who wait for a job hear.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Ended(Arc<Final>),
    /// The queue was closed, and nobody will hear of the job's end.
    Closed,
}

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    told: Condvar,
    /// Whether there is news, for those who look before they sleep.
    is_told: AtomicBool,
}

#[derive(Default)]
struct State {
    news: Option<News>,
    wakers: Vec<Waker>,
    /// How many threads sleep.
    asleep: usize,
}

#[derive(Default)]
struct Known {
    slots: Mutex<HashMap<JobId, (Arc<Slot>, usize)>>,
    patience: Patience,
}

/// The jobs that somebody waits for.
#[derive(Clone, Default)]
pub(crate) struct Waiters(Arc<Known>);

fn lock<T>(mutex: &Mutex<T>) -> crate::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    /// The first news stand.
    fn tell(&self, news: News) {
        let (wakers, somebody_sleeps) = {
            let mut state = lock(&self.state);
            state.news.get_or_insert(news);
            self.is_told.store(true, Ordering::SeqCst);
            (std::mem::take(&mut state.wakers), state.asleep > 0)
        };
        if somebody_sleeps {
            self.told.notify_all();
        }
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Waiters {
    /// Begins to wait for a job. What ends after this call is not missed.
    pub(crate) fn register(&self, id: JobId) -> Waiting {
        let mut slots = lock(&self.0.slots);
        let (slot, count) = slots.entry(id).or_default();
        *count += 1;
        Waiting { id, slot: Arc::clone(slot), known: Arc::clone(&self.0) }
    }

    /// Whether somebody waits for a job.
    pub(crate) fn any(&self, id: JobId) -> bool {
        lock(&self.0.slots).contains_key(&id)
    }

    /// Tells those who wait for a job that it ended.
    pub(crate) fn tell(&self, id: JobId, end: Final) {
        let Some(slot) = lock(&self.0.slots).get(&id).map(|(slot, _)| Arc::clone(slot)) else { return };
        slot.tell(News::Ended(Arc::new(end)));
    }

    /// Tells everybody that the queue was closed.
    pub(crate) fn close(&self) {
        let slots: Vec<Arc<Slot>> = lock(&self.0.slots).values().map(|(slot, _)| Arc::clone(slot)).collect();
        for slot in slots {
            slot.tell(News::Closed);
        }
    }

    /// Tells this queue from others: see [`is_worker_of`](super::is_worker_of).
    pub(crate) fn key(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

/// One who waits for a job. Dropping it ends the wait.
pub(crate) struct Waiting {
    id: JobId,
    slot: Arc<Slot>,
    known: Arc<Known>,
}

impl Waiting {
    /// Blocks until the job ended or `until` has come; `None` for as long as it takes.
    pub(crate) fn block(&self, until: Option<Instant>) -> Option<News> {
        let begun = monotonic();
        if self.known.patience.pays() && until.is_none_or(|until| until.saturating_duration_since(begun) > LOOK) {
            Patience::look(|| self.slot.is_told.load(Ordering::SeqCst));
        }
        let mut state = lock(&self.slot.state);
        state.asleep += 1;
        let news = loop {
            if let Some(news) = &state.news {
                break Some(news.clone());
            }
            state = match until {
                None => self.slot.told.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(monotonic());
                    if left.is_zero() {
                        break None;
                    }
                    self.slot.told.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        state.asleep -= 1;
        drop(state);
        if news.is_some() {
            self.known.patience.waited_since(begun);
        }
        news
    }

    /// The end, or a promise to wake `waker` when it comes.
    pub(crate) fn poll(&self, waker: &Waker) -> Option<News> {
        let mut state = lock(&self.slot.state);
        if let Some(news) = &state.news {
            return Some(news.clone());
        }
        if !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        None
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut slots = lock(&self.known.slots);
        if let Some((_, count)) = slots.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                slots.remove(&self.id);
            }
        }
    }
}
