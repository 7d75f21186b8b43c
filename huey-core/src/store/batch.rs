//! Effects in entries: how a batch is laid out, and how it is read back.
//!
//! An entry is a header of seven bytes and a payload. The header holds the version and the batch's first and last
//! marks, how many bytes of the payload continue an effect of the entry before, and, in the last entry of a batch, how
//! many items there are once it is applied: by that number a lost beginning of the journal is noticed, which leaves no
//! gap. An effect is its length (as a LEB128 number) and its bytes. It is split over entries only if it fits into none.

use std::borrow::Cow;

use super::log::{ENTRY_LIMIT, LogError};
use super::storage::StorageError;
use crate::codec;
use crate::machine::{Effect, Place};

const VERSION: u8 = 2;
const FIRST: u8 = 1;
const LAST: u8 = 2;
pub(crate) const HEADER: usize = 7;
const PAYLOAD: usize = ENTRY_LIMIT - HEADER;
/// The largest effect. Decoding counts the numbers in front of a body at their full width, so what encodes to just
/// the codec's limit could not be read back.
const EFFECT_LIMIT: usize = codec::LIMIT - 4096;

/// The entries of one batch under construction.
#[derive(Debug)]
pub(crate) struct Batch {
    first: u64,
    entries: Vec<Vec<u8>>,
}

