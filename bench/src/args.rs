//! The command line: a scenario, then `--name value`.

use std::path::{Path, PathBuf};

use huey::BoxError;

pub(crate) struct Args {
    scenario: String,
    work: PathBuf,
    json: Option<PathBuf>,
    times: u32,
}

impl Args {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let scenario = args.next().ok_or("no scenario was named")?;
        let mut parsed = Self { scenario, work: std::env::temp_dir(), json: None, times: 1_000 };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--work" => parsed.work = value.into(),
                "--json" => parsed.json = Some(value.into()),
                "--times" => parsed.times = value.parse()?,
                _ => return Err(format!("`{name}` is no option").into()),
            }
        }
        Ok(parsed)
    }

    pub(crate) fn scenario(&self) -> &str {
        &self.scenario
    }

    /// Where folders are made: on the disk that is to be measured.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// How often a counted scenario does what it does.
    pub(crate) fn times(&self) -> u32 {
        self.times
    }

    pub(crate) fn json(&self) -> Option<&Path> {
        self.json.as_deref()
    }
}
