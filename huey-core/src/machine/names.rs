//! Names of tasks and queues, each stored once and mentioned by number.

use std::collections::HashMap;
use std::sync::Arc;

use super::place::Place;

#[derive(Debug, Default)]
pub(crate) struct Names {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Option<(Arc<str>, Place)>>,
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

    fn slot(&self, number: u32) -> Option<&(Arc<str>, Place)> {
        self.texts.get(usize::try_from(number).ok()?)?.as_ref()
    }

    /// The number that the next new name gets.
    pub(crate) fn next(&self) -> u32 {
        u32::try_from(self.texts.len()).unwrap_or(u32::MAX)
    }

    /// Puts a name, and gives the place where it stood before.
    pub(crate) fn put(&mut self, number: u32, text: &str, place: Place) -> Option<Place> {
        let at = usize::try_from(number).ok()?;
        if self.texts.len() <= at {
            self.texts.resize(at + 1, None);
        }
        let text: Arc<str> = Arc::from(text);
        self.numbers.insert(Arc::clone(&text), number);
        self.texts.get_mut(at)?.replace((text, place)).map(|(_, place)| place)
    }
}
