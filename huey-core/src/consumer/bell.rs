//! Wakes workers that found nothing to do, one at a time, or hands one of them what it is to do.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::collections::VecDeque;
use std::time::Duration;

use crate::patience::Patience;
use crate::time::monotonic;

struct Inner<T> {
    pools: Vec<Sleepers<T>>,
    closed: bool,
}

/// The sleeping workers of a pool.
struct Sleepers<T> {
    /// Rung, and nobody has looked since.
    rung: bool,
    /// How many sleep until it rings, those who look before they sleep among them.
    asleep: usize,
    /// How many look: they need not be woken.
    looking: usize,
    /// How many of them something was promised that is to be handed over.
    promised: usize,
    /// What was handed over, each for one of those who sleep.
    handed: VecDeque<T>,
}

impl<T> Sleepers<T> {
    /// Whether one sleeps for whom nothing was handed over, nor will be.
    fn has_idle(&self) -> bool {
        self.asleep > self.promised + self.handed.len()
    }

    /// Whether one sleeps to whom something can be promised: whoever has heard a ring is about to look.
    fn takes_promises(&self, closed: bool) -> bool {
        !closed && !self.rung && self.has_idle()
    }

    /// Whether there is more than those who look will find.
    fn needs_more(&self) -> bool {
        self.handed.len() + usize::from(self.rung) > self.looking
    }

    /// Whether one wakes with nothing handed over.
    fn wakes(&self, closed: bool) -> bool {
        (self.rung || closed) && self.has_idle()
    }
}

/// A bell that remembers one ring. It rings for each job that may be claimed, and whoever claims and leaves some rings again:
/// many jobs wake many workers, one job wakes one, and where it has not rung there is nothing to claim. Each pool of
/// workers hears its own ring.
///
/// Who sleeps can be [promised](Self::promise) a job that is about to be there, and is [handed](Self::hand) that.
pub(crate) struct Bell<T> {
    inner: Mutex<Inner<T>>,
    waits: Vec<Waits>,
    /// Told when it is closed.
    over: Condvar,
}

/// How those of a pool wait.
#[derive(Default)]
struct Waits {
    woken: Condvar,
    /// Counts what those who look look for.
    news: AtomicU64,
    patience: Patience,
}

