//! From a log back to the state.

use super::batch::{HEADER, View, frame, framed};
use super::log::{Log, LogError};
use crate::codec;
use crate::machine::{Effect, Place, State};
use crate::time::Timestamp;

/// What reading a log from end to end gives.
pub(crate) struct Replayed {
    pub(crate) state: State,
    /// The newest entry that belongs to a whole batch; 0 if there is none.
    pub(crate) last: u64,
    /// How many entries of an unfinished batch stand behind it.
    pub(crate) unfinished: u64,
}

/// Reads the log and applies every whole batch, as seen at `now`.
pub(crate) fn replay<L: Log>(log: &L, now: Timestamp) -> Result<Replayed, LogError> {
    let mut reader = Reader::default();
    reader.state.promote(now);
    log.scan(&mut |sequence, entry| reader.entry(sequence, entry))?;
    let Reader { state, batch, last, .. } = reader;
    if let Some(counter) = state.half_a_job() {
        return Err(LogError::damaged(format!("the journal has only a part of job number {counter}")));
    }
    Ok(Replayed { state, last, unfinished: batch.len() as u64 })
}

#[derive(Default)]
struct Reader {
    state: State,
    /// The entries of a batch whose last has not come yet: number, continued bytes, payload.
    batch: Vec<(u64, usize, Vec<u8>)>,
    /// The newest entry read.
    seen: Option<u64>,
    last: u64,
}

impl Reader {
    fn entry(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        if let Some(seen) = self.seen
            && sequence != seen + 1
        {
            return Err(LogError::damaged(format!(
                "entries {} to {} of the journal are missing",
                seen + 1,
                sequence - 1
            )));
        }
        let view = View::of(sequence, entry)?;
        // The oldest entry may be in the middle of a batch whose beginning was no longer needed.
        if self.seen.is_some() && view.first != self.batch.is_empty() {
            return Err(LogError::damaged(format!("the batch before entry {sequence} of the journal has no end")));
        }
        self.seen = Some(sequence);
        self.batch.push((sequence, view.continued, view.payload.to_vec()));
        if view.last {
            let batch = std::mem::take(&mut self.batch);
            for (sequence, _, payload) in &batch {
                self.state.homes.open(*sequence);
                self.state.homes.fill(*sequence, payload.len() + HEADER);
            }
            self.apply(&batch)?;
            self.last = sequence;
        }
        Ok(())
    }

    fn apply(&mut self, batch: &[(u64, usize, Vec<u8>)]) -> Result<(), LogError> {
        for (at, (sequence, continued, payload)) in batch.iter().enumerate() {
            let mut offset = *continued;
            while offset < payload.len() {
                let cut = || LogError::damaged(format!("an effect at {sequence}+{offset} of the journal is cut off"));
                let (here, mut missing) = payload.get(offset..).and_then(frame).ok_or_else(cut)?;
                let mut whole = std::borrow::Cow::Borrowed(here);
                for (_, continued, payload) in batch.iter().skip(at + 1) {
                    if missing == 0 {
                        break;
                    }
                    let part = payload.get(..missing.min(*continued)).ok_or_else(cut)?;
                    whole.to_mut().extend_from_slice(part);
                    missing -= part.len();
                }
                if missing > 0 {
                    return Err(cut());
                }
                let length = framed(whole.len());
                let effect: Effect = codec::decode(&whole)
                    .map_err(|error| LogError::damaged(format!("at {sequence}+{offset} of the journal: {error}")))?;
                self.state.apply(&effect, Place::new(*sequence, offset, length));
                offset += length;
            }
        }
        Ok(())
    }
}
