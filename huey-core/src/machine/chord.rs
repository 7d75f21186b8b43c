//! Chords: groups with a callback. Each stands as a job of its own, which waits until what its callback depends on has ended.

use std::collections::{BTreeMap, HashMap};

use super::Fetch;
use super::decide::{self, Decided, Refusal};
use super::flow;
use super::item::{Effect, Item, Key};
use super::place::Place;
use super::state::State;
use super::work::{Flags, Phase, Work, WorkItem};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Arrival, Arrivals, Body, CHORD, NewChord, Next, Settled, StorageError};
use crate::task::Durability;
use crate::time::Timestamp;

/// The chords whose callback is not made yet, by counter.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Chords {
    chords: BTreeMap<u64, Chord>,
    /// For the last job of each member, its chord and its place there.
    members: HashMap<u64, (u64, u32)>,
}

#[derive(Debug, Default, PartialEq)]
struct Chord {
    members: Vec<u64>,
    settled: bool,
    home: Place,
    /// How members ended, by their place. Compaction may move one past its chord, so that it is read back before that.
    arrivals: BTreeMap<u32, Place>,
}

impl Chords {
    pub(super) fn put(&mut self, counter: u64, settled: bool, members: &[u64], home: Place) -> Place {
        for (place, last) in (0..).zip(members) {
            self.members.insert(*last, (counter, place));
        }
        let chord = self.chords.entry(counter).or_default();
        (chord.members, chord.settled) = (members.to_vec(), settled);
        std::mem::replace(&mut chord.home, home)
    }

    pub(super) fn arrive(&mut self, counter: u64, place: u32, home: Place) -> Place {
        self.chords.entry(counter).or_default().arrivals.insert(place, home).unwrap_or_default()
    }

    /// Forgets a chord. Gives back where it stood, and what had arrived.
    pub(super) fn remove(&mut self, counter: u64) -> impl Iterator<Item = Place> {
        let chord = self.chords.remove(&counter).unwrap_or_default();
        for last in &chord.members {
            self.members.remove(last);
        }
        std::iter::once(chord.home).chain(chord.arrivals.into_values())
    }

    pub(super) fn has_member(&self, last: u64) -> bool {
        self.members.contains_key(&last)
    }

    pub(super) fn home(&self, counter: u64) -> Option<Place> {
        self.chords.get(&counter).map(|chord| chord.home)
    }

    /// How many of how many members have ended.
    pub(super) fn progress(&self, counter: u64) -> Option<(u64, u64)> {
        self.chords.get(&counter).map(|chord| (chord.arrivals.len() as u64, chord.members.len() as u64))
    }

    pub(super) fn arrival(&self, counter: u64, place: u32) -> Option<Place> {
        self.chords.get(&counter)?.arrivals.get(&place).copied()
    }

    #[cfg(feature = "testing")]
    pub(super) fn homes(&self) -> impl Iterator<Item = Place> + '_ {
        self.chords.values().flat_map(|chord| std::iter::once(chord.home).chain(chord.arrivals.values().copied()))
    }

    /// Computes anew what is kept twice.
    #[cfg(feature = "testing")]
    pub(super) fn check(&self, phase: impl Fn(u64) -> Option<Phase>) -> Result<(), String> {
        for (counter, chord) in &self.chords {
            let found = phase(*counter);
            let whole = chord.arrivals.len() == chord.members.len();
            let sound = match found {
                Some(Phase::Awaiting) => !whole,
                Some(Phase::Waiting | Phase::Running) => true,
                _ => false,
            };
            let linked = (0..).zip(&chord.members).all(|(at, last)| self.members.get(last) == Some(&(*counter, at)));
            if !sound || !linked || chord.home.is_none() {
                return Err(format!("the chord {counter} is {chord:?}, its job {found:?}"));
            }
        }
        let members: usize = self.chords.values().map(|chord| chord.members.len()).sum();
        if members == self.members.len() { Ok(()) } else { Err("members of chords that are not there".into()) }
    }
}

