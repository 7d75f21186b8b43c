//! What a crash leaves.

use super::*;

impl World {
    /// What the next process may find after a crash.
    pub(crate) fn crash(&self, power: bool) -> Vec<World> {
        let begun = self.died.map(|(at, _)| at);
        let now = World { past: Vec::new(), ..self.clone() };
        let mut worlds: Vec<World> = Vec::new();
        for before in self.past.iter().chain([&now]) {
            let mut noted = vec![begun];
            if power && !begun.is_some_and(|at| self.starts_once(at)) {
                // The table of what runs may be older than the journal, but for what may start only once.
                let ran =
                    |at: &usize| before.is(*at).state == State::Running || before.is(*at).claims < self.is(*at).claims;
                noted.extend((0..before.jobs.len()).filter(ran).map(Some));
                noted.push(None);
            }
            for noted in noted {
                let mut world = before.clone();
                (world.died, world.now) = (None, self.now);
                world.heard.clear();
                for (at, job) in world.jobs.iter_mut().enumerate() {
                    let claims = self.is(at).claims;
                    let crashed = noted == Some(at);
                    match job.state {
                        State::Running => {
                            let counted = job.crashes < CRASH_LIMIT;
                            (job.state, job.at) = (State::Waiting, job.at.min(self.now));
                            if crashed {
                                (job.crashes, job.rescued) = (job.crashes + 1, true);
                                // One that began later is known from its note alone.
                                job.attempts += u32::from(job.claims < claims);
                            } else {
                                job.attempts -= u32::from(counted);
                            }
                        }
                        State::Waiting if crashed && job.claims < claims => {
                            (job.crashes, job.rescued, job.attempts) = (job.crashes + 1, true, job.attempts + 1);
                            job.at = job.at.min(self.now);
                        }
                        _ => continue,
                    }
                    if crashed {
                        job.claims = claims;
                    }
                }
                if !worlds.contains(&world) {
                    worlds.push(world);
                }
            }
        }
        // The likeliest first: nothing was lost.
        worlds.reverse();
        worlds
    }

    /// A process closes the store and another opens it.
    pub(crate) fn reopen(&mut self) {
        self.past.clear();
    }
}
