//! Why a job has not run: what the store knows of it, and what this process does.

use super::control::misanswered_query;
use super::executor::Executor;
use crate::error::Result;
use crate::id::JobId;
use crate::job::Head;
use crate::state::JobState;
use crate::store::{Answer, Explanation, Query, Reason, Row};
use crate::task::Body;

/// What a consumer has for the jobs of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hands {
    /// Workers for plain tasks.
    pub(crate) plain: bool,
    /// Places for async ones.
    pub(crate) is_async: bool,
}

impl Executor {
    pub(crate) fn explain(&self, id: JobId) -> Result<Explanation> {
        let row = match self.storage.read(Query::Job(id))? {
            Answer::Job(Ok(row)) => *row,
            Answer::Job(Err(_)) => return self.missing(id),
            other => return Err(misanswered_query(&other)),
        };
        let reasons = match row.state {
            JobState::Queued | JobState::Scheduled => self.hurdles(&row)?,
            JobState::Awaiting => self.known_to_the_store(id)?,
            JobState::Running => {
                vec![Reason::Running { since: row.at, attempt: row.attempts, stopping: row.stopping }]
            }
            JobState::Parked => vec![Reason::Parked { cause: row.ended.cause.clone().unwrap_or_default() }],
            state => {
                let error = row.ended.error.as_ref().map(ToString::to_string);
                let cause = error.or_else(|| row.ended.cause.clone()).unwrap_or_default();
                vec![Reason::Ended { state, cause }]
            }
        };
        Ok(Explanation { id, task: row.task, queue: row.queue, state: row.state, reasons })
    }

    fn known_to_the_store(&self, id: JobId) -> Result<Vec<Reason>> {
        let beside = self.crews().iter().flat_map(|crew| crew.queues().to_vec()).collect();
        match self.storage.read(Query::Reasons { id, beside })? {
            Answer::Reasons(reasons) => Ok(reasons),
            other => Err(misanswered_query(&other)),
        }
    }

    /// What keeps a waiting job from running: its time, what the store knows, what this process lacks.
    fn hurdles(&self, row: &Row) -> Result<Vec<Reason>> {
        let mut reasons = Vec::new();
        let now = self.storage.clock().now();
        if row.state == JobState::Scheduled {
            reasons.push(match row.attempts {
                0 => Reason::Due(row.at),
                _ => Reason::Retry { at: row.at, error: row.ended.error.clone() },
            });
        }
        reasons.extend(row.expires.filter(|at| now > *at).map(Reason::Late));
        let of_store = self.known_to_the_store(row.id)?;
        let (in_line, of_store): (Vec<_>, Vec<_>) =
            of_store.into_iter().partition(|reason| matches!(reason, Reason::InLine { .. }));
        reasons.extend(of_store);
        self.add_local(row, &mut reasons);
        if reasons.is_empty() {
            reasons.extend(in_line);
        }
        if reasons.is_empty() {
            // It was claimed, or ended, since its row was read.
            reasons.push(Reason::InLine { queued: 0, running: 0 });
        }
        Ok(reasons)
    }

    fn add_local(&self, row: &Row, reasons: &mut Vec<Reason>) {
        let registration = self.registry.find(&row.task);
        match registration {
            None => reasons.push(Reason::UnknownTask),
            Some(found) => {
                let reads = |head: Head| found.task.form().reads(head.form) || found.task.upgrade.is_some();
                if !Head::decode(&row.head).is_ok_and(reads) {
                    reasons.push(Reason::OtherParameters);
                }
                let missing = found.task.needs.iter().filter(|need| !self.data.holds(need));
                let missing: Vec<String> = missing.map(|need| (need.name)().to_owned()).collect();
                if !missing.is_empty() {
                    reasons.push(Reason::MissingData(missing));
                }
            }
        }
        let mut crews = self.crews();
        crews.retain(|crew| !crew.queues().is_empty());
        let hands: Vec<Hands> = crews.iter().filter_map(|crew| crew.hands(&row.queue)).collect();
        let is_async =
            cfg!(feature = "tokio") && registration.is_some_and(|found| matches!(found.task.body, Body::Async(_)));
        if crews.is_empty() {
            reasons.push(Reason::NoConsumer);
        } else if hands.is_empty() {
            let mut serve: Vec<String> = crews.iter().flat_map(|crew| crew.queues().to_vec()).collect();
            serve.sort_unstable();
            serve.dedup();
            reasons.push(Reason::NotServed { serve });
        } else if is_async && !hands.iter().any(|hands| hands.is_async) {
            reasons.push(Reason::NoAsyncPlace);
        } else if !is_async && !hands.iter().any(|hands| hands.plain) {
            reasons.push(Reason::NoWorker);
        }
    }
}
