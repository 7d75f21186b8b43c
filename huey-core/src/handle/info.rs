//! What a queue tells of a job.

use std::sync::Arc;

use crate::error::TaskError;
use crate::id::JobId;
use crate::job::{Head, Origin};
use crate::state::JobState;
use crate::store::{Progress, Row};
use crate::time::Timestamp;

/// A job as a listing shows it. Its arguments are not decoded for that.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobInfo {
    /// The job.
    pub id: JobId,
    /// The name of its task.
    pub task: Arc<str>,
    /// The name of its queue.
    pub queue: Arc<str>,
    /// Higher runs first.
    pub priority: i16,
    /// Where it is in its life.
    pub state: JobState,
    /// Why it exists, and the job it came from; `None` if its envelope was written by another version of huey.
    pub origin: Option<Origin>,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// When it was made.
    pub enqueued: Timestamp,
    /// When it may run, while it waits.
    pub due: Option<Timestamp>,
    /// When the last attempt was claimed, while it runs and once it has ended.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// When it is too late to pick it up.
    pub expires: Option<Timestamp>,
    /// How many attempts began, refunded ones not counted.
    pub attempts: u32,
    /// How often a consumer died while it ran.
    pub crashes: u8,
    /// The record of the last failed attempt.
    pub error: Option<TaskError>,
    /// Whether it was canceled while it ran, so that it will not be attempted again.
    pub stopping: bool,
    /// How far its body says it is, while it has not ended.
    pub progress: Option<Progress>,
    /// Why it ended or stands still, or why its envelope cannot be read, in words.
    pub cause: Option<String>,
}

impl JobInfo {
    /// The job that this one came from.
    #[must_use]
    pub fn parent(&self) -> Option<JobId> {
        self.origin.and_then(|origin| origin.parent())
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl From<Row> for JobInfo {
    fn from(row: Row) -> Self {
        let head = Head::decode(&row.head);
        let (mut due, mut started, mut ended) = (None, row.ended.started, None);
        match row.state {
            JobState::Queued | JobState::Scheduled => due = Some(row.at),
            JobState::Running => started = Some(row.at),
            _ => {
                started = started.or(row.ended.error.as_ref().map(|error| error.started));
                ended = row.state.is_ended().then_some(row.at);
            }
        }
        let mut cause = row.ended.cause;
        let (origin, headers) = match head {
            Ok(head) => (Some(head.origin), head.headers),
            Err(error) => {
                cause.get_or_insert_with(|| error.to_string());
                (None, Vec::new())
            }
        };
        Self {
            id: row.id,
            task: row.task,
            queue: row.queue,
            priority: row.priority,
            state: row.state,
            origin,
            headers,
            enqueued: row.id.made_at(),
            due,
            started,
            ended,
            expires: row.expires,
            attempts: row.attempts,
            crashes: row.crashes,
            error: row.ended.error,
            stopping: row.stopping,
            progress: row.progress,
            cause,
        }
    }
}
