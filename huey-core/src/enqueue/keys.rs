//! The keys of a job, made from its arguments as the hooks leave them: what it is to hold alone, and what it is limited by.

use crate::error::Result;
use crate::job::{Keyed, Terms};
use crate::store::{Limit, UniqueKey};
use crate::task::{Task, Unique, UniqueRule};

/// The key that a job is to hold alone, as it is stored.
pub(super) fn unique_key(
    terms: &Terms,
    of: impl FnOnce(&UniqueRule) -> Option<Unique>,
    task: &str,
) -> Result<Option<UniqueKey>> {
    let unique = match &terms.unique {
        Keyed::Fixed(unique) => Some(unique.clone()),
        Keyed::Rule(rule) => of(rule),
        Keyed::No => None,
    };
    unique
        .map(|unique| {
            let key = unique.stored_key(task)?.into();
            Ok(UniqueKey { key, scope: unique.scope, on_conflict: unique.on_conflict, keep: terms.keep })
        })
        .transpose()
}

/// What must be free before a job is claimed, as it is stored.
pub(super) fn limits<T: Task>(terms: &Terms, args: &T, task: &str) -> Result<Vec<Limit>> {
    let rules = terms.limits.iter().flatten();
    rules.map(|rule| Ok(Limit { key: rule.stored_key(args, task)?.into(), kind: rule.kind })).collect()
}
