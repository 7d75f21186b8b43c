//! What shows only below the trait: batches, homes and places of one core, called by hand.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::batch::View;
use super::claimed::Tasks;
use super::core::{Core, Served};
use super::engine::engine;
use super::log::{Log, Medium};
use super::new_job::{Body, NewJob};
use super::replay::replay;
use super::settlement::{Settlement, Verdict};
use super::storage::{Commit, Roused, StorageError, StorageOptions, Version};
use super::transition::{Outcome, Transition};
use crate::machine::{Item, WorkItem};
use crate::task::Durability;
use crate::testing::{SimDisk, SimLog, job_id, new_job};
use crate::time::{Timestamp, VirtualClock};

mod handed;

const RELAXED: Commit = Commit { durability: Durability::Relaxed, hold: false };
const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);

struct Bench {
    disk: SimDisk,
    core: Core<SimLog>,
    salt: u32,
    next: u64,
}

fn served<L: Log>(core: &mut Core<L>, transition: Transition, how: Commit) -> Served {
    let mut answer = None;
    core.serve(transition, how, NOW, &mut answer, &|_, _| None).unwrap();
    answer.unwrap().unwrap()
}

impl Bench {
    fn new() -> Self {
        let disk = SimDisk::new(5);
        let core = Core::open(&disk.medium(), &StorageOptions::default(), &Arc::default(), None).unwrap();
        let mut bench = Self { disk, core, salt: 0, next: 0 };
        let [Outcome::Reserved { salt, .. }] = bench.serve([Transition::Reserve { count: 100_000 }]) else {
            panic!("no counters");
        };
        bench.salt = salt;
        bench
    }

    /// All in one batch, as if their callers had come together.
    fn serve<const N: usize>(&mut self, transitions: [Transition; N]) -> [Outcome; N] {
        let outcomes = transitions.map(|transition| served(&mut self.core, transition, RELAXED).outcome);
        self.check();
        outcomes
    }

    fn check(&mut self) {
        self.core.seal().unwrap();
        self.core.check().unwrap();
    }

    fn enqueue(&mut self, bytes: usize) -> Transition {
        self.next += 1;
        let job = NewJob {
            durability: Durability::Relaxed,
            body: Body { head: vec![1].into(), args: vec![2; bytes].into(), ..Body::default() },
            ..new_job(job_id(NOW, self.next - 1, self.salt))
        };
        Transition::enqueue(vec![job])
    }
}

fn claim() -> Transition {
    let (queues, tasks) = (vec!["default".into()], Tasks::Except(Vec::new()));
    Transition::Claim { queues, tasks, most: 9, many: Tasks::ALL, keep: Duration::ZERO }
}

fn write(bytes: usize) -> Transition {
    Transition::Write { writes: vec![("key".into(), vec![9; bytes].into())] }
}

fn complete(outcome: &Outcome) -> Transition {
    let Outcome::Claimed { claimed, .. } = outcome else { panic!("a claim gave {outcome:?}") };
    let verdict =
        |_| Verdict::Complete { output: vec![4; 9].into(), signature: 0, keep: Duration::from_secs(9), next: None };
    Transition::Settle(claimed.iter().map(|one| Settlement { lease: one.lease, verdict: verdict(one) }).collect())
}

#[test]
fn a_claim_finds_the_arguments_of_a_job_of_the_same_batch() {
    for bytes in [10, 30_000] {
        let mut bench = Bench::new();
        let enqueue = bench.enqueue(bytes);
        let [_, claimed] = bench.serve([enqueue, claim()]);
        let settle = complete(&claimed);
        let id = match &claimed {
            Outcome::Claimed { claimed, .. } => {
                assert_eq!(claimed[0].body.args.len(), bytes);
                claimed[0].lease.id
            }
            other => panic!("a claim gave {other:?}"),
        };
        let [_, taken] = bench.serve([settle, Transition::Take { id }]);
        assert!(matches!(taken, Outcome::Taken(Some(row)) if row.ended.output.is_some()), "its result is found too");
    }
}

