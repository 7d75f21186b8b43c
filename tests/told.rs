//! What is told of a job as one receiver of all hears it, whole and in order, also of one whose process died; where it is
//! told, and when.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use huey::store::{OpenStorage, Storage, StorageOptions, engine};
use huey::testing::{SimDisk, SimMedium, step};
use huey::{BoxError, Context, Decision, Durability, Huey, HueyBuilder, JobState, SignalKind, group, task};
use support::{Heard, Stage, lock, queue, queue_with, run};

#[task(durability = relaxed)]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task(durability = relaxed)]
fn times(a: i64, b: i64) -> i64 {
    a * b
}

#[task(durability = relaxed)]
fn sum(all: Vec<i64>) -> i64 {
    all.iter().sum()
}

#[task(durability = relaxed)]
fn fails() -> Result<i64, &'static str> {
    Err("no route")
}

#[task(delivery = at_most_once)]
async fn waits(#[data] stage: &Stage) -> i64 {
    stage.note("waits");
    std::future::pending().await
}

/// Its process dies while it runs, so many times.
#[task(queue = "deadly")]
fn dies(#[data] disk: &SimDisk, #[ctx] ctx: &Context, times: u32) -> Result<i64, BoxError> {
    if ctx.attempt() > times {
        return Ok(ctx.attempt().into());
    }
    disk.kill();
    let _ = ctx.huey()?.close();
    Err("nobody hears this".into())
}

#[task(queue = "deadly", crash_limit = 2)]
fn dies_twice(#[data] disk: &SimDisk, #[ctx] ctx: &Context) -> Result<(), BoxError> {
    disk.kill();
    let _ = ctx.huey()?.close();
    Err("nobody hears this".into())
}

#[task(queue = "deadly", delivery = at_most_once)]
fn dies_once(#[data] disk: &SimDisk, #[ctx] ctx: &Context, of_power: bool) -> Result<i64, BoxError> {
    if of_power {
        disk.power_cut();
    } else {
        disk.kill();
    }
    let _ = ctx.huey()?.close();
    Err("nobody hears this".into())
}

#[test]
fn two_steps_are_told_of_one_after_the_other() {
    let (huey, heard, _) = queue();
    let chain = add::job(1, 2).then(times::with(10)).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(heard.list(), "enqueued executing complete enqueued executing complete");
    assert_eq!(chain.get().unwrap(), Some(30));
}

#[test]
fn a_second_step_that_a_hook_refuses_is_told_of_behind_the_end_of_the_first() {
    let (huey, heard, _) = queue_with(|builder| {
        builder.hook(|request| if request.task() == times::NAME { Err("over quota".into()) } else { Ok(Decision::Go) })
    });
    let chain = add::job(1, 2).then(times::with(10)).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(heard.list(), "enqueued executing complete rejected");
    assert_eq!(heard.of(chain.id()), "rejected");
}

#[test]
fn both_members_of_a_chord_are_told_of_before_its_callback() {
    let (huey, heard, _) = queue();
    let chord = group([add::job(1, 2), add::job(3, 4)]).then(sum::with()).enqueue(&huey).unwrap();
    run(&huey);
    let all = "enqueued enqueued executing complete executing complete enqueued executing complete";
    assert_eq!(heard.list(), all);
    assert_eq!(chord.get().unwrap(), Some(10));
}

#[test]
fn a_step_that_is_dead_is_told_of_before_the_steps_that_it_cancels() {
    let (huey, heard, _) = queue();
    let chain = fails::job().then(times::with(10)).then(times::with(2)).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(heard.list(), "enqueued executing error dead canceled canceled");
    let cause = heard.find(SignalKind::Canceled).unwrap().cause.unwrap();
    assert!(cause.contains("is dead") && cause.contains(&chain.ids()[0].to_string()), "{cause}");
}

#[test]
fn a_first_step_that_is_lost_cancels_the_next() {
    let (huey, heard, stage) = queue();
    let chain = waits::job().then(times::with(10)).enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).grace(Duration::ZERO).start().unwrap();
    stage.wait_notes(1);
    consumer.shutdown().wait().unwrap();
    assert_eq!(heard.list(), "enqueued executing interrupted canceled");
    assert_eq!(huey.status(chain.ids()[0]).unwrap(), JobState::Lost);
    let end = chain.get().unwrap_err();
    assert!(end.ending() == Some(JobState::Canceled) && end.to_string().contains("is lost"), "{end}");
}

struct Sim(SimMedium);

impl OpenStorage for Sim {
    fn open_storage(self, options: StorageOptions) -> huey::Result<Arc<dyn Storage>> {
        engine(self.0, options)
    }
}

/// A life of a process on a disk.
fn life(disk: &Arc<SimDisk>, set_up: impl FnOnce(HueyBuilder) -> HueyBuilder) -> (Huey, Heard) {
    let heard = Heard::default();
    let builder = heard.listen(Huey::builder().default_queue("deadly").data_arc(Arc::clone(disk)));
    (set_up(builder).open(Sim(disk.medium())).unwrap(), heard)
}

