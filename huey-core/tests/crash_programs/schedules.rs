//! Schedules, as the model knows them.

use huey_core::store::{Plan, ScheduleRow, Tick, Ticked};
use huey_core::{JobId, JobState, Overlap, Timestamp};

use crate::model::{Expected, Model, placed};

/// What the store should know of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Schedule {
    pub(crate) row: ScheduleRow,
    /// Who decided which, the newest last, and whether others were active.
    decided: Vec<(u64, JobId, bool)>,
}

/// What the model expects of a tick.
#[derive(Debug, PartialEq)]
pub(crate) enum Decided {
    Stored(Box<Expected>),
    Overlapped,
    Overtaken,
}

impl Model {
    pub(crate) fn tick(&mut self, tick: &Tick, now: Timestamp) -> Expected {
        let Some(schedule) = self.schedules.get(&tick.schedule) else { return Expected::Ticked(Decided::Overtaken) };
        let before = schedule.decided.iter().find(|(_, id, _)| *id == tick.id).map(|(.., overlapped)| *overlapped);
        if before.is_none() && schedule.row.upto != tick.seen {
            return Expected::Ticked(Decided::Overtaken);
        }
        let overlapped =
            before.unwrap_or_else(|| !tick.jobs.is_empty() && self.is_active(&tick.tasks, tick.overlap, now));
        let decided = if overlapped {
            Decided::Overlapped
        } else {
            let untouched = self.clone();
            match self.place(&tick.jobs, now) {
                Ok(placed) => Decided::Stored(Box::new(placed)),
                Err(holder) => {
                    *self = untouched;
                    return Expected::Conflict(holder);
                }
            }
        };
        if before.is_none() {
            let schedule = self.schedules.get_mut(&tick.schedule).unwrap();
            schedule.row.upto = tick.upto;
            schedule.row.newest = tick.newest.or(schedule.row.newest);
            schedule.decided.retain(|(by, ..)| *by != tick.by);
            schedule.decided.push((tick.by, tick.id, overlapped));
            // The programs have fewer consumers than are remembered.
        }
        Expected::Ticked(decided)
    }

    fn is_active(&self, tasks: &[String], overlap: Overlap, now: Timestamp) -> bool {
        let mut of_task = self.jobs.values().filter(|job| tasks.contains(&job.new.task.to_string()));
        let waits = |job: &crate::model::Job| job.state == JobState::Queued && (job.at <= now || job.attempts > 0);
        match overlap {
            Overlap::Skip => of_task.any(|job| waits(job) || job.state == JobState::Running),
            Overlap::QueueOne => of_task.any(waits),
            Overlap::Allow => false,
        }
    }

    pub(crate) fn plan(&mut self, plan: &Plan, now: Timestamp) -> Expected {
        let known = self.schedules.get(&plan.schedule);
        if known.map_or(0, |schedule| schedule.row.revision) != plan.seen {
            return Expected::Planned(false);
        }
        let Some(choices) = &plan.choices else {
            self.schedules.remove(&plan.schedule);
            return Expected::Planned(true);
        };
        let new = || Schedule {
            row: ScheduleRow {
                name: plan.schedule.clone(),
                upto: now,
                newest: None,
                revision: 0,
                choices: choices.clone(),
            },
            decided: Vec::new(),
        };
        let schedule = self.schedules.entry(plan.schedule.clone()).or_insert_with(new);
        schedule.row.revision += 1;
        schedule.row.choices = choices.clone();
        schedule.row.upto = plan.from.unwrap_or(schedule.row.upto);
        Expected::Planned(true)
    }
}

/// What a store said of a tick.
pub(crate) fn said(ticked: &Ticked) -> Decided {
    match ticked {
        Ticked::Decided(all) => Decided::Stored(Box::new(placed(all))),
        Ticked::Overlapped => Decided::Overlapped,
        Ticked::Overtaken => Decided::Overtaken,
    }
}
