//! The figures of a run, as a flat JSON object and in words.

use std::collections::BTreeMap;
use std::fmt::Write;

use huey::BoxError;

use crate::args::Args;

/// Figures that every report has, also those that it did not exercise.
const KEYS: [&str; 8] =
    ["kills", "images", "acknowledged", "lost_synced", "lease_settled_twice", "chords_doubled", "torn", "lost_relaxed"];
/// Figures that must be zero.
const LOSSES: [&str; 6] =
    ["lost_synced", "lease_settled_twice", "chords_doubled", "torn", "lost_relaxed_late", "condemned"];

pub(crate) struct Report(BTreeMap<String, f64>);

impl Report {
    pub(crate) fn new() -> Self {
        Self(KEYS.iter().map(|key| ((*key).to_owned(), 0.0)).collect())
    }

    pub(crate) fn add(&mut self, key: &str, number: u64) {
        #[expect(clippy::cast_precision_loss, reason = "no figure is that large")]
        let number = number as f64;
        *self.0.entry(key.to_owned()).or_default() += number;
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for (key, number) in &other.0 {
            *self.0.entry(key.clone()).or_default() += number;
        }
    }

    pub(crate) fn set(&mut self, key: &str, number: f64) {
        self.0.insert(key.to_owned(), number);
    }

    pub(crate) fn get(&self, key: &str) -> f64 {
        self.0.get(key).copied().unwrap_or(0.0)
    }

    pub(crate) fn is_clean(&self) -> bool {
        LOSSES.iter().all(|key| self.get(key) == 0.0)
    }

    fn json(&self) -> String {
        let mut text = String::from("{");
        for (number, (key, value)) in self.0.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = write!(text, "{}\"{key}\": {value}", if number == 0 { "" } else { ", " });
        }
        text + "}\n"
    }

    /// Prints the figures, and writes them where that was asked for.
    pub(crate) fn publish(&self, args: &Args) -> Result<(), BoxError> {
        print!("{}", self.json());
        if let Some(path) = args.path("json") {
            std::fs::write(path, self.json())?;
        }
        Ok(())
    }
}