impl<T> Bell<T> {
    /// One that has rung: what is there at the start nobody has told of.
    pub(crate) fn new(pools: usize) -> Self {
        let sleepers = || Sleepers { rung: true, asleep: 0, looking: 0, promised: 0, handed: VecDeque::new() };
        Self {
            inner: Mutex::new(Inner { pools: std::iter::repeat_with(sleepers).take(pools).collect(), closed: false }),
            waits: std::iter::repeat_with(Waits::default).take(pools).collect(),
            over: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a pool, and wakes one of it if `change` says so.
    fn wake_if(&self, pool: usize, change: impl FnOnce(&mut Sleepers<T>) -> bool) {
        let Some(waits) = self.waits.get(pool) else { return };
        let mut inner = self.lock();
        let closed = inner.closed;
        let Some(sleepers) = inner.pools.get_mut(pool) else { return };
        if !change(sleepers) {
            return;
        }
        let wakes = closed || sleepers.needs_more();
        waits.news.fetch_add(1, Ordering::SeqCst);
        drop(inner);
        if wakes {
            waits.woken.notify_one();
        }
    }

    /// Rings for every pool.
    pub(crate) fn ring_all(&self) {
        for pool in 0..self.waits.len() {
            self.ring(pool);
        }
    }

    pub(crate) fn ring(&self, pool: usize) {
        self.wake_if(pool, |sleepers| {
            sleepers.rung = true;
            sleepers.has_idle()
        });
    }

    /// Whether it has rung since it was last asked: who asks looks for a job.
    pub(crate) fn take(&self, pool: usize) -> bool {
        self.lock().pools.get_mut(pool).is_some_and(|sleepers| std::mem::take(&mut sleepers.rung))
    }

    /// Promises one who sleeps that it is [handed](Self::hand) something, or [let go](Self::let_go) of. Whether there is one.
    pub(crate) fn promise(&self, pool: usize) -> bool {
        let mut inner = self.lock();
        let closed = inner.closed;
        let idle = inner.pools.get_mut(pool).filter(|sleepers| sleepers.takes_promises(closed));
        idle.map(|sleepers| sleepers.promised += 1).is_some()
    }

    /// Wakes one to whom something was promised, with what it is to do.
    pub(crate) fn hand(&self, pool: usize, thing: T) {
        self.wake_if(pool, |sleepers| {
            sleepers.promised -= 1;
            sleepers.handed.push_back(thing);
            true
        });
    }

    /// Takes a promise back. Who had it may have missed a ring meanwhile, or the end.
    pub(crate) fn let_go(&self, pool: usize) {
        self.wake_if(pool, |sleepers| {
            sleepers.promised -= 1;
            true
        });
    }

    /// Blocks until it has rung, or something is handed over, which is returned. After `most` it rings by itself, and also if
    /// something was handed over before. Returns after
    /// [`close`](Self::close), once no promise is open.
    pub(crate) fn wait(&self, pool: usize, most: Option<Duration>) -> Option<T> {
        let waits = self.waits.get(pool)?;
        let begun = monotonic();
        let mut inner = self.lock();
        inner.pools.get_mut(pool)?.asleep += 1;
        let mut looks = true;
        let handed = loop {
            let closed = inner.closed;
            let sleepers = inner.pools.get_mut(pool)?;
            let handed = sleepers.handed.pop_front();
            if handed.is_some() || sleepers.wakes(closed) {
                sleepers.asleep -= 1;
                break handed;
            }
            if std::mem::take(&mut looks) && waits.patience.pays() {
                sleepers.looking += 1;
                let seen = waits.news.load(Ordering::SeqCst);
                drop(inner);
                Patience::look(|| waits.news.load(Ordering::SeqCst) != seen);
                inner = self.lock();
                inner.pools.get_mut(pool)?.looking -= 1;
                continue;
            }
            inner = match most {
                None => waits.woken.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(most) => {
                    let waited = waits.woken.wait_timeout(inner, most).unwrap_or_else(PoisonError::into_inner);
                    let (mut inner, waited) = waited;
                    if waited.timed_out()
                        && let Some(sleepers) = inner.pools.get_mut(pool)
                    {
                        sleepers.rung = true;
                    }
                    inner
                }
            };
        };
        drop(inner);
        waits.patience.waited_since(begun);
        if handed.is_some() && most.is_some() {
            // What it waited for so long is still to be done.
            self.ring(pool);
        }
        handed
    }

    /// Blocks for so long whether it rings or not, or until it is [closed](Self::close). Who does so does not sleep here: what
    /// comes meanwhile is for others.
    pub(crate) fn rest(&self, time: Duration) {
        let inner = self.lock();
        drop(self.over.wait_timeout_while(inner, time, |inner| !inner.closed).unwrap_or_else(PoisonError::into_inner));
    }

    /// Rings as for one who looks and hears it, but does something else first.
    #[cfg(all(test, not(huey_races)))]
    pub(super) fn ring_unheard(&self, pool: usize) {
        if let Some(sleepers) = self.lock().pools.get_mut(pool) {
            sleepers.rung = true;
        }
    }

    /// How many sleep.
    #[cfg(all(test, not(huey_races)))]
    pub(super) fn asleep(&self, pool: usize) -> usize {
        self.lock().pools.get(pool).map_or(0, |sleepers| sleepers.asleep)
    }

    /// Wakes everybody, for good.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        for waits in &self.waits {
            waits.news.fetch_add(1, Ordering::SeqCst);
            waits.woken.notify_all();
        }
        self.over.notify_all();
    }
}

