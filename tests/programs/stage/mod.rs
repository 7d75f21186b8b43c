//! Plays programs on a queue, beside the model.

mod agree;
mod call;
mod flows;
mod tasks;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use huey::store::{OpenStorage, Storage, StorageOptions, engine};
use huey::testing::{SimDisk, SimMedium};
use huey::{Decision, Huey, JobId, JobState, Memory, Result, SignalKind, Sled, Timestamp, VirtualClock};

use self::agree::agree;
use self::call::name_of;
use self::tasks::{Props, secs};
use crate::child::Folder;
use crate::model::{KEEP, World};
use crate::words::{Hook, KEYS, Order, Step};

/// Where a program is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum On {
    Memory,
    /// A simulated disk, which can be killed and cut off from power.
    Sim(u64),
    Sled,
}

struct Sim(SimMedium);

impl OpenStorage for Sim {
    fn open_storage(self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
        engine(self.0, options)
    }
}

pub(crate) struct Stage {
    on: On,
    clock: Arc<VirtualClock>,
    folder: Option<Folder>,
    huey: Option<Huey>,
    props: Arc<Props>,
    heard: Arc<Mutex<Vec<(SignalKind, JobId)>>>,
    /// The jobs that were heard of, in that order.
    known: Vec<JobId>,
    /// What may be true.
    worlds: Vec<World>,
}

impl Stage {
    pub(crate) fn new(on: On) -> Self {
        let disk = if let On::Sim(seed) = on { Some(SimDisk::new(seed)) } else { None };
        let start = Timestamp::from_micros(1_700_000_000_000_000);
        let mut stage = Self {
            on,
            clock: VirtualClock::starting_at(start),
            folder: (on == On::Sled).then(Folder::new),
            huey: None,
            props: Arc::new(Props { disk, ..Props::default() }),
            heard: Arc::default(),
            known: Vec::new(),
            worlds: vec![World::default()],
        };
        stage.open();
        stage
    }

    fn open(&mut self) {
        let (heard, props) = (Arc::clone(&self.heard), Arc::clone(&self.props));
        let builder = Huey::builder()
            .clock(self.clock.clock())
            .retention(secs(u32::try_from(KEEP).expect("it is short")))
            .flush_interval(secs(1_000_000))
            .min_free(0)
            .data_arc(Arc::clone(&self.props))
            .on_any(move |signal| {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push((signal.kind, signal.id));
            })
            .hook(move |request| {
                props.hooks.fetch_add(1, Ordering::SeqCst);
                let callbacks = Arc::clone(&props.callbacks);
                request.after_commit(move |_| _ = callbacks.fetch_add(1, Ordering::SeqCst));
                let header = |wanted: &str| {
                    request.headers().iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
                };
                let (put, wish) = (header("put"), header("hook"));
                if let Some((key, value)) = put.as_deref().and_then(|text| text.split_once(' ')) {
                    request.put(&name_of(key.parse()?), &value.parse::<u32>()?)?;
                }
                match wish.as_deref() {
                    None => Ok(Decision::Go),
                    Some("refuse") => Err("it was asked to".into()),
                    Some(id) => Ok(Decision::Existing(id.parse()?)),
                }
            });
        let opened = match self.on {
            On::Memory => builder.open(Memory::new()),
            On::Sim(_) => builder.open(Sim(self.disk().medium())),
            On::Sled => builder.open(Sled::at(self.folder.as_ref().expect("a folder").join("queue"))),
        };
        self.huey = Some(opened.expect("it opens"));
    }

    fn disk(&self) -> &SimDisk {
        self.props.disk.as_ref().expect("a simulated disk")
    }

    fn huey(&self) -> &Huey {
        self.huey.as_ref().expect("it is open")
    }