impl Batch {
    /// A batch whose first entry will be `first`.
    pub(crate) fn new(first: u64) -> Self {
        Self { first, entries: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(Vec::len).sum()
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the entry that the next effect cannot stand before.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn open(&mut self, continued: usize) {
        let mut entry = Vec::with_capacity(256);
        let continued = u16::try_from(continued.min(PAYLOAD)).unwrap_or(u16::MAX).to_le_bytes();
        entry.push(VERSION << 4);
        entry.extend_from_slice(&continued);
        entry.extend_from_slice(&[0; 4]);
        self.entries.push(entry);
    }

    /// Adds a framed effect, and says where it will stand.
    pub(crate) fn push(&mut self, frame: &[u8]) -> Place {
        let room = self.entries.last().map_or(0, |entry| ENTRY_LIMIT - entry.len());
        if frame.len() > room {
            self.open(0);
        }
        let sequence = self.next() - 1;
        let offset = self.entries.last().map_or(0, |entry| entry.len() - HEADER);
        let mut rest = frame;
        while let Some(entry) = self.entries.last_mut() {
            let (part, left) = rest.split_at(rest.len().min(ENTRY_LIMIT - entry.len()));
            entry.extend_from_slice(part);
            rest = left;
            if rest.is_empty() {
                break;
            }
            self.open(rest.len());
        }
        Place::new(sequence, offset, frame.len())
    }

    /// The bytes of the effect at `place`, if it stands in this batch.
    pub(crate) fn effect_bytes(&self, place: Place) -> Option<Cow<'_, [u8]>> {
        let at = usize::try_from(place.sequence().checked_sub(self.first)?).ok()?;
        let mut entries = self.entries.get(at..)?.iter().filter_map(|entry| entry.get(HEADER..));
        let (here, mut missing) = frame(entries.next()?.get(place.offset()..)?)?;
        let mut bytes = Cow::Borrowed(here);
        while missing > 0 {
            let payload = entries.next()?;
            let part = payload.get(..missing.min(payload.len()))?;
            bytes.to_mut().extend_from_slice(part);
            missing -= part.len();
        }
        Some(bytes)
    }

    /// The finished entries, in order, of a batch after which there are so many items.
    pub(crate) fn finish(mut self, items: u64) -> Vec<Vec<u8>> {
        let mark = |entry: Option<&mut Vec<u8>>, mark: u8| {
            if let Some(flags) = entry.and_then(|entry| entry.first_mut()) {
                *flags |= mark;
            }
        };
        mark(self.entries.first_mut(), FIRST);
        mark(self.entries.last_mut(), LAST);
        if let Some(count) = self.entries.last_mut().and_then(|entry| entry.get_mut(3..HEADER)) {
            count.copy_from_slice(&counted(items).to_le_bytes());
        }
        self.entries
    }
}

/// A number of items as an entry holds it.
pub(crate) fn counted(items: u64) -> u32 {
    u32::try_from(items & u64::from(u32::MAX)).unwrap_or(0)
}

/// Effects in their frames, one behind the other, in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// What frames may hold on to between two uses, in bytes.
const HELD: usize = 64 * 1024;

impl Frames {
    /// Frames an effect, unless it is too large or cannot be encoded.
    pub(crate) fn add(&mut self, effect: &Effect) -> Result<(), StorageError> {
        let begin = self.bytes.len();
        // Room for the length of a short one. That of a longer one moves it.
        self.bytes.push(0);
        codec::encode_onto(&mut self.bytes, effect).map_err(|error| StorageError::Refused(error.to_string()))?;
        let length = self.bytes.len() - begin - 1;
        if length > EFFECT_LIMIT {
            return Err(StorageError::Refused(format!(
                "{length} bytes in one piece pass the limit of {EFFECT_LIMIT}: store them elsewhere and pass a reference"
            )));
        }
        let digits = framed(length) - length;
        if digits > 1 {
            let encoded = begin + 1..self.bytes.len();
            self.bytes.resize(encoded.end + digits - 1, 0);
            self.bytes.copy_within(encoded, begin + digits);
        }
        write_length(self.bytes.iter_mut().skip(begin), length);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Frames the bytes of an effect that was encoded before.
    pub(crate) fn add_encoded(&mut self, effect: &[u8]) {
        put_length(&mut self.bytes, effect.len());
        self.bytes.extend_from_slice(effect);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins.zip(&self.ends).filter_map(|(begin, end)| self.bytes.get(*begin..*end))
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(HELD);
        self.ends.clear();
        self.ends.shrink_to(HELD);
    }
}

/// The effect of these bytes, which were read at `place`.
pub(crate) fn decode_effect(bytes: &[u8], place: Place) -> Result<Effect, StorageError> {
    codec::decode(bytes).map_err(|error| StorageError::Damaged(format!("at {place:?} of the journal: {error}")))
}

fn put_length(frame: &mut Vec<u8>, length: usize) {
    let begin = frame.len();
    frame.resize(begin + framed(length) - length, 0);
    write_length(frame.iter_mut().skip(begin), length);
}

/// Writes a length over as many bytes as it takes.
fn write_length<'a>(bytes: impl Iterator<Item = &'a mut u8>, mut length: usize) {
    for byte in bytes {
        *byte = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            break;
        }
        *byte |= 0x80;
    }
}

/// Takes a length off the front: the length, and how many bytes it took.
fn take_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((length, at + 1));
        }
    }
    None
}

/// An entry, read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) first: bool,
    pub(crate) last: bool,
    /// How much of the payload continues an effect of the entry before.
    pub(crate) continued: usize,
    /// How many items there are after it, if it is the last of its batch; see [`counted`].
    pub(crate) items: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> View<'a> {
    pub(crate) fn of(sequence: u64, entry: &'a [u8]) -> Result<Self, LogError> {
        let (&[flags, low, high, ref items @ ..], payload) = entry
            .split_first_chunk::<HEADER>()
            .ok_or_else(|| LogError::damaged(format!("entry {sequence} of the journal is cut off")))?;
        if flags >> 4 != VERSION {
            return Err(LogError::damaged(format!(
                "entry {sequence} of the journal has format {}, this build reads {VERSION}",
                flags >> 4
            )));
        }
        let continued = usize::from(u16::from_le_bytes([low, high]));
        if continued > payload.len() {
            return Err(LogError::damaged(format!("entry {sequence} of the journal is cut off")));
        }
        Ok(Self {
            first: flags & FIRST != 0,
            last: flags & LAST != 0,
            continued,
            items: u32::from_le_bytes(*items),
            payload,
        })
    }
}