#[test]
fn a_log_may_begin_within_a_batch_and_within_an_effect() {
    let mut bench = Bench::new();
    // The small job's items stand behind the last part of the large one's arguments.
    let (before, large, small) = (bench.enqueue(7_000), bench.enqueue(30_000), bench.enqueue(10));
    bench.serve([before]);
    let (Transition::Enqueue { mut jobs, .. }, Transition::Enqueue { jobs: small, .. }) = (large, small) else {
        panic!("no jobs");
    };
    jobs.extend(small);
    bench.serve([Transition::enqueue(jobs)]);
    let [claimed] = bench.serve([claim()]);
    let Transition::Settle(mut settlements) = complete(&claimed) else { panic!("no settle") };
    let large = settlements.swap_remove(1);
    bench.serve([Transition::Settle(vec![large]), Transition::Reserve { count: 1 }]);
    let within = |disk: &SimDisk| {
        let oldest = disk.oldest().unwrap();
        let view = View::of(0, &oldest).unwrap();
        !view.first && view.continued > 0
    };
    // Compaction takes away what stands before them, and then pauses until it has earned the next move.
    for _ in 0..500 {
        if within(&bench.disk) {
            break;
        }
        bench.serve([write(100)]);
        bench.core.sync().unwrap();
    }
    assert!(within(&bench.disk));
    drop(bench.core);
    let mut core = Core::open(&bench.disk.medium(), &StorageOptions::default(), &Arc::default(), None).unwrap();
    core.check().unwrap();
    let claimed = served(&mut core, claim(), RELAXED).outcome;
    let Outcome::Claimed { claimed, .. } = claimed else { panic!("a claim gave {claimed:?}") };
    assert_eq!(claimed.iter().map(|one| one.body.args.len()).collect::<Vec<_>>(), [7_000, 10]);
}

#[test]
fn an_unfinished_batch_is_removed_before_anything_is_appended() {
    let mut bench = Bench::new();
    let enqueue = bench.enqueue(10);
    bench.serve([enqueue]);
    bench.core.sync().unwrap();
    let whole = bench.core.last();
    drop(bench.core);
    let mut log = bench.disk.medium().open().unwrap();
    // The first entries of a batch, without its last.
    for at in 1..4 {
        log.append(whole + at, &[0x20 | u8::from(at == 1), 0, 0, 0, 0, 0, 0]).unwrap();
    }
    let replayed = replay(&log, NOW).unwrap();
    assert_eq!((replayed.last, replayed.unfinished), (whole, 3));
    drop(log);
    let mut core = Core::open(&bench.disk.medium(), &StorageOptions::default(), &Arc::default(), None).unwrap();
    assert_eq!(core.last(), whole);
    served(&mut core, write(5), RELAXED);
    core.seal().unwrap();
    core.check().unwrap();
    assert_eq!(core.last(), whole + 1);
}

#[test]
fn a_hole_in_the_log_or_half_a_job_is_damage() {
    let bench = Bench::new();
    drop(bench.core);
    let mut log = bench.disk.medium().open().unwrap();
    // A batch that follows the beginning of another.
    log.append(3, &[0x21, 0, 0, 0, 0, 0, 0]).unwrap();
    log.append(4, &[0x23, 0, 0, 0, 0, 0, 0]).unwrap();
    let error = replay(&log, NOW).map(drop).unwrap_err();
    assert!(error.damaged && error.message.contains("before entry 4"), "{error}");
}

#[test]
fn a_lost_beginning_of_the_log_is_damage_though_it_leaves_no_gap() {
    let mut bench = Bench::new();
    let (first, second) = (bench.enqueue(10), bench.enqueue(10));
    bench.serve([first]);
    bench.serve([second]);
    bench.core.sync().unwrap();
    let oldest = bench.core.first();
    drop(bench.core);
    let mut log = bench.disk.medium().open().unwrap();
    assert!(replay(&log, NOW).is_ok());
    // All of a batch, so that no job is torn in two.
    log.remove_oldest(oldest).unwrap();
    log.remove_oldest(oldest + 1).unwrap();
    let error = replay(&log, NOW).map(drop).unwrap_err();
    assert!(error.damaged && error.message.contains("its beginning is missing"), "{error}");
}

#[test]
fn a_held_job_stays_counted_and_out_of_reach() {
    let mut bench = Bench::new();
    let enqueue = bench.enqueue(10);
    let held = Commit { durability: Durability::Relaxed, hold: true };
    let counters = served(&mut bench.core, enqueue, held).held;
    assert_eq!(counters.len(), 1);
    let none = Outcome::Claimed { claimed: Vec::new(), ended: Vec::new(), limited: Vec::new(), more: false };
    assert_eq!(bench.serve([claim()]), [none]);
    bench.core.promote(NOW + Duration::from_secs(9));
    bench.core.promote(NOW);
    bench.check();
    bench.core.release(&counters);
    bench.core.release(&counters);
    let [claimed] = bench.serve([claim()]);
    assert!(matches!(claimed, Outcome::Claimed { claimed, .. } if claimed.len() == 1));
}

