//! Plays programs on a queue, beside the model.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use huey::store::{OpenStorage, Storage, StorageOptions, engine};
use huey::testing::{self, SimDisk, SimMedium};
use huey::{
    BoxError, Cancel, Context, Decision, Durability, Error, Fatal, Group, Huey, JobHandle, JobId, JobState, Memory,
    OnConflict, Result, Retry, Revocation, Scope, SignalKind, Sled, TaskError, Timestamp, Unique, VirtualClock, task,
};

use crate::child::Folder;
use crate::model::{KEEP, World};
use crate::words::{Act, Clash, First, Flow, Hold, Hook, Mark, Order, Step, Task};

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

/// What bodies and hooks reach of the stage.
#[derive(Default)]
struct Props {
    disk: Option<SimDisk>,
    hooks: AtomicUsize,
    callbacks: Arc<AtomicUsize>,
}

fn play(props: &Props, ctx: &Context, acts: &[Act], value: u64) -> Result<u64, BoxError> {
    let act = acts.get(ctx.attempt() as usize - 1).or(acts.last()).copied().unwrap_or(Act::Well);
    match act {
        Act::Well => {}
        Act::Fail => return Err("it fails".into()),
        Act::Panic => panic!("it panics"),
        Act::Fatal => return Err(Fatal::new("it is over").into()),
        Act::GiveUp => return Err(Cancel::because("it gives up").into()),
        Act::Again(after) => return Err(Retry::after(Duration::from_secs(after.into())).into()),
        Act::Report => ctx.progress(1, 2, "half")?,
        Act::Call => drop(alpha::job(Vec::new()).enqueue(ctx.huey()?)?),
        Act::CancelSelf => {
            ctx.huey()?.cancel(ctx.id())?;
            return Err("it was canceled".into());
        }
        Act::Die | Act::DieOfPower => {
            let disk = props.disk.as_ref().expect("only a simulated process dies");
            if act == Act::Die {
                disk.kill();
            } else {
                disk.power_cut();
            }
            // The process is gone: nobody may insist on settling.
            let _ = ctx.huey()?.close();
            return Err("nobody hears this".into());
        }
    }
    Ok(value + 1)
}

#[task]
fn alpha(#[data] props: &Props, #[ctx] ctx: &Context, acts: Vec<Act>) -> Result<u64, BoxError> {
    play(props, ctx, &acts, 0)
}

#[task]
fn beta(#[data] props: &Props, #[ctx] ctx: &Context, acts: Vec<Act>) -> Result<u64, BoxError> {
    play(props, ctx, &acts, 0)
}

#[task]
fn next(#[data] props: &Props, #[ctx] ctx: &Context, before: u64, acts: Vec<Act>) -> Result<u64, BoxError> {
    play(props, ctx, &acts, before)
}

#[task]
fn gather(#[data] props: &Props, #[ctx] ctx: &Context, all: Vec<u64>, acts: Vec<Act>) -> Result<u64, BoxError> {
    play(props, ctx, &acts, all.iter().sum())
}

#[task]
fn settle(
    #[data] props: &Props,
    #[ctx] ctx: &Context,
    all: Vec<Result<u64, TaskError>>,
    acts: Vec<Act>,
) -> Result<u64, BoxError> {
    play(props, ctx, &acts, all.into_iter().map(|one| one.unwrap_or(100)).sum())
}

#[task]
fn mourn(#[data] props: &Props, #[ctx] ctx: &Context, _error: TaskError, acts: Vec<Act>) -> Result<u64, BoxError> {
    play(props, ctx, &acts, 1_000)
}

