//! The command line: a command, `all` if none is named, perhaps what it is about, then `--name value` or `--name`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use huey::BoxError;

const FLAGS: [&str; 5] = ["without-sealing", "check", "drain", "pipe", "keep"];

pub(crate) struct Args {
    command: String,
    subject: Option<String>,
    values: BTreeMap<String, String>,
}

impl Args {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut args = args.peekable();
        let command = args.next_if(|first| !first.starts_with("--")).unwrap_or_else(|| "all".to_owned());
        let subject = args.next_if(|second| !second.starts_with("--"));
        let mut values = BTreeMap::new();
        while let Some(arg) = args.next() {
            let name = arg.strip_prefix("--").ok_or_else(|| format!("`{arg}` is no option"))?;
            let value = if FLAGS.contains(&name) {
                String::new()
            } else {
                args.next().ok_or_else(|| format!("{arg} needs a value"))?
            };
            values.insert(name.to_owned(), value);
        }
        Ok(Self { command, subject, values })
    }

    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// What the command is about.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.values.get(name).map(PathBuf::from)
    }

    pub(crate) fn needed_path(&self, name: &str) -> Result<PathBuf, BoxError> {
        self.path(name).ok_or_else(|| format!("--{name} is missing").into())
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str, otherwise: T) -> Result<T, BoxError> {
        match self.values.get(name) {
            Some(text) => text.parse().map_err(|_| format!("--{name} needs a number, and `{text}` is none").into()),
            None => Ok(otherwise),
        }
    }

    /// The seed asked for, or a new one.
    pub(crate) fn seed(&self) -> Result<u64, BoxError> {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.subsec_nanos());
        self.number("seed", u64::from(nanos))
    }

    /// A new folder of our own, by its full name: the one who watches it goes by names.
    pub(crate) fn work(&self) -> Result<PathBuf, BoxError> {
        let base = self.path("work").unwrap_or_else(std::env::temp_dir);
        let folder = base.join(format!("huey-torture-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(folder.canonicalize()?)
    }
}
