//! Whether what was said and heard is what a world says.

use huey::{JobId, SignalKind};

use super::call::Told;
use crate::model::World;
use crate::words::Step;

/// Plays a step in a world, and compares what is said and heard there.
pub(super) fn agree(
    world: &mut World,
    step: &Step,
    target: Option<JobId>,
    told: &Told,
    heard: &[(SignalKind, JobId)],
) -> Result<(), String> {
    let (text, jobs) = world.play(step, target);
    let expected = world.heard.clone();
    let names = |kinds: &mut dyn Iterator<Item = SignalKind>| kinds.map(SignalKind::name).collect::<Vec<_>>().join(" ");
    let differs = || {
        let expected = names(&mut expected.iter().map(|(kind, _)| *kind));
        let heard = names(&mut heard.iter().map(|(kind, _)| *kind));
        format!("said `{}`, was to say `{text}`; heard `{heard}`, was to hear `{expected}`", told.0)
    };
    if told.0 != text || jobs.len() != told.1.len() || heard.len() != expected.len() {
        // Nobody hears what a call says in whose middle the process dies.
        return Err(differs());
    }
    for ((kind, id), (expected, at)) in heard.iter().zip(&expected) {
        if kind != expected {
            return Err(differs());
        }
        if !world.bind(*at, *id) {
            return Err(format!("{}, and `{}` of the job {id} is about another", differs(), kind.name()));
        }
    }
    for (at, id) in jobs.iter().zip(&told.1) {
        if !world.bind(*at, *id) {
            return Err(format!("{}, and the job {id} is another", differs()));
        }
    }
    Ok(())
}