#[cfg(all(test, not(huey_races)))]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_comes_too_early_is_kept() {
        let bell = Bell::<()>::new(2);
        assert!(bell.take(0) && bell.take(1), "it has rung at the start");
        bell.ring(1);
        assert!(!bell.take(0), "each pool hears its own");
        bell.wait(1, None);
        assert!(bell.take(1) && !bell.take(1), "one ring is heard once");
        bell.close();
        bell.wait(1, None);
    }

    #[test]
    fn a_wait_that_is_over_counts_as_a_ring() {
        let bell = Bell::<()>::new(1);
        bell.take(0);
        bell.wait(0, Some(Duration::from_millis(1)));
        assert!(bell.take(0));
    }

    /// Returns once so many sleep.
    fn asleep(bell: &Bell<u8>, count: usize) {
        while bell.asleep(0) < count {
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_was_promised_something_hears_neither_a_ring_nor_the_end_before_it_is_there() {
        let bell = Bell::<u8>::new(1);
        assert!(!bell.promise(0), "nobody sleeps");
        bell.take(0);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| bell.wait(0, None));
            asleep(&bell, 1);
            assert!(bell.promise(0) && !bell.promise(0), "one who sleeps is promised one thing");
            bell.ring(0);
            bell.close();
            bell.hand(0, 7);
            assert_eq!(sleeper.join().ok().flatten(), Some(7));
        });
        assert!(bell.take(0), "the ring is left for others");
    }

    #[test]
    fn who_was_let_go_of_hears_the_ring_that_came_meanwhile() {
        let bell = Bell::<u8>::new(1);
        bell.take(0);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| bell.wait(0, None));
            asleep(&bell, 1);
            assert!(bell.promise(0));
            bell.ring(0);
            bell.let_go(0);
            assert_eq!(sleeper.join().ok().flatten(), None);
        });
        assert!(bell.take(0));
    }

    #[test]
    fn what_was_to_be_tried_again_is_not_forgotten_over_what_was_handed_over() {
        let bell = Bell::<u8>::new(1);
        bell.take(0);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| bell.wait(0, Some(Duration::from_hours(1))));
            asleep(&bell, 1);
            assert!(bell.promise(0));
            bell.hand(0, 7);
            assert_eq!(sleeper.join().ok().flatten(), Some(7));
        });
        assert!(bell.take(0), "the ring by which it looks again");
    }

    #[test]
    fn a_ring_or_the_end_comes_before_what_could_be_promised_and_after_what_was() {
        for (rung, closed, promised, takes, wakes) in [
            (false, false, 0, true, false),
            (true, false, 0, false, true),
            (false, true, 0, false, true),
            (false, false, 1, false, false),
            (true, false, 1, false, false),
            (false, true, 1, false, false),
        ] {
            for is_handed in [false, true] {
                let handed = if is_handed { vec![7; promised] } else { Vec::new() }.into();
                let promised = if is_handed { 0 } else { promised };
                let sleepers = Sleepers::<u8> { rung, asleep: 1, looking: 0, promised, handed };
                assert_eq!(
                    (sleepers.takes_promises(closed), sleepers.wakes(closed)),
                    (takes, wakes),
                    "{rung} {closed}"
                );
            }
        }
    }

    #[test]
    fn who_rests_is_promised_nothing_and_ends_with_the_bell() {
        let bell = Bell::<u8>::new(1);
        bell.take(0);
        std::thread::scope(|scope| {
            let rests = scope.spawn(|| bell.rest(Duration::from_hours(1)));
            bell.ring(0);
            assert!(!bell.promise(0));
            bell.close();
            assert!(rests.join().is_ok());
        });
        assert!(bell.take(0), "the ring is left for others");
        let open = Bell::<u8>::new(1);
        open.rest(Duration::from_millis(1));
    }
}
