//! The next step of a chain, between its hooks and the commit that settles the step before it.

use crate::enqueue::{After, EnqueueOutcome, Passed, Pipeline, Unstaged};
use crate::error::Error;
use crate::id::JobId;
use crate::store::{Discarded, Next, Placed};

/// What is owed for a step once the end of the one before it is stored.
pub(super) enum Follow {
    /// It passed its hooks.
    Staged(Box<After>),
    /// A hook pointed to another job.
    Existing(JobId, Box<After>),
    /// It was refused, by a hook or because it cannot be made.
    Refused(Option<Box<After>>, Error),
}

/// What is settled with the end of the step before, and what is owed then.
pub(super) fn of(staged: Result<Option<Passed>, Unstaged>) -> (Option<Next>, Option<Follow>) {
    match staged {
        Ok(None) => (None, None),
        Ok(Some(Passed::Staged(staged))) => {
            let (job, after) = (staged.job, staged.after);
            (Some(Next::Job(Box::new(job))), Some(Follow::Staged(Box::new(after))))
        }
        Ok(Some(Passed::Found(id, after))) => {
            (Some(Next::Refused { cause: format!("duplicate of {id}") }), Some(Follow::Existing(id, after)))
        }
        // One that was told of already does not come from here.
        Ok(Some(Passed::Existing(existing))) => {
            (Some(Next::Refused { cause: format!("duplicate of {}", existing.id) }), None)
        }
        Err(Unstaged { error, after }) => {
            let cause = match error.refused_by() {
                Some((hook, reason)) => format!("rejected by {hook}: {reason}"),
                None => error.to_string(),
            };
            (Some(Next::Refused { cause }), Some(Follow::Refused(after, error)))
        }
    }
}

impl Follow {
    /// The step that a hook refused, if one did.
    pub(super) fn refused(&self) -> Option<JobId> {
        match self {
            Self::Refused(Some(after), _) => Some(after.notice.id),
            _ => None,
        }
    }

    /// Tells what became of the step: its signals, and the callbacks of its hooks. The id of one that is told of as rejected.
    /// Whose place it took has `ended`, and its waiters are still to be told.
    pub(super) fn tell(
        self,
        pipeline: &Pipeline,
        next: Option<Placed>,
        held: &mut Vec<JobId>,
        ended: &mut Vec<Discarded>,
    ) -> Option<JobId> {
        match (self, next) {
            (Self::Staged(mut after), Some(placed @ (Placed::New | Placed::Replaced(_)))) => {
                held.push(after.notice.id);
                if let Some(old) = pipeline.stored(&mut after, placed) {
                    held.push(old.id);
                    ended.push(old);
                }
                None
            }
            (Self::Staged(mut after), None) => {
                let reason = "another job holds its unique key, or it was canceled before its turn came".to_owned();
                after.settle(&EnqueueOutcome::Refused { hook: "unique".into(), reason });
                None
            }
            (Self::Staged(mut after), Some(Placed::Existing(id))) | (Self::Existing(id, mut after), _) => {
                after.settle(&EnqueueOutcome::Existing(id));
                None
            }
            (Self::Refused(Some(after), error), _) => {
                let id = after.notice.id;
                let is_told = error.refused_by().is_some();
                pipeline.refuse(*after, &error);
                is_told.then_some(id)
            }
            (Self::Refused(None, error), _) => {
                tracing::error!(%error, "the next step of a chain cannot be made");
                None
            }
        }
    }

    /// The end of the step before was not stored.
    pub(super) fn fail(self, why: &str) {
        if let Self::Staged(mut after) | Self::Existing(_, mut after) | Self::Refused(Some(mut after), _) = self {
            after.settle(&EnqueueOutcome::Failed(why.to_owned()));
        }
    }
}
