//! The traffic beside plain jobs: chains and chords, unique keys, locks, bounds and rates, jobs that are canceled and tasks
//! that are revoked, jobs that take their time.

use std::time::Duration;

use huey::testing::Random;
use huey::{ChainHandle, Huey, JobId, Result, Revocation, group};

use crate::book::{line, micros};
use crate::tasks::{Voice, doomed, gather, guarded, lone, moody, next, single, slow, step, taker};

/// Unique keys in use, and locks.
const KEYS: usize = 6;

/// How often a job fails before it ends well.
pub(crate) fn failures(random: &mut Random) -> u32 {
    if random.one_in(10) { 1 + u32::from(random.one_in(2)) } else { 0 }
}

pub(crate) fn produce_flows(huey: &Huey, voice: &Voice, random: &mut Random) -> Result<()> {
    for _ in 0..=random.below(8) {
        match random.below(13) {
            0..3 => chain(huey, voice, random)?,
            3..5 => chord(huey, voice, random)?,
            5..7 => unique(huey, voice, random)?,
            7 => cancel(huey, voice, random)?,
            8 => revocable(huey, voice, random)?,
            9..12 => limited(huey, voice, random)?,
            _ => long(huey, voice, random)?,
        }
    }
    Ok(())
}

fn chain(huey: &Huey, voice: &Voice, random: &mut Random) -> Result<()> {
    let number = random.number();
    let begun = micros();
    let first = step::job(failures(random), number).then(next::with(failures(random), number));
    let later = next::with(failures(random), number);
    let chain = if random.one_in(3) {
        first.then(later.delay(Duration::from_millis(random.below(30) as u64))).enqueue(huey)?
    } else {
        first.then(later).enqueue(huey)?
    };
    in_line(voice, &chain, "step", begun);
    if let ([_, second, third], true) = (chain.ids(), random.one_in(8)) {
        // With a step, those behind it.
        for id in [second, third] {
            voice.say(&line('A', id, "next", 0));
        }
        huey.cancel(*second)?;
    }
    Ok(())
}

fn in_line(voice: &Voice, chain: &ChainHandle<u64>, first: &str, begun: u64) {
    for pair in chain.ids().windows(2) {
        if let [before, id] = pair {
            voice.say(&line('B', id, before, 0));
        }
    }
    for (at, id) in chain.ids().iter().enumerate() {
        voice.say(&line('E', id, if at == 0 { first } else { "next" }, begun));
    }
}

fn chord(huey: &Huey, voice: &Voice, random: &mut Random) -> Result<()> {
    let number = random.number();
    let many = 1 + random.below(6);
    let begun = micros();
    let members = group((0..many).map(|_| step::job(failures(random), number)));
    let callback = gather::with(failures(random), number, many);
    let chord = members.then(callback).then(next::with(failures(random), number)).enqueue(huey)?;
    let (members, steps) = chord.ids().split_at(chord.members().len());
    if let [callback, last] = steps {
        for member in members {
            voice.say(&line('B', callback, member, 0));
        }
        voice.say(&line('B', last, callback, 0));
        voice.say(&line('E', callback, "gather", begun));
        voice.say(&line('E', last, "next", begun));
    }
    for member in members {
        voice.say(&line('E', member, "step", begun));
    }
    Ok(())
}

fn unique(huey: &Huey, voice: &Voice, random: &mut Random) -> Result<()> {
    let key = u32::try_from(random.below(KEYS)).unwrap_or(0);
    let begun = micros();
    let job = single::job(key, failures(random)).header("key", key.to_string());
    // Also a job that was there already is acknowledged by the answer.
    let handle = job.delay(Duration::from_millis(random.below(3) as u64)).enqueue(huey)?;
    voice.say(&line('E', handle.id(), "single", begun));
    Ok(())
}

fn cancel(huey: &Huey, voice: &Voice, random: &mut Random) -> Result<()> {
    let begun = micros();
    let delay = Duration::from_millis(if random.one_in(3) { 0 } else { 20 });
    let id: JobId = doomed::job().delay(delay).enqueue(huey)?.id();
    voice.say(&line('E', id, "doomed", begun));
    voice.say(&line('A', id, "doomed", 0));
    huey.cancel(id)?;
    Ok(())
}

fn revocable(huey: &Huey, voice: &Voice, random: &mut Random) -> Result<()> {
    for _ in 0..=random.below(3) {
        let begun = micros();
        let id = moody::enqueue(huey)?.id();
        voice.say(&line('E', id, "moody", begun));
    }
    Ok(())
}

/// Revokes a task, or takes that back.
pub(crate) fn change_mood(huey: &Huey, voice: &Voice, random: &mut Random) -> Result<()> {
    let revoked = random.one_in(2);
    voice.say(&line('M', '-', "moody", u64::from(revoked)));
    if revoked {
        huey.revoke::<moody>(Revocation::Always)?;
    } else {
        huey.restore::<moody>()?;
    }
    voice.say(&line('N', '-', "moody", u64::from(revoked)));
    Ok(())
}

/// Some that want the same lock, declared and in the body, and some that are bounded.
fn limited(huey: &Huey, voice: &Voice, random: &mut Random) -> Result<()> {
    for _ in 0..=random.below(4) {
        let key = u32::try_from(random.below(KEYS)).unwrap_or(0);
        let (begun, failures) = (micros(), failures(random));
        let (id, task) = match random.below(3) {
            0 => (guarded::enqueue(huey, key, failures)?.id(), "guarded"),
            1 => (taker::enqueue(huey, key, failures)?.id(), "taker"),
            _ => (lone::enqueue(huey, failures)?.id(), "lone"),
        };
        voice.say(&line('E', id, task, begun));
    }
    Ok(())
}

fn long(huey: &Huey, voice: &Voice, random: &mut Random) -> Result<()> {
    let begun = micros();
    let steps = if random.one_in(4) { 30 } else { random.below(5) as u64 };
    let id = slow::enqueue(huey, steps)?.id();
    voice.say(&line('E', id, "slow", begun));
    Ok(())
}