/// An effect's frame at the front of `bytes`: the effect's bytes so far, and how many are missing.
pub(crate) fn frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, used) = take_length(bytes)?;
    let rest = bytes.get(used..)?;
    let here = rest.len().min(length);
    Some((rest.get(..here)?, length - here))
}

/// How many bytes the frame around `length` bytes of effect takes.
pub(crate) fn framed(length: usize) -> usize {
    let digits = (usize::BITS - length.leading_zeros()).max(1).div_ceil(7);
    length + digits as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Item, Key};
    use crate::store::Body;

    fn body(counter: u64, bytes: usize) -> Effect {
        Effect::Put(Item::Body(counter, Body { head: vec![].into(), args: vec![9; bytes].into(), ..Body::default() }))
    }

    fn framed_alone(effect: &Effect) -> Vec<u8> {
        let mut frames = Frames::default();
        frames.add(effect).unwrap();
        frames.iter().next().unwrap().to_vec()
    }

    #[test]
    fn frames_stand_one_behind_the_other_and_begin_anew() {
        let effects = [body(1, 10), body(2, 200), Effect::Drop(Key::Job(1))];
        let mut frames = Frames::default();
        for _ in 0..2 {
            for effect in &effects {
                frames.add(effect).unwrap();
                frames.add_encoded(&codec::encode(effect).unwrap());
            }
            let all: Vec<&[u8]> = frames.iter().collect();
            let expected: Vec<Vec<u8>> =
                effects.iter().flat_map(|effect| [framed_alone(effect), framed_alone(effect)]).collect();
            assert_eq!(all, expected);
            frames.clear();
            assert_eq!(frames.iter().count(), 0);
        }
    }

    #[test]
    fn small_effects_are_never_split_and_large_ones_span_entries() {
        let mut batch = Batch::new(7);
        let effects = [body(1, 3_000), body(2, 4_900), body(3, 200), body(4, 30_000), Effect::Drop(Key::Job(1))];
        let places: Vec<Place> = effects.iter().map(|effect| batch.push(&framed_alone(effect))).collect();
        let entries = batch.finish(0);
        assert!(entries.iter().all(|entry| entry.len() <= ENTRY_LIMIT));
        for (effect, place) in effects.iter().zip(&places) {
            let mut at = usize::try_from(place.sequence() - 7).unwrap();
            let view = View::of(place.sequence(), &entries[at]).unwrap();
            let (here, missing) = frame(&view.payload[place.offset()..]).unwrap();
            let (mut bytes, mut missing) = (here.to_vec(), missing);
            while missing > 0 {
                at += 1;
                let view = View::of(0, &entries[at]).unwrap();
                assert_eq!(view.continued, missing.min(PAYLOAD));
                bytes.extend_from_slice(&view.payload[..view.continued]);
                missing -= view.continued;
            }
            assert_eq!(&codec::decode::<Effect>(&bytes).unwrap(), effect);
        }
        let views: Vec<_> = entries.iter().map(|entry| View::of(0, entry).unwrap()).collect();
        assert!(views[0].first && views.last().unwrap().last);
        assert_eq!(views.iter().filter(|view| view.first).count(), 1);
    }

    #[test]
    fn the_size_of_a_frame_is_known_from_its_length() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let mut bytes = Vec::new();
            put_length(&mut bytes, length);
            assert_eq!(framed(length), length + bytes.len());
            assert_eq!(take_length(&bytes), Some((length, bytes.len())));
        }
    }

    #[test]
    fn a_foreign_entry_is_named_and_not_read() {
        assert!(View::of(4, &[1]).unwrap_err().message.contains("entry 4"));
        assert!(View::of(4, &[0x33, 0, 0, 0, 0, 0, 0, 1]).unwrap_err().message.contains("format 3"));
        assert!(View::of(4, &[0x23, 9, 0, 0, 0, 0, 0, 1]).unwrap_err().damaged);
    }
}