/// The effects of storing a chord.
pub(super) fn begin(state: &State, chord: NewChord, now: Timestamp, decided: &mut Decided) -> Result<(), Refusal> {
    let NewChord { id, members, settled, queue, durability, crash_limit, flow, rest } = chord;
    if id.salt() != state.salt || id.counter() >= state.reserved {
        return Err(StorageError::Refused(format!("the id {id} was not made for this store")));
    }
    if state.is_known(id.counter()) {
        // A repeated enqueue.
        return Ok(());
    }
    let item = WorkItem {
        made: decide::made(id),
        task: decided.number(state, CHORD),
        queue: decided.number(state, &queue),
        // Nobody's work: what is held up by it is.
        priority: i16::MAX,
        phase: if members.is_empty() { Phase::Waiting } else { Phase::Awaiting },
        at: now,
        crash_limit,
        // At its crash limit it is given out once more, to be settled.
        flags: Flags::new(false, durability == Durability::Synced, true).with_follow_up(true),
        ..WorkItem::unknown(id.counter())
    };
    flow::begin(state, id, item.queue, &flow, decided);
    decided.touched.push(item.counter);
    decided.effects.push(Effect::Put(Item::Chord { counter: item.counter, settled, members }));
    decided.effects.push(Effect::Put(Item::Body(item.counter, Body { rest, ..Body::default() })));
    decided.effects.push(Effect::Put(Item::Work(item)));
    Ok(())
}

/// The last job of a flow ended, or all of them by the end of one. If that is a member of a chord, it has arrived there, and
/// the chord's job may be due.
pub(super) fn arrive(state: &State, last: u64, arrival: Arrival, now: Timestamp, decided: &mut Decided) {
    let Some(&(counter, place)) = state.chords.members.get(&last) else { return };
    let Some(chord) = state.chords.chords.get(&counter) else { return };
    let Some(work) = state.work(counter).filter(|work| work.item.phase == Phase::Awaiting) else { return };
    if decided.so_far.due.contains(&counter) || chord.arrivals.contains_key(&place) {
        return;
    }
    let failed = matches!(arrival, Arrival::Failed { .. });
    decided.effects.push(Effect::Put(Item::Arrival { chord: counter, place, arrival: arrival.into() }));
    let now_here = decided.so_far.arrived.entry(counter).or_default();
    *now_here += 1;
    if (failed && !chord.settled) || chord.arrivals.len() + *now_here == chord.members.len() {
        decided.so_far.due.insert(counter);
        decided.behind.push((last, counter));
        decided.effects.push(Effect::Put(Item::Work(WorkItem { phase: Phase::Waiting, at: now, ..work.item })));
    }
}

/// What becomes of a chord whose job was claimed: its callback is stored, or was refused, or is not to be.
pub(super) fn gathered(
    state: &State,
    fetch: &dyn Fetch,
    work: &Work,
    next: Next,
    now: Timestamp,
    decided: &mut Decided,
) -> Result<Settled, Refusal> {
    let counter = work.item.counter;
    decided.effects.push(Effect::Drop(Key::Chord(counter)));
    decided.effects.push(Effect::Drop(Key::Job(counter)));
    let mut settled = Settled::new(JobState::Complete, None);
    match next {
        Next::Failed { cause, error, follow_up } => {
            settled.state = JobState::Canceled;
            if let Some(job) = follow_up {
                settled.next = flow::follow_up(state, fetch, *job, now, decided)?;
            }
            settled.canceled = flow::fail(state, counter, &flow::Why { cause, error }, now, decided);
        }
        next => (settled.next, settled.canceled) = flow::follow(state, fetch, counter, next, now, decided)?,
    }
    Ok(settled)
}

/// Read at a time.
const MOST: usize = 512;
const MOST_BYTES: usize = 1024 * 1024;

/// How members of a chord ended, from one of them on.
pub(super) fn arrivals(state: &State, fetch: &dyn Fetch, chord: JobId, from: u32) -> Result<Arrivals, StorageError> {
    let mut page = Arrivals::default();
    let stands = state.work_of(chord).and_then(|work| state.chords.chords.get(&work.item.counter));
    let Some(chord) = stands else { return Ok(page) };
    page.settled = chord.settled;
    let mut bytes = 0;
    for (place, home) in chord.arrivals.range(from..) {
        if page.members.len() == MOST || bytes > MOST_BYTES {
            page.next = Some(*place);
            break;
        }
        match fetch.fetch(*home)? {
            Effect::Put(Item::Arrival { arrival, .. }) => {
                bytes += if let Arrival::Complete { output } = &*arrival { output.len() } else { 0 };
                page.members.push((*place, *arrival));
            }
            other => return Err(StorageError::misplaced("arrival", *home, &other)),
        }
    }
    Ok(page)
}
