//! Ends, and what they mean for later steps and chords.

use super::*;

impl World {
    pub(super) fn end(&mut self, at: usize, state: State) {
        let now = self.now;
        let job = self.job(at);
        (job.state, job.at, job.rescued) = (state, now, false);
        self.keys.retain(|_, (holder, hold, _)| *holder != at || matches!(hold, Hold::Window(_)));
    }

    /// The later steps of a job that ended otherwise than well are not to be.
    pub(super) fn fail(&mut self, at: usize, recorded: bool) -> Vec<usize> {
        let (mut last, mut canceled) = (at, Vec::new());
        while let Some(next) = self.job(last).next.take() {
            self.end(next, State::Canceled);
            canceled.push(next);
            last = next;
        }
        self.arrive(last, Err(recorded));
        canceled
    }

    pub(super) fn arrive(&mut self, last: usize, arrival: Result<u64, bool>) {
        let Some((chord, place)) = self.is(last).member else { return };
        let now = self.now;
        let job = self.job(chord);
        if job.state != State::Awaiting {
            return;
        }
        let chord = job.chord.as_mut().expect("a chord");
        chord.arrived.insert(place, arrival);
        if (arrival.is_err() && !chord.settled) || chord.arrived.len() == chord.members {
            (job.state, job.at) = (State::Waiting, now);
        }
    }
}
