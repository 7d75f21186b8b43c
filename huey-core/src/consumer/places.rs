//! The places of async tasks: as many run at a time as there are, and one that waits for a job needs none meanwhile.

use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::collections::{HashSet, VecDeque};
use std::task::{Context, Waker};

#[derive(Default)]
struct Inner {
    free: usize,
    /// Attempts that have not ended, with a place or without.
    attempts: usize,
    /// Who wants a place again, in order. While somebody does, none is free.
    line: VecDeque<(u64, Waker)>,
    /// Those of them that have been given one and have not come for it yet.
    granted: HashSet<u64>,
    next: u64,
}

pub(super) struct Places(Mutex<Inner>);

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner { free: limit, ..Inner::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn free(&self) -> usize {
        self.lock().free
    }

    /// Whether no attempt is underway.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().attempts == 0
    }

    /// A place for a new attempt; the caller has seen that one is free.
    pub(super) fn take(self: &Arc<Self>) -> Seat {
        let mut inner = self.lock();
        inner.free = inner.free.saturating_sub(1);
        inner.attempts += 1;
        drop(inner);
        Seat { places: Arc::clone(self), stance: Stance::Sits }
    }

    /// Gives a place to the first in line, or to whoever is claimed next.
    fn give_back(&self) {
        let mut inner = self.lock();
        let first = inner.line.pop_front();
        match first {
            Some((ticket, waker)) => {
                inner.granted.insert(ticket);
                drop(inner);
                waker.wake();
            }
            None => inner.free += 1,
        }
    }
}

enum Stance {
    Sits,
    Stands,
    InLine(u64),
}

/// An attempt's place, or its wish for one.
pub(super) struct Seat {
    places: Arc<Places>,
    stance: Stance,
}

impl Seat {
    /// Gives the place back until it is [taken](Self::poll_sit) again.
    pub(super) fn leave(&mut self) {
        if let Stance::Sits = std::mem::replace(&mut self.stance, Stance::Stands) {
            self.places.give_back();
        }
    }

    /// Whether it has a place; if not, it stands in line for one, and is woken.
    pub(super) fn poll_sit(&mut self, context: &Context<'_>) -> bool {
        let mut inner = self.places.lock();
        let inner = &mut *inner;
        match self.stance {
            Stance::Sits => return true,
            Stance::Stands if inner.free > 0 => {
                inner.free -= 1;
                self.stance = Stance::Sits;
            }
            Stance::Stands => {
                inner.next += 1;
                inner.line.push_back((inner.next, context.waker().clone()));
                self.stance = Stance::InLine(inner.next);
            }
            Stance::InLine(ticket) if inner.granted.remove(&ticket) => self.stance = Stance::Sits,
            Stance::InLine(ticket) => {
                if let Some((_, waker)) = inner.line.iter_mut().find(|(waits, _)| *waits == ticket) {
                    waker.clone_from(context.waker());
                }
            }
        }
        matches!(self.stance, Stance::Sits)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let had_one = {
            let mut inner = self.places.lock();
            inner.attempts -= 1;
            match self.stance {
                Stance::Sits => true,
                Stance::Stands => false,
                Stance::InLine(ticket) => {
                    inner.line.retain(|(waits, _)| *waits != ticket);
                    inner.granted.remove(&ticket)
                }
            }
        };
        if had_one {
            self.places.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_again_in_the_order_of_the_wish() {
        let places = Places::new(1);
        let context = Context::from_waker(Waker::noop());
        let mut first = places.take();
        first.leave();
        assert_eq!(places.free(), 1);
        let mut second = places.take();
        assert!(!first.poll_sit(&context), "the other one has it");
        second.leave();
        assert_eq!(places.free(), 0, "it is the first one's");
        assert!(!second.poll_sit(&context));
        assert!(first.poll_sit(&context));
        drop(first);
        assert!(second.poll_sit(&context));
        drop(second);
        assert!(places.is_empty() && places.free() == 1);
    }

    #[test]
    fn a_place_that_was_given_to_one_who_is_gone_goes_to_the_next() {
        let places = Places::new(1);
        let context = Context::from_waker(Waker::noop());
        let mut first = places.take();
        first.leave();
        let second = places.take();
        assert!(!first.poll_sit(&context));
        drop(second);
        drop(first);
        assert_eq!(places.free(), 1);
    }
}
