//! The command line: a scenario, then `--name value`.

use std::path::{Path, PathBuf};

use huey::BoxError;

pub(crate) struct Args {
    scenario: String,
    work: PathBuf,
    json: Option<PathBuf>,
}

impl Args {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let scenario = args.next().ok_or("no scenario was named")?;
        let mut parsed = Self { scenario, work: std::env::temp_dir(), json: None };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--work" => parsed.work = value.into(),
                "--json" => parsed.json = Some(value.into()),
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

    pub(crate) fn json(&self) -> Option<&Path> {
        self.json.as_deref()
    }
}
