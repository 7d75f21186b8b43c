//! Names of tasks and queues, each stored once and mentioned by number.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::place::Place;

#[derive(Debug, Default)]
pub(crate) struct Names {
    /// There are few, and each enqueue looks for two: comparing costs less than hashing.
    numbers: BTreeMap<Arc<str>, u32>,
    /// By number: whatever number is read, a name costs no more than itself.
    texts: BTreeMap<u32, (Arc<str>, Place)>,
}

impl Names {
    pub(crate) fn number(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    pub(crate) fn text(&self, number: u32) -> Arc<str> {
        self.slot(number).map_or_else(|| Arc::from("?"), |(text, _)| Arc::clone(text))
    }

    pub(crate) fn place(&self, number: u32) -> Option<Place> {
        self.slot(number).map(|(_, place)| *place)
    }

    /// All names, by number.
    #[cfg(feature = "testing")]
    pub(crate) fn all(&self) -> &BTreeMap<u32, (Arc<str>, Place)> {
        &self.texts
    }

    fn slot(&self, number: u32) -> Option<&(Arc<str>, Place)> {
        self.texts.get(&number)
    }

    /// The number that the next new name gets.
    pub(crate) fn next(&self) -> u32 {
        self.texts.last_key_value().map_or(0, |(last, _)| last.saturating_add(1))
    }

    /// Puts a name, and gives the place where it stood before.
    pub(crate) fn put(&mut self, number: u32, text: &str, place: Place) -> Option<Place> {
        let text: Arc<str> = Arc::from(text);
        self.numbers.insert(Arc::clone(&text), number);
        self.texts.insert(number, (text, place)).map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_costs_no_more_than_itself_whatever_number_it_was_read_with() {
        let mut names = Names::default();
        let place = Place::new(1, 0, 10);
        assert_eq!(names.put(u32::MAX, "last", place), None);
        assert_eq!(names.put(3, "other", place), None);
        assert_eq!((&*names.text(u32::MAX), &*names.text(2)), ("last", "?"));
        assert_eq!(names.next(), u32::MAX, "no number comes after it");
    }
}