#[test]
fn who_waits_for_work_hears_of_what_can_be_claimed_and_not_of_claims_and_ends() {
    let mut bench = Bench::new();
    let (first, second) = (bench.enqueue(10), bench.enqueue(10));
    let stirred = |bench: &mut Bench| {
        let stir = bench.core.take_stir();
        (stir.any, stir.work)
    };
    let lane = Roused::Lane { queue: "default".into(), task: "send".into() };
    bench.serve([first, second]);
    assert_eq!(stirred(&mut bench), (true, Some(lane)));
    for left in [true, false] {
        let (queues, keep) = (vec!["default".into()], Duration::ZERO);
        let claim = Transition::Claim { queues, tasks: Tasks::ALL, most: 1, many: Tasks::ALL, keep };
        let [claimed] = bench.serve([claim]);
        assert!(matches!(&claimed, Outcome::Claimed { more, .. } if *more == left), "{claimed:?}");
        assert_eq!(stirred(&mut bench), (true, None));
        bench.serve([complete(&claimed)]);
        assert_eq!(stirred(&mut bench), (true, None));
    }
}

#[test]
fn who_keeps_the_time_is_woken_by_a_job_that_is_due_sooner_and_by_no_other() {
    let options = StorageOptions { clock: VirtualClock::starting_at(NOW).clock(), ..StorageOptions::default() };
    let storage = engine(SimDisk::new(5).medium(), options).unwrap();
    let reserved = storage.commit(Transition::Reserve { count: 9 }, RELAXED).unwrap();
    let Outcome::Reserved { first, salt } = reserved else { panic!("no counters") };
    let mut seen = storage.wait_due(Version::default(), NOW);
    for (counter, seconds, is_woken) in [(first, 60, true), (first + 1, 90, false), (first + 2, 30, true)] {
        let run_at = NOW + Duration::from_secs(seconds);
        let job = NewJob { run_at, ..new_job(job_id(NOW, counter, salt)) };
        storage.commit(Transition::enqueue(vec![job]), RELAXED).unwrap();
        let now = storage.wait_due(seen.unwrap(), NOW);
        assert_eq!(now > seen, is_woken, "in {seconds} seconds");
        seen = now;
    }
}

#[test]
fn nothing_is_claimed_until_the_end_of_a_suspect_is_on_the_disk() {
    let mut bench = Bench::new();
    let first = bench.enqueue(10);
    let [_, claimed] = bench.serve([first, claim()]);
    let settle = complete(&claimed);
    let suspect =
        bench.core.state().all_work().next().map(|work| WorkItem { crashes: 2, crash_limit: 3, ..work.item }).unwrap();
    bench.core.load(Item::Work(suspect)).unwrap();
    let synced = Commit { durability: Durability::Synced, hold: false };
    let held = served(&mut bench.core, settle, synced).held;
    let second = bench.enqueue(10);
    let [_, claimed] = bench.serve([second, claim()]);
    assert!(matches!(claimed, Outcome::Claimed { claimed, .. } if claimed.is_empty()));
    bench.core.sync().unwrap();
    bench.core.show(&held);
    let [claimed] = bench.serve([claim()]);
    assert!(matches!(claimed, Outcome::Claimed { claimed, .. } if claimed.len() == 1));
}

/// A callback may ask the store again, also one that is called because there is none any more.
#[test]
fn what_is_turned_away_may_come_again() {
    let storage = engine(SimDisk::new(5).medium(), StorageOptions::default()).unwrap();
    storage.close().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let again = Arc::clone(&storage);
        let come_again = move |first| {
            again.submit(
                Transition::Reserve { count: 1 },
                RELAXED,
                Box::new(move |second| tell.send((first, second)).unwrap()),
            );
        };
        storage.submit(Transition::Reserve { count: 1 }, RELAXED, Box::new(come_again));
    });
    let told = told.recv_timeout(Duration::from_mins(1)).expect("it waits for itself");
    assert_eq!(told, (Err(StorageError::Closed), Err(StorageError::Closed)));
}

#[test]
fn a_commit_finds_what_its_thread_submitted_before() {
    let storage = engine(SimDisk::new(5).medium(), StorageOptions::default()).unwrap();
    let Outcome::Reserved { first, salt } = storage.commit(Transition::Reserve { count: 100 }, RELAXED).unwrap() else {
        panic!("no counters");
    };
    for counter in first..first + 100 {
        let job = new_job(job_id(NOW, counter, salt));
        storage.submit(Transition::enqueue(vec![job]), RELAXED, Box::new(drop));
        let claimed = storage.commit(claim(), RELAXED).unwrap();
        assert!(matches!(claimed, Outcome::Claimed { claimed, .. } if claimed.len() == 1), "job {counter}");
    }
}
