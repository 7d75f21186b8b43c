//! The export of a store that is in use.

use std::io::Write;

use super::barrier::lock;
use super::core::Core;
use super::export::Survey;
use super::findings::Findings;
use super::log::{LogError, Medium};
use super::replay::Each;
use super::shared::Shared;
use super::storage::StorageError;

/// Entries read under the lock at a time: 256 KiB at most.
const PAGE: u64 = 32;

/// Exports the store as it is now, beside its callers, who wait for single pages at most. Nothing leaves the old end of the
/// journal meanwhile, so that what was there at the beginning can be read to its end.
pub(super) fn backup<M: Medium>(shared: &Shared<M>, out: &mut dyn Write) -> Result<Findings, StorageError> {
    let now = shared.options.clock.now();
    let (life, first, last, pin) = {
        let mut core = lock(&shared.core);
        let sealed = shared.with_core(&mut core, |core| {
            core.seal()?;
            Ok((core.first(), core.last(), core.pin()))
        })?;
        match sealed {
            Ok((first, last, pin)) => (shared.watermark.life(), first, last, pin),
            Err(error) => {
                shared.fail(&mut core, &error);
                return Err(StorageError::Unknown(error.message));
            }
        }
    };
    let mut scan = |each: &mut Each<'_>| {
        let mut from = first;
        while from <= last {
            let upto = last.min(from + PAGE - 1);
            let page = {
                let mut core = lock(&shared.core);
                if shared.watermark.life() != life {
                    return Err(LogError::failed("the storage failed while it was backed up: begin again"));
                }
                shared.with_core(&mut core, |core: &mut Core<M::Log>| core.entries(from, upto))
            };
            let page = page.map_err(|error| LogError::failed(error.to_string()))?;
            for (sequence, entry) in (from..).zip(page?) {
                each(sequence, &entry)?;
            }
            from = upto + 1;
        }
        Ok(())
    };
    let survey = Survey::new(&mut scan, std::collections::HashMap::new(), last, now);
    if let Some(flaw) = survey.findings.flaws.first() {
        return Err(StorageError::Unavailable(flaw.clone()));
    }
    let written = survey.write(&mut scan, out);
    drop(pin);
    written
}
