//! A random program of a seed.

use huey::testing::Random;

use crate::words::{Act, Clash, First, Flow, Hold, Hook, KEYS, Mark, Order, Step, Task};

const STEPS: usize = 25;

/// A program; its processes die only where they `may`.
pub(crate) fn program(seed: u64, may: bool) -> Vec<Step> {
    let mut maker = Maker { random: Random::new(seed ^ 0xbead), dies: may };
    (0..STEPS).map(|_| maker.step()).collect()
}

struct Maker {
    random: Random,
    dies: bool,
}

impl Maker {
    fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.random.below(bound as usize)).unwrap_or(0)
    }

    fn step(&mut self) -> Step {
        let job = self.random.below(12);
        match self.random.below(40) {
            0..2 => Step::Enqueue(Order { task: Task::Next, ..self.order(true) }),
            2..8 => Step::Enqueue(self.order(true)),
            8..10 => {
                Step::Bulk((0..self.random.below(4)).map(|_| Order { task: Task::Alpha, ..self.order(true) }).collect())
            }
            10..15 => Step::Begin(self.flow(2)),
            22..24 => Step::RunAll,
            24..27 => Step::Advance(*self.random.pick(&[1, 2, 5, 10, 60, 101])),
            27..29 => Step::Cancel(job),
            29 => Step::Reschedule(job, self.below(3) * 5),
            30 => Step::Replay(job),
            31 => Step::Purge(job),
            32 => Step::Take(job),
            33 => Step::Revoke(self.task(), *self.random.pick(&[Mark::Once, Mark::Until(5), Mark::Always])),
            34 => Step::Restore(self.task()),
            35 if self.random.one_in(2) => Step::Reopen,
            35 => Step::Pause,
            36 if self.dies => Step::PowerCut,
            37 if self.dies => Step::Kill,
            38 => Step::Resume,
            39 if self.random.one_in(2) => Step::Put(self.key(), self.below(100)),
            39 => Step::TakeValue(self.key()),
            // Most of the time there is something to run.
            _ => Step::Run,
        }
    }

    fn key(&mut self) -> u8 {
        *self.random.pick(&[0, 1, KEYS - 1])
    }

    fn task(&mut self) -> Task {
        *self.random.pick(&[Task::Alpha, Task::Beta, Task::Next, Task::Gather])
    }

    fn acts(&mut self) -> Vec<Act> {
        if self.dies && self.random.one_in(30) {
            // The process dies each time, up to the crash limit.
            return vec![Act::Die];
        }
        let many = if self.random.one_in(2) { 0 } else { 1 + self.random.below(3) };
        let mut acts = Vec::new();
        for _ in 0..many {
            acts.push(match self.random.below(17) {
                0..5 => Act::Fail,
                5 => Act::Panic,
                6 => Act::Fatal,
                7 => Act::GiveUp,
                8 => Act::Again(0),
                9 => Act::Again(5),
                10 => Act::Report,
                11 => Act::Call,
                12 => Act::CancelSelf,
                13 if self.dies => Act::Die,
                14 if self.dies => Act::DieOfPower,
                15 => Act::Late,
                _ => Act::Well,
            });
        }
        // Whatever asks to be run again is to end some time.
        if self.random.one_in(2) || matches!(acts.last(), Some(Act::Again(_) | Act::Die | Act::DieOfPower)) {
            acts.push(Act::Well);
        }
        acts
    }

    /// An order; `free` if it is in no flow.
    fn order(&mut self, free: bool) -> Order {
        Order {
            task: *self.random.pick(&[Task::Alpha, Task::Alpha, Task::Beta]),
            acts: self.acts(),
            delay: if self.random.one_in(5) { 1 + self.below(5) } else { 0 },
            priority: if self.random.one_in(3) { *self.random.pick(&[-1, 1, 9]) } else { 0 },
            retries: if self.random.one_in(2) { self.below(3) } else { 0 },
            expires: self.random.one_in(8).then(|| self.below(3) * 2),
            hook: match self.random.below(30) {
                0..2 => Hook::Refuse,
                2..4 if free => Hook::Point(self.random.below(12)),
                _ => Hook::Pass,
            },
            unique: self.random.one_in(4).then(|| self.unique()),
            puts: self.random.one_in(6).then(|| (self.key(), self.below(100))),
            relaxed: self.random.one_in(2),
        }
    }

    fn unique(&mut self) -> (u8, Hold, Clash) {
        let key = if self.random.one_in(2) { 1 } else { 2 };
        let hold = *self.random.pick(&[Hold::Pending, Hold::Active, Hold::Window(5)]);
        (key, hold, *self.random.pick(&[Clash::Existing, Clash::Reject, Clash::Replace]))
    }

    fn flow(&mut self, depth: u32) -> Flow {
        let is_group = depth > 0 && self.random.one_in(2);
        let many = self.random.below(3) + usize::from(is_group);
        let first = if is_group {
            let members = (0..self.random.below(4)).map(|_| self.flow(depth - 1)).collect();
            if self.random.one_in(3) { First::Settled(members) } else { First::All(members) }
        } else {
            First::Job(self.order(false))
        };
        Flow { first, steps: (0..many).map(|_| self.order(false)).collect(), mourned: self.random.one_in(3) }
    }
}
