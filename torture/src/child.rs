//! Processes of our own, and what they say.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use huey::BoxError;

/// This program again, with its lines in a channel.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    pub(crate) heard: Vec<String>,
}

impl Process {
    pub(crate) fn start(command: &str, args: &[String]) -> Result<Self, BoxError> {
        Self::start_with(command, &[], args)
    }

    pub(crate) fn start_with(command: &str, variables: &[(&str, &str)], args: &[String]) -> Result<Self, BoxError> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(command)
            .args(args)
            .env("RUST_BACKTRACE", "0")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("a child has no output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines, heard: Vec::new() })
    }

    /// Waits until it says `word`: false if it ended without, or took too long.
    pub(crate) fn wait_for(&mut self, word: &str, patience: Duration) -> bool {
        loop {
            match self.lines.recv_timeout(patience) {
                Ok(line) if line == word => return true,
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// The next line that it says; none once it has ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.lines.recv().ok()
    }

    pub(crate) fn kill(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
    }

    /// Waits for its end, and gives all that it said: true if it ended by itself and well.
    pub(crate) fn end(mut self) -> Result<(bool, Vec<String>), BoxError> {
        let well = self.child.wait()?.success();
        self.heard.extend(self.lines.iter());
        Ok((well, self.heard))
    }
}

/// Arguments for a child.
pub(crate) fn arguments<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> Vec<String> {
    pairs
        .into_iter()
        .flat_map(|(name, value)| [Some(format!("--{name}")), Some(value).filter(|value| !value.is_empty())])
        .flatten()
        .collect()
}
