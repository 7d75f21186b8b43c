//! Starts the crew, wakes who sleeps, and sees the crew off.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::calls::Listener;
use super::config::Consumer;
use super::crew::Crew;
use super::desk::{Desk, Pool};
use super::running::{ConsumerHandle, Done};
use super::{late, worker};
use crate::error::{Error, ErrorKind, Result};
use crate::execute::Stopper;
use crate::store::{CHORD, Commit, OnWork, Transition, Version};
use crate::task::Durability;
use crate::time::{Timestamp, monotonic};

/// How long interrupted bodies have to notice, once the grace is over.
const LAST_LOOK: Duration = Duration::from_millis(500);
/// How long the ends of bodies that have returned may take to be stored and told, once nothing else is awaited.
const LAST_SETTLES: Duration = Duration::from_secs(5);

/// Starts the threads of a consumer.
pub(crate) fn start(consumer: Consumer) -> Result<ConsumerHandle> {
    let Consumer { executor, owner, ticker, periodic, workers, async_limit, queues, own, grace } = consumer;
    let default = executor.defaults.queue.unwrap_or(crate::job::DEFAULT_QUEUE);
    let serves = |queue: &str| queues.iter().chain(own.iter().map(|(own, _)| own)).any(|known| known == queue);
    if let Some(missing) = executor.registry.missing_data(&executor.data, serves, default) {
        return Err(missing);
    }
    let how = Commit { durability: Durability::Relaxed, hold: false };
    executor.storage.commit(Transition::Reclaim, how)?;
    // What was parked for want of a task may fit now.
    let tasks = executor.registry.names().map(str::to_owned).collect();
    executor.storage.commit(Transition::Unpark { tasks }, how)?;
    // What failed an earlier consumer is to be tried again.
    executor.trouble.over();

    let mut async_tasks = if cfg!(feature = "tokio") { executor.registry.async_names() } else { Vec::new() };
    if workers == 0 && async_limit > 0 {
        // Plain workers see to chords, where there are any.
        async_tasks.push(CHORD.to_owned());
    }
    let runs_async = !async_tasks.is_empty() && async_limit > 0;
    let mut desks: Vec<Desk> = (1..=workers).map(|number| Desk::new(format!("huey-worker-{number}"), 0)).collect();
    let mut pools = vec![Pool { queues, workers }];
    for (queue, workers) in own {
        let pool = pools.len();
        desks.extend((1..=workers).map(|number| Desk::new(format!("huey-worker-{queue}-{number}"), pool)));
        pools.push(Pool { queues: vec![queue], workers });
    }
    let workers = desks.len();
    let crew = Arc::new(Crew::new(executor, owner, Arc::clone(&ticker), pools, async_tasks, desks, runs_async));
    let stopper: Weak<dyn Stopper> = Arc::downgrade(&crew) as Weak<dyn Stopper>;
    crew.executor.add_stopper(stopper);
    let listener: Arc<dyn OnWork> = Arc::new(Listener(Arc::clone(&crew.calls)));
    crew.executor.storage.on_work(Arc::downgrade(&listener));
    let done = Arc::new(Done::default());
    let handle = ConsumerHandle::new(Arc::clone(&crew), Arc::clone(&done), grace);
    for (worker, desk) in crew.desks.iter().enumerate() {
        crew.hired(false, desk.pool);
        engage(&crew, worker, &desk.name)?;
    }
    if workers > 0 {
        spawn(&crew, &"huey-deadlines".into(), |crew, _| late::keep_deadlines(crew))?;
    }
    if runs_async {
        #[cfg(feature = "tokio")]
        spawn(&crew, &"huey-async".into(), move |crew, name| {
            if let Err(error) = super::asynchronous::run(crew, name, async_limit) {
                tracing::error!(%error, "the runtime for async tasks could not be started");
            }
        })?;
    }
    if workers > 0 {
        spawn(&crew, &"huey-settler".into(), |crew, _| {
            while let Some(late) = crew.ends.late() {
                crew.settle_all(late);
            }
        })?;
    }
    if periodic {
        spawn(&crew, &"huey-ticker".into(), move |crew, _| ticker.keep_time(&|| !crew.is_stopping()))?;
    }
    spawn(&crew, &"huey-scheduler".into(), move |crew, _| {
        schedule(crew);
        drop(listener);
    })?;
    Ok(handle)
}

/// Another thread for a worker whose body does not return.
pub(super) fn hire(crew: &Arc<Crew>, name: &str) -> Result<()> {
    let Some((worker, desk)) = crew.desks.iter().enumerate().find(|(_, desk)| *desk.name == *name) else {
        return Ok(());
    };
    crew.hired(true, desk.pool);
    engage(crew, worker, &desk.name)
}

/// Starts a thread of a plain worker.
fn engage(crew: &Arc<Crew>, worker: usize, name: &Arc<str>) -> Result<()> {
    crew.ends.join();
    let work = move |crew: &Arc<Crew>, name: &Arc<str>| {
        // Left also if it panics: the last one to leave ends the settler.
        let _leaves = Leaves(crew);
        worker::work(crew, name, worker);
    };
    spawn(crew, name, work).inspect_err(|_| drop(Leaves(crew)))
}

struct Leaves<'a>(&'a Crew);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.ends.leave();
        self.0.leave();
    }
}

/// Starts a thread that is there from now on until it ends, however it does.
fn spawn(crew: &Arc<Crew>, name: &Arc<str>, body: impl FnOnce(&Arc<Crew>, &Arc<str>) + Send + 'static) -> Result<()> {
    let (hand, named, present) = (Arc::clone(crew), Arc::clone(name), crew.roll.sign());
    let started = crate::sync::thread::Builder::new().name(name.to_string()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(|| body(&hand, &named))).is_err() {
            tracing::error!(thread = %named, "a thread of the consumer panicked");
        }
        // In this order: once nobody is there, nothing keeps the queue open.
        drop(hand);
        drop(present);
    });
    if let Err(error) = started {
        let text = format!("the thread {name} cannot be started: {error}");
        return Err(Error::unavailable(text).caused_by(error));
    }
    Ok(())
}

/// Keeps the time for scheduled jobs.
fn schedule(crew: &Crew) {
    let mut seen = Version::default();
    while !crew.is_stopping()
        && let Some(now) = crew.executor.storage.wait_due(seen, Timestamp::MAX)
    {
        seen = now;
    }
}

/// Sees the crew off: lets running jobs end within the grace, then interrupts them, then gives back what is left.
pub(crate) fn see_off(crew: &Arc<Crew>, grace: Duration) -> Result<()> {
    crew.stop_claiming();
    crew.clear_shelves();
    if crew.roll.wait_gone(monotonic().checked_add(grace)) {
        return Ok(());
    }
    crew.interrupt();
    if crew.roll.wait_gone(monotonic().checked_add(LAST_LOOK)) {
        return Ok(());
    }
    let stuck = crew.abandon();
    crew.wait_returned(monotonic().checked_add(LAST_SETTLES));
    if stuck.is_empty() {
        return Ok(());
    }
    let text = format!(
        "the consumer stopped while {} still ran and did not look at its context: its job was given back, and waits until \
         it returns or this process ends; call `ctx.checkpoint()?` in long bodies, or set a longer `grace`",
        stuck.join(", ")
    );
    Err(Error::new(ErrorKind::Timeout, text))
}
