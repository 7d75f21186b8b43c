//! The job that stands for a chord: reads how the members ended, and takes the callback through its hooks.

use super::attempt::End;
use super::executor::{Executor, Kit};
use super::follow::{self, Follow};
use super::retry::Decided;
use crate::codec;
use crate::enqueue::Tail;
use crate::error::{Error, Result, TaskError};
use crate::id::JobId;
use crate::job::Origin;
use crate::store::{Answer, Arrival, Next, Query, Verdict};
use crate::task::Failure;

/// What a chord's members came to together.
enum Gathered {
    /// What its callback takes first.
    Output(Vec<u8>),
    /// One did not end well.
    Failed { cause: String, error: Option<TaskError> },
}

impl Executor {
    /// What becomes of a chord whose turn it is, and what is owed for its callback.
    pub(super) fn gather(&self, kit: &Kit, end: End) -> (Decided, Option<Follow>) {
        let gathered = match end {
            End::Gather => match self.read_arrivals(kit.lease.id) {
                Ok(gathered) => gathered,
                Err(error) => {
                    tracing::error!(chord = %kit.lease.id, %error, "how its members ended cannot be read yet");
                    return (Decided::silent(Verdict::Returned { started: false }), None);
                }
            },
            End::Condemned(crashes) => {
                let error = Some(TaskError::crash_limit(crashes));
                Gathered::Failed { cause: "the process died each time its callback was to be made".into(), error }
            }
            End::Failed(Failure::Unstorable(why)) => {
                Gathered::Failed { error: Some(TaskError::new(why.clone())), cause: why }
            }
            End::Unknown(cause) => Gathered::Failed { cause, error: None },
            // Its consumer stops, or it was not noted that it begins.
            _ => return (Decided::silent(Verdict::Returned { started: false }), None),
        };
        let Some(tail) = &kit.tail else {
            let next = Next::Failed { cause: "its callback cannot be read".into(), error: None, follow_up: None };
            return (Decided::silent(Verdict::Gathered { next }), None);
        };
        let (next, follow) = match gathered {
            Gathered::Output(output) => {
                let staged = self.pipeline.next_step(&self.registry, Origin::ChordCallback, Tail::clone(tail), &output);
                let (next, follow) = follow::of(staged);
                (next.unwrap_or_else(|| Next::Refused { cause: "it has no callback".into() }), follow)
            }
            Gathered::Failed { cause, error } => self.fail_chord(kit.lease.id, tail, cause, error),
        };
        (Decided::silent(Verdict::Gathered { next }), follow)
    }

    fn fail_chord(&self, chord: JobId, tail: &Tail, cause: String, error: Option<TaskError>) -> (Next, Option<Follow>) {
        let (staged, follow) = match &error {
            Some(error) => follow::of(self.pipeline.follow_up(&self.registry, chord, tail, error)),
            None => (None, None),
        };
        let follow_up = match staged {
            Some(Next::Job(job)) => Some(job),
            _ => None,
        };
        (Next::Failed { cause, error, follow_up }, follow)
    }

    fn read_arrivals(&self, chord: JobId) -> Result<Gathered> {
        let mut outputs: Vec<Vec<u8>> = Vec::new();
        let mut from = Some(0);
        while let Some(place) = from {
            let page = match self.storage.read(Query::Arrivals { chord, from: place })? {
                Answer::Arrivals(page) => page,
                other => return Err(Error::damaged(format!("the storage answered another question: {other:?}"))),
            };
            for (place, arrival) in page.members {
                outputs.push(match arrival {
                    Arrival::Complete { output } if page.settled => codec::encode_result::<TaskError>(Ok(&output))?,
                    Arrival::Complete { output } => output.0,
                    Arrival::Failed { cause, error } if page.settled => {
                        let error = error.unwrap_or_else(|| TaskError::new(cause));
                        codec::encode_result(Err(&error))?
                    }
                    Arrival::Failed { cause, error } => {
                        let cause = format!("member {place} of the group, counted from 0, did not end well: {cause}");
                        return Ok(Gathered::Failed { cause, error });
                    }
                });
            }
            from = page.next;
        }
        Ok(Gathered::Output(codec::encode_list(outputs.iter().map(Vec::as_slice))?))
    }
}