fn secs(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

macro_rules! with_terms {
    ($job:expr, $order:expr, $target:expr) => {{
        let order: &Order = $order;
        let mut job = $job.delay(secs(order.delay)).priority(order.priority).retries(order.retries);
        job = job.durability(if order.relaxed { Durability::Relaxed } else { Durability::Synced });
        if let Some(after) = order.expires {
            job = job.expires(secs(after));
        }
        if let Some((key, hold, clash)) = order.unique {
            job = job.unique(unique(key, hold, clash));
        }
        let target: Option<JobId> = $target;
        match (order.hook, target) {
            (Hook::Refuse, _) => job.header("hook", "refuse"),
            (Hook::Point(_), Some(id)) => job.header("hook", id.to_string()),
            _ => job,
        }
    }};
}

fn unique(key: u8, hold: Hold, clash: Clash) -> Unique {
    let scope = match hold {
        Hold::Pending => Scope::Pending,
        Hold::Active => Scope::Active,
        Hold::Window(window) => Scope::Window(secs(window)),
    };
    let clash = match clash {
        Clash::Existing => OnConflict::Existing,
        Clash::Reject => OnConflict::Reject,
        Clash::Replace => OnConflict::Replace,
    };
    Unique::by(&key).scope(scope).on_conflict(clash)
}

/// A flow as its types tell it apart.
enum Built {
    Alpha(huey::Chain<alpha>),
    Beta(huey::Chain<beta>),
    Next(huey::Chain<next>),
    Gather(huey::Chain<gather>),
    Settle(huey::Chain<settle>),
    JustAlpha(huey::Job<alpha>),
    JustBeta(huey::Job<beta>),
}

macro_rules! each {
    ($built:expr, $chain:ident => $then:expr) => {
        match $built {
            Built::Alpha($chain) => $then,
            Built::Beta($chain) => $then,
            Built::Next($chain) => $then,
            Built::Gather($chain) => $then,
            Built::Settle($chain) => $then,
            Built::JustAlpha($chain) => $then,
            Built::JustBeta($chain) => $then,
        }
    };
}

fn group_of(members: &[Flow]) -> Group<u64> {
    members.iter().fold(Group::new(), |group, member| each!(build(member), chain => group.with(chain)))
}

fn build(flow: &Flow) -> Built {
    let mut steps = flow.steps.iter();
    let mut built = match &flow.first {
        First::Job(order) if order.task == Task::Beta => {
            Built::JustBeta(with_terms!(beta::job(order.acts.clone()), order, None))
        }
        First::Job(order) => Built::JustAlpha(with_terms!(alpha::job(order.acts.clone()), order, None)),
        First::All(members) => {
            let order = steps.next().expect("a callback");
            Built::Gather(group_of(members).then(with_terms!(gather::with(order.acts.clone()), order, None)))
        }
        First::Settled(members) => {
            let order = steps.next().expect("a callback");
            Built::Settle(group_of(members).then_settled(with_terms!(settle::with(order.acts.clone()), order, None)))
        }
    };
    for order in steps {
        let step = with_terms!(next::with(order.acts.clone()), order, None);
        built = Built::Next(each!(built, chain => chain.then(step)));
    }
    if !flow.mourned {
        return built;
    }
    let step = mourn::with(Vec::new());
    match built {
        Built::Alpha(chain) => Built::Alpha(chain.on_error(step)),
        Built::Beta(chain) => Built::Beta(chain.on_error(step)),
        Built::Next(chain) => Built::Next(chain.on_error(step)),
        Built::Gather(chain) => Built::Gather(chain.on_error(step)),
        Built::Settle(chain) => Built::Settle(chain.on_error(step)),
        Built::JustAlpha(job) => Built::Alpha(job.on_error(step)),
        Built::JustBeta(job) => Built::Beta(job.on_error(step)),
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

type Told = (String, Vec<JobId>);

#[expect(clippy::needless_pass_by_value, reason = "a text or whatever prints as one")]
fn said(text: impl ToString, ids: impl Into<Vec<JobId>>) -> Told {
    (text.to_string(), ids.into())
}

fn wrong(error: &Error) -> Told {
    let kind = match error {
        error if error.is_refused() => "refused",
        error if error.is_conflict() => "conflict",
        error if error.is_no_such_job() => "missing",
        error if error.is_bad_input() => "bad input",
        error => return said(error, []),
    };
    said(kind, [])
}

fn told(result: Result<impl ToString>) -> Told {
    result.map_or_else(|error| wrong(&error), |state| said(state.to_string(), []))
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
                let wish = request.headers().iter().find(|(name, _)| name == "hook").map(|(_, value)| value.clone());
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

    fn act(&mut self, step: &Step, target: Option<JobId>) -> Told {
        let huey = self.huey();
        let handles = |new: bool, id| said(if new { "new" } else { "existing" }, [id]);
        match step {
            Step::Enqueue(order) if order.task == Task::Beta => {
                let job = with_terms!(beta::job(order.acts.clone()), order, target);
                job.enqueue(huey).map_or_else(|error| wrong(&error), |handle| handles(handle.is_new(), handle.id()))
            }
            Step::Enqueue(order) if order.task == Task::Next => {
                let job = with_terms!(next::job(0, order.acts.clone()), order, target);
                job.enqueue(huey).map_or_else(|error| wrong(&error), |handle| handles(handle.is_new(), handle.id()))
            }
            Step::Enqueue(order) => {
                let job = with_terms!(alpha::job(order.acts.clone()), order, target);
                job.enqueue(huey).map_or_else(|error| wrong(&error), |handle| handles(handle.is_new(), handle.id()))
            }
            Step::Bulk(orders) => {
                let jobs = orders.iter().map(|order| with_terms!(alpha::job(order.acts.clone()), order, target));
                match huey.enqueue_many(jobs) {
                    Err(error) => wrong(&error),
                    Ok(all) => {
                        let words = all.iter().map(|handle| if handle.is_new() { "new" } else { "existing" });
                        let ids: Vec<JobId> = all.iter().map(JobHandle::id).collect();
                        said(words.collect::<Vec<_>>().join(" "), ids)
                    }
                }
            }
            Step::Begin(flow) => {
                let built = match build(flow) {
                    Built::JustAlpha(job) => {
                        let plain = job.enqueue(huey);
                        return plain
                            .map_or_else(|error| wrong(&error), |handle| handles(handle.is_new(), handle.id()));
                    }
                    Built::JustBeta(job) => {
                        let plain = job.enqueue(huey);
                        return plain
                            .map_or_else(|error| wrong(&error), |handle| handles(handle.is_new(), handle.id()));
                    }
                    built => built,
                };
                let ids = match built {
                    Built::Alpha(chain) => chain.enqueue(huey).map(|handle| handle.ids().to_vec()),
                    Built::Beta(chain) => chain.enqueue(huey).map(|handle| handle.ids().to_vec()),
                    Built::Next(chain) => chain.enqueue(huey).map(|handle| handle.ids().to_vec()),
                    Built::Gather(chain) => chain.enqueue(huey).map(|handle| handle.ids().to_vec()),
                    Built::Settle(chain) => chain.enqueue(huey).map(|handle| handle.ids().to_vec()),
                    Built::JustAlpha(_) | Built::JustBeta(_) => unreachable!("these are no chains"),
                };
                ids.map_or_else(|error| wrong(&error), |ids| said("new", ids))
            }
            Step::Run => match testing::step(huey) {
                Ok(ran) => said(if ran { "ran" } else { "idle" }, []),
                Err(error) => wrong(&error),
            },
            Step::RunAll => loop {
                match testing::step(huey) {
                    Ok(true) if self.props.disk.as_ref().is_none_or(|_| huey.counts().is_ok()) => {}
                    Ok(_) => break said("ran", []),
                    Err(error) => break wrong(&error),
                }
            },
            Step::Advance(seconds) => {
                self.clock.advance(secs(*seconds));
                said("", [])
            }
            Step::Revoke(task, mark) => {
                let mark = match mark {
                    Mark::Once => Revocation::Once,
                    Mark::Until(after) => Revocation::Until(self.clock.clock().now() + secs(*after)),
                    Mark::Always => Revocation::Always,
                };
                told(
                    on_task(*task, |name| match name {
                        Task::Beta => huey.revoke::<beta>(mark),
                        Task::Next => huey.revoke::<next>(mark),
                        Task::Gather => huey.revoke::<gather>(mark),
                        _ => huey.revoke::<alpha>(mark),
                    })
                    .map(|()| ""),
                )
            }
            Step::Restore(task) => told(on_task(*task, |name| match name {
                Task::Beta => huey.restore::<beta>(),
                Task::Next => huey.restore::<next>(),
                Task::Gather => huey.restore::<gather>(),
                _ => huey.restore::<alpha>(),
            })),
            Step::Pause => told(huey.queue("default").pause()),
            Step::Resume => told(huey.queue("default").resume()),
            Step::Reopen | Step::Kill | Step::PowerCut => said("", []),
            Step::Purge(_) => match target {
                Some(id) => told(huey.purge(id)),
                None => said(false, []),
            },
            Step::Cancel(_) | Step::Reschedule(..) | Step::Replay(_) | Step::Take(_) => match target {
                None => said("nothing", []),
                Some(id) => self.by_hand(step, id),
            },
        }
    }

    fn by_hand(&self, step: &Step, id: JobId) -> Told {
        let huey = self.huey();
        match step {
            Step::Cancel(_) => told(huey.cancel(id)),
            Step::Reschedule(_, after) => told(huey.reschedule(id, self.clock.clock().now() + secs(*after))),
            Step::Replay(_) => huey.replay(id).map_or_else(|error| wrong(&error), |id| said("new", [id])),
            _ => match self.result(id, true) {
                Some(value) => said(format!("took {value}"), []),
                None => said("nothing", []),
            },
        }
    }

    /// The value of a job that is complete, of whatever task.
    fn result(&self, id: JobId, take: bool) -> Option<u64> {
        let huey = self.huey();
        if huey.status(id).ok()? != JobState::Complete {
            return None;
        }
        macro_rules! first_of {
            ($($task:ident)*) => {$(
                if let Ok(handle) = huey.handle::<$task>(id) {
                    return if take { handle.take() } else { handle.get() }.ok().flatten();
                }
            )*};
        }
        first_of!(alpha beta next gather settle mourn);
        None
    }

    /// Keeps the worlds in which every job is where it is.
    fn judge(&mut self) -> Result<(), String> {
        let mut shown = Vec::new();
        for id in &self.known {
            let state = self.huey().status(*id).map_err(|error| error.to_string())?;
            let state = if state == JobState::NeverExisted { JobState::Gone } else { state };
            shown.push((*id, state.to_string(), self.result(*id, false)));
        }
        let mut wrong = String::new();
        self.worlds.retain(|world| {
            let differs = shown.iter().find(|(id, state, value)| world.shown(*id) != (state, *value));
            if let Some((id, state, value)) = differs {
                wrong = format!("the job {id} is {state} {value:?}, and was to be {:?}", world.shown(*id));
            }
            differs.is_none()
        });
        if self.worlds.is_empty() { Err(wrong) } else { Ok(()) }
    }
}

fn on_task<T>(task: Task, call: impl FnOnce(Task) -> T) -> T {
    call(task)
}

/// Plays a step in a world, and compares what is said and heard there.
fn agree(
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