#[test]
fn a_job_whose_process_died_while_it_ran_is_rescued_and_runs_on() {
    let disk = Arc::new(SimDisk::new(1));
    let (huey, heard) = life(&disk, |builder| builder);
    let id = dies::enqueue(&huey, 1).unwrap().id();
    assert!(step(&huey).unwrap());
    assert_eq!(heard.list(), "enqueued executing");
    drop(huey);
    let (huey, heard) = life(&disk, |builder| builder);
    while step(&huey).unwrap() {}
    assert_eq!(heard.list(), "rescued executing complete");
    assert_eq!(huey.handle::<dies>(id).unwrap().get().unwrap(), Some(2));
}

#[test]
fn the_crash_limit_is_that_of_the_task_or_of_the_queue_and_none_if_it_is_0() {
    /// What is heard in each life, until one in which nothing dies.
    fn lives(limit: u8, enqueue: impl FnOnce(&Huey)) -> Vec<String> {
        let disk = Arc::new(SimDisk::new(2));
        let mut enqueue = Some(enqueue);
        let mut lives = Vec::new();
        while lives.last() != Some(&String::new()) {
            let (huey, heard) = life(&disk, |builder| builder.crash_limit(limit));
            if let Some(enqueue) = enqueue.take() {
                enqueue(&huey);
            }
            while step(&huey).is_ok_and(|ran| ran) {}
            lives.push(heard.list());
        }
        lives
    }
    let dies = |times| move |huey: &Huey| drop(dies::enqueue(huey, times).unwrap());
    assert_eq!(lives(1, dies(9)), ["enqueued executing", "rescued dead", ""]);
    let mut endless = vec!["enqueued executing"];
    endless.extend(["rescued executing"; 8]);
    endless.extend(["rescued executing complete", ""]);
    assert_eq!(lives(0, dies(9)), endless);
    let of_task = |huey: &Huey| drop(dies_twice::enqueue(huey).unwrap());
    assert_eq!(lives(1, of_task), ["enqueued executing", "rescued executing", "rescued dead", ""]);
}

#[test]
fn a_job_that_may_start_only_once_is_lost_with_its_process_and_cancels_the_next_step() {
    for (seed, of_power) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let disk = Arc::new(SimDisk::new(seed));
        let (huey, heard) = life(&disk, |builder| builder);
        let ids = dies_once::job(of_power).then(times::with(10)).enqueue(&huey).unwrap().ids().to_vec();
        assert!(step(&huey).unwrap());
        assert_eq!(heard.list(), "enqueued executing");
        drop(huey);
        let (huey, heard) = life(&disk, |builder| builder);
        while step(&huey).unwrap() {}
        assert_eq!(heard.list(), "interrupted canceled", "seed {seed}, power cut: {of_power}");
        let states: Vec<_> = ids.iter().map(|id| huey.status(*id).unwrap()).collect();
        assert_eq!(states, [JobState::Lost, JobState::Canceled]);
    }
}

#[test]
fn a_job_that_is_told_of_as_enqueued_survives_a_power_cut_at_that_moment() {
    for seed in 0..20 {
        let disk = Arc::new(SimDisk::new(seed));
        let told = Arc::clone(&disk);
        let (huey, _) =
            life(&disk, |builder| builder.on(SignalKind::Enqueued, move |_: &huey::Signal| told.power_cut()));
        let id = add::job(1, 2).durability(Durability::Synced).enqueue(&huey).unwrap().id();
        drop(huey);
        let (huey, _) = life(&disk, |builder| builder);
        assert_eq!(huey.status(id).unwrap(), JobState::Queued, "seed {seed}");
    }
}

#[test]
fn the_highest_level_of_a_bulk_holds_for_all_of_it() {
    for seed in 0..20 {
        let disk = Arc::new(SimDisk::new(seed));
        let (huey, _) = life(&disk, |builder| builder);
        let levels = [Durability::Relaxed, Durability::Synced, Durability::Relaxed];
        let handles = huey.enqueue_many(levels.map(|level| add::job(1, 2).durability(level))).unwrap();
        disk.power_cut();
        drop(huey);
        let (huey, _) = life(&disk, |builder| builder);
        for handle in handles {
            assert_eq!(huey.status(handle.id()).unwrap(), JobState::Queued, "seed {seed}");
        }
    }
}

#[test]
fn hooks_and_receivers_run_on_the_thread_that_makes_the_job_or_the_event() {
    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let (by_hook, by_receiver) = (Arc::clone(&notes), Arc::clone(&notes));
    let (huey, ..) = queue_with(|builder| {
        builder
            .hook(move |request| {
                lock(&by_hook).push(format!("{}: {}", request.origin().kind(), thread()));
                Ok(Decision::Go)
            })
            .on(SignalKind::Executing, move |_: &huey::Signal| {
                lock(&by_receiver).push(format!("executing: {}", thread()));
            })
    });
    let caller = std::thread::Builder::new().name("caller".into());
    let enqueue = move |huey: &Huey| drop(group([add::job(1, 2)]).then(sum::with()).then(times::with(2)).enqueue(huey));
    std::thread::scope(|scope| caller.spawn_scoped(scope, || enqueue(&huey)).unwrap().join()).unwrap();
    run(&huey);
    let all = [
        "group member: caller",
        "executing: huey-worker-1",
        "chord callback: huey-worker-1",
        "executing: huey-worker-1",
        "chain: huey-worker-1",
        "executing: huey-worker-1",
    ];
    assert_eq!(*lock(&notes), all);
}