    /// Plays a program. What went otherwise than in any world that may be.
    pub(crate) fn play(mut self, program: &[Step]) -> Result<(), String> {
        for (place, step) in program.iter().enumerate() {
            self.step(step).map_err(|error| format!("step {place}, {step:?}: {error}"))?;
        }
        // Whatever is left runs to its end, unless it waits for a time to come.
        for step in [Step::Resume, Step::RunAll, Step::Advance(50), Step::RunAll] {
            self.step(&step).map_err(|error| format!("at the end: {error}"))?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let target = self.target(step);
        let heard = &self.heard;
        heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let crash = match step {
            Step::Kill if self.props.disk.is_some() => Some(false),
            Step::PowerCut if self.props.disk.is_some() => Some(true),
            _ => None,
        };
        let told = self.act(step, target);
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (_, id) in &heard {
            self.learn(*id);
        }
        told.1.iter().for_each(|id| self.learn(*id));
        let mut wrong = None;
        let mut left = Vec::new();
        for mut world in std::mem::take(&mut self.worlds) {
            match agree(&mut world, step, target, &told, &heard) {
                Ok(()) => left.push(world),
                Err(why) => drop(wrong.get_or_insert(why)),
            }
        }
        self.worlds = left;
        if self.worlds.is_empty() {
            return Err(wrong.unwrap_or_default());
        }
        let died = self.worlds.iter().find_map(|world| world.died);
        if let Some(power) = died.map(|(_, power)| power).or(crash) {
            self.crash(power);
        } else if matches!(step, Step::Reopen | Step::Kill | Step::PowerCut) && self.on != On::Memory {
            self.huey().close().map_err(|error| format!("it does not close: {error}"))?;
            self.huey = None;
            self.open();
            self.worlds.iter_mut().for_each(World::reopen);
        } else {
            let (hooks, callbacks) = (&self.props.hooks, &self.props.callbacks);
            let (hooks, callbacks) = (hooks.load(Ordering::SeqCst), callbacks.load(Ordering::SeqCst));
            if hooks != callbacks {
                return Err(format!("{hooks} hooks ran, and {callbacks} heard what became of it"));
            }
        }
        self.judge()
    }

    fn crash(&mut self, power: bool) {
        if self.worlds.iter().all(|world| world.died.is_none()) {
            if power { self.disk().power_cut() } else { self.disk().kill() }
        }
        // It is dead already, and nobody may hear of it.
        let _ = self.huey().close();
        self.huey = None;
        self.worlds = self.worlds.iter().flat_map(|world| world.crash(power)).collect();
        // No two processes make their ids in one instant.
        self.clock.advance(secs(1));
        self.worlds.iter_mut().for_each(|world| world.now += 1);
        self.props.hooks.store(0, Ordering::SeqCst);
        self.props.callbacks.store(0, Ordering::SeqCst);
        self.open();
    }

    fn learn(&mut self, id: JobId) {
        if !self.known.contains(&id) {
            self.known.push(id);
        }
    }

    fn target(&self, step: &Step) -> Option<JobId> {
        let number = match step {
            Step::Bulk(orders) => orders.iter().find_map(|order| match &order.hook {
                Hook::Point(number) => Some(number),
                _ => None,
            })?,
            Step::Enqueue(Order { hook: Hook::Point(number), .. })
            | Step::Cancel(number)
            | Step::Reschedule(number, _)
            | Step::Replay(number)
            | Step::Purge(number)
            | Step::Take(number) => number,
            _ => return None,
        };
        self.known.get(number % self.known.len().max(1)).copied()
    }

    /// Keeps the worlds in which every job is where it is.
    fn judge(&mut self) -> Result<(), String> {
        let mut shown = Vec::new();
        for id in &self.known {
            let state = self.huey().status(*id).map_err(|error| error.to_string())?;
            let state = if state == JobState::NeverExisted { JobState::Gone } else { state };
            shown.push((*id, state.to_string(), self.result(*id, false)));
        }
        let mut values = BTreeMap::new();
        for key in 0..KEYS {
            let value = self.huey().get::<u32>(&name_of(key)).map_err(|error| error.to_string())?;
            values.extend(value.map(|value| (key, value)));
        }
        let mut wrong = String::new();
        self.worlds.retain(|world| {
            let differs = shown.iter().find(|(id, state, value)| world.shown(*id) != (state, *value));
            if let Some((id, state, value)) = differs {
                wrong = format!("the job {id} is {state} {value:?}, and was to be {:?}", world.shown(*id));
            }
            if world.values != values {
                wrong = format!("the values are {values:?}, and were to be {:?}", world.values);
            }
            differs.is_none() && world.values == values
        });
        if self.worlds.is_empty() { Err(wrong) } else { Ok(()) }
    }
}
