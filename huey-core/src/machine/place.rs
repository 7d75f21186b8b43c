//! Where an item stands in the journal, in eight bytes.

use std::fmt;

const OFFSET_BITS: u32 = 13;
const WEIGHT_BITS: u32 = 7;
const SEQUENCE_BITS: u32 = 43;

/// The entry that an item was put by, the offset in it, and about how many bytes it takes.
///
/// The weight is kept as a tiny float (five bits of exponent, two of mantissa), so it is right to an eighth, either way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(u64);

impl Place {
    /// No place. Sequences begin at 1.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn new(sequence: u64, offset: usize, bytes: usize) -> Self {
        let offset = offset as u64 & ((1 << OFFSET_BITS) - 1);
        Self(sequence << (OFFSET_BITS + WEIGHT_BITS) | offset << WEIGHT_BITS | weigh(bytes as u64))
    }

    pub(crate) fn sequence(self) -> u64 {
        self.0 >> (OFFSET_BITS + WEIGHT_BITS)
    }

    pub(crate) fn offset(self) -> usize {
        usize::try_from(self.0 >> WEIGHT_BITS & ((1 << OFFSET_BITS) - 1)).unwrap_or(0)
    }

    /// About how many bytes the item takes.
    pub(crate) fn weight(self) -> u64 {
        let code = self.0 & ((1 << WEIGHT_BITS) - 1);
        let (exponent, mantissa) = (code >> 2, code & 3);
        ((4 | mantissa) << exponent) >> 2
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The place as a number below 2^63.
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

const _: () = assert!(OFFSET_BITS + WEIGHT_BITS + SEQUENCE_BITS == 63);

fn weigh(bytes: u64) -> u64 {
    let bytes = bytes.max(1);
    // To the nearest, so that the errors of many places cancel out.
    let bytes = bytes + ((1 << bytes.ilog2()) >> 3);
    let exponent = u64::from(bytes.ilog2());
    let mantissa = ((bytes << 2) >> exponent) & 3;
    exponent.min(31) << 2 | mantissa
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}~{}", self.sequence(), self.offset(), self.weight())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_gives_back_its_parts_and_about_its_weight() {
        for bytes in [1, 2, 3, 7, 100, 7_999, 1_048_576, 16_000_000_usize] {
            let place = Place::new((1 << 43) - 1, 7_996, bytes);
            assert_eq!((place.sequence(), place.offset()), ((1 << 43) - 1, 7_996));
            let weight = usize::try_from(place.weight()).unwrap();
            assert!(weight * 8 <= bytes * 9 && weight * 8 >= bytes * 7, "{bytes} became {weight}");
            assert!(place.to_bits() < 1 << 63);
        }
    }
}
