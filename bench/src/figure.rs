//! What was measured, as a table and as JSON.

use std::fmt::Write;

/// One figure beside what it is held against.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) durability: &'static str,
    /// What the baseline is, and its value in the same unit.
    pub(crate) baseline: Option<(&'static str, f64)>,
    /// Value by baseline: the median over the rounds, each of which measured both.
    pub(crate) ratio: Option<f64>,
}

impl Figure {
    /// A figure that stands by itself.
    pub(crate) fn alone(name: &'static str, value: f64, unit: &'static str, durability: &'static str) -> Self {
        Self { name, value, unit, durability, baseline: None, ratio: None }
    }

    /// A figure out of rounds that measured it and its baseline in turns.
    pub(crate) fn beside(
        name: &'static str,
        unit: &'static str,
        durability: &'static str,
        baseline: &'static str,
        rounds: &[(f64, f64)],
    ) -> Self {
        Self {
            name,
            value: median(rounds.iter().map(|(value, _)| *value)),
            unit,
            durability,
            baseline: Some((baseline, median(rounds.iter().map(|(_, base)| *base)))),
            ratio: Some(median(rounds.iter().map(|(value, base)| value / base))),
        }
    }
}

/// The middle of the values.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    percentile(values.collect(), 50)
}

/// The value below which so many of a hundred lie.
pub(crate) fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = values.len().saturating_sub(1) * percent / 100;
    values.get(at).copied().unwrap_or(f64::NAN)
}

pub(crate) fn print_head() {
    println!(
        "{:<22} {:>14} {:<10} {:<8} {:>14} {:>8}  beside",
        "scenario", "value", "unit", "level", "baseline", "ratio"
    );
}

pub(crate) fn print_row(figure: &Figure) {
    let Figure { name, value, unit, durability, baseline, ratio } = figure;
    let (beside, base) = baseline.map_or(("", String::new()), |(what, value)| (what, shown(value)));
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    println!("{name:<22} {:>14} {unit:<10} {durability:<8} {base:>14} {ratio:>8}  {beside}", shown(*value));
}

fn shown(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// All figures as an array of flat objects.
pub(crate) fn json(figures: &[Figure]) -> String {
    let number = |value: Option<f64>| value.filter(|value| value.is_finite()).map_or("null".into(), |v| v.to_string());
    let mut text = String::from("[");
    for (at, figure) in figures.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{}\n  {{\"name\": \"{}\", \"value\": {}, \"unit\": \"{}\", \"durability\": \"{}\", \"baseline\": {}, \
             \"ratio\": {}}}",
            if at == 0 { "" } else { "," },
            figure.name,
            number(Some(figure.value)),
            figure.unit,
            figure.durability,
            number(figure.baseline.map(|(_, value)| value)),
            number(figure.ratio)
        );
    }
    text + "\n]\n"
}
