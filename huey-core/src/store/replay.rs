//! From a log back to the state.

use std::borrow::Cow;

use super::batch::{HEADER, View, counted, frame, framed};
use super::log::{Log, LogError};
use crate::codec;
use crate::machine::{Effect, Place, State};
use crate::time::Timestamp;

/// What reading a log from end to end gives.
#[derive(Default)]
pub(crate) struct Replayed {
    pub(crate) state: State,
    /// The newest entry that belongs to a whole batch; 0 if there is none.
    pub(crate) last: u64,
    /// How many entries of an unfinished batch stand behind it.
    pub(crate) unfinished: u64,
    /// How many items there should be.
    items: u32,
}

/// Reads the log and applies every whole batch, as seen at `now`.
pub(crate) fn replay<L: Log>(log: &L, now: Timestamp) -> Result<Replayed, LogError> {
    let mut replayed = Replayed::default();
    replayed.state.promote(now);
    replayed.read(&mut |each| log.scan(each))?;
    match replayed.missing() {
        Some(missing) => Err(LogError::damaged(missing)),
        None => Ok(replayed),
    }
}

/// Takes an entry.
pub(crate) type Each<'a> = dyn FnMut(u64, &[u8]) -> Result<(), LogError> + 'a;
/// Calls what it is given with every entry in order.
pub(crate) type Scan<'a> = dyn FnMut(&mut Each<'_>) -> Result<(), LogError> + 'a;

impl Replayed {
    /// Reads all entries, and applies the batches that are whole, up to the first fault.
    pub(crate) fn read(&mut self, scan: &mut Scan<'_>) -> Result<(), LogError> {
        let mut reader = Reader::default();
        let read = scan(&mut |sequence, entry| match reader.entry(sequence, entry)? {
            Some(batch) => self.apply(&batch),
            None => Ok(()),
        });
        self.unfinished = reader.batch.len() as u64;
        read
    }

    fn apply(&mut self, batch: &Whole) -> Result<(), LogError> {
        // Decoded before anything changes, so that a batch counts whole or not at all.
        let mut effects = Vec::new();
        batch.effects(&mut |effect, place| {
            effects.push((effect, place));
            Ok(())
        })?;
        for (sequence, _, payload) in &batch.entries {
            self.state.homes.open(*sequence);
            self.state.homes.fill(*sequence, payload.len() + HEADER);
        }
        for (effect, place) in &effects {
            self.state.apply(effect, *place);
        }
        (self.last, self.items) = (batch.last, batch.items);
        Ok(())
    }

    /// How many items there are, as an entry names it.
    #[cfg(feature = "testing")]
    pub(crate) fn items_found(&self) -> u32 {
        counted(self.state.homes.items())
    }

    /// What no crash can have taken away and is not there.
    pub(crate) fn missing(&self) -> Option<String> {
        if let Some(counter) = self.state.half_a_job() {
            return Some(format!("the journal has only a part of job number {counter}"));
        }
        let found = self.state.homes.items();
        (counted(found) != self.items).then(|| {
            format!("the journal has {found} items, and {} were written: its beginning is missing", self.items)
        })
    }
}

/// Puts entries together to batches.
#[derive(Default)]
pub(crate) struct Reader {
    /// The entries of a batch whose last has not come yet: number, continued bytes, payload.
    batch: Vec<(u64, usize, Vec<u8>)>,
    /// The newest entry read.
    seen: Option<u64>,
}

/// A batch that is there from its first entry to its last.
pub(crate) struct Whole {
    entries: Vec<(u64, usize, Vec<u8>)>,
    pub(crate) last: u64,
    items: u32,
}

impl Reader {
    /// Takes the next entry: the batch that it ends, if it ends one.
    pub(crate) fn entry(&mut self, sequence: u64, entry: &[u8]) -> Result<Option<Whole>, LogError> {
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
        let entries = view.last.then(|| std::mem::take(&mut self.batch));
        Ok(entries.map(|entries| Whole { entries, last: sequence, items: view.items }))
    }
}

impl Whole {
    /// Calls `each` with the effects that begin in it, in order.
    pub(crate) fn effects(&self, each: &mut dyn FnMut(Effect, Place) -> Result<(), LogError>) -> Result<(), LogError> {
        for (at, (sequence, continued, payload)) in self.entries.iter().enumerate() {
            let mut offset = *continued;
            while offset < payload.len() {
                let cut = || LogError::damaged(format!("an effect at {sequence}+{offset} of the journal is cut off"));
                let (here, mut missing) = payload.get(offset..).and_then(frame).ok_or_else(cut)?;
                let mut whole = Cow::Borrowed(here);
                for (_, continued, payload) in self.entries.iter().skip(at + 1) {
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
                each(effect, Place::new(*sequence, offset, length))?;
                offset += length;
            }
        }
        Ok(())
    }
}
