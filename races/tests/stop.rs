//! The consumer's stop: workers sleep, run or look for jobs, jobs come, and several stops are asked for at once. Every thread
//! ends, since a stop that was waited for has seen all of them off; no job is lost, and none stays claimed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod attack;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attack::attack;
use huey_macros::task;
use huey_races::{ConsumerHandle, Context, Durability, Huey, Memory, Stopped};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread::{self, JoinHandle};

/// Orders of each attack.
const ORDERS: usize = 200;
/// Time does not pass here, so that such a grace never ends.
const LONG: Duration = Duration::from_hours(1);

/// What bodies and the test tell each other.
#[derive(Default)]
struct Gate {
    /// Counts without a step of its own.
    instants: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ran: u64,
    inside: u64,
    open: bool,
}

impl Gate {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait_until(&self, so: impl Fn(&State) -> bool) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |state| !so(state)).unwrap());
    }

    fn ran(&self) -> u64 {
        self.state.lock().unwrap().ran
    }
}

#[task(crate = "huey_races")]
fn quick(#[data] gate: &Arc<Gate>) {
    gate.change(|state| state.ran += 1);
}

/// Takes no time, so that many are claimed at once as soon as a worker knows it.
#[task(crate = "huey_races")]
fn instant(#[data] gate: &Arc<Gate>) {
    gate.instants.fetch_add(1, Ordering::Relaxed);
}

/// What it came to is settled on the writer's thread.
#[task(crate = "huey_races", durability = synced)]
fn long(#[data] gate: &Arc<Gate>) {
    gate.change(|state| state.inside += 1);
    gate.wait_until(|state| state.open);
    gate.change(|state| state.ran += 1);
}

#[task(crate = "huey_races")]
fn attentive(#[data] gate: &Arc<Gate>, #[ctx] context: &Context) -> Result<(), Stopped> {
    gate.change(|state| state.inside += 1);
    loop {
        context.checkpoint()?;
        thread::yield_now();
    }
}

fn open() -> (Huey, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let huey = Huey::builder().durability(Durability::Relaxed).data(Arc::clone(&gate)).open(Memory::new()).unwrap();
    (huey, gate)
}

fn start(huey: &Huey, grace: Duration) -> ConsumerHandle {
    huey.consumer().workers(2).grace(grace).start().unwrap()
}

/// Jobs that come from two threads.
fn enqueue(huey: &Huey) -> Vec<JoinHandle<()>> {
    let one = |_| {
        let huey = huey.clone();
        thread::spawn(move || drop(quick::enqueue(&huey).unwrap()))
    };
    (0..2).map(one).collect()
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Of so many jobs those that have not run wait, and none is with anybody.
fn nothing_is_held(huey: &Huey, enqueued: u64, ran: u64) {
    let counts = huey.counts().unwrap();
    assert_eq!((counts.running, counts.queued, counts.results), (0, enqueued - ran, ran), "{counts:?}");
}

#[test]
fn no_order_of_steps_keeps_a_worker_asleep_through_a_stop_or_loses_what_rings_meanwhile() {
    // Jobs that ran, and jobs that the stop left.
    static CAME_TO: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
    attack(ORDERS, || {
        let (huey, gate) = open();
        let consumer = start(&huey, LONG);
        let callers = enqueue(&huey);
        consumer.shutdown().wait().unwrap();
        join(callers);
        nothing_is_held(&huey, 2, gate.ran());
        CAME_TO[0].fetch_add(gate.ran(), Ordering::Relaxed);
        CAME_TO[1].fetch_add(2 - gate.ran(), Ordering::Relaxed);
        // What the stop left is for the next one.
        let next = start(&huey, LONG);
        next.wait_idle().unwrap();
        next.shutdown().wait().unwrap();
        nothing_is_held(&huey, 2, 2);
        huey.close().unwrap();
    });
    assert!(CAME_TO.iter().all(|jobs| jobs.load(Ordering::Relaxed) > 0), "the stop always came last, or always first");
}

#[test]
fn no_order_of_steps_has_a_stop_end_before_the_jobs_that_run() {
    attack(ORDERS, || {
        let (huey, gate) = open();
        long::enqueue(&huey).unwrap();
        let consumer = start(&huey, LONG);
        gate.wait_until(|state| state.inside == 1);
        let callers = enqueue(&huey);
        let stop = thread::spawn(move || consumer.shutdown().wait().unwrap());
        gate.change(|state| state.open = true);
        stop.join().unwrap();
        join(callers);
        assert!(gate.ran() >= 1, "the job that ran had its time");
        nothing_is_held(&huey, 3, gate.ran());
        huey.close().unwrap();
    });
}

#[test]
fn no_order_of_steps_keeps_what_was_claimed_with_others_and_not_begun() {
    /// A worker takes many at once when it has run 16: the stop comes about when it does.
    const JOBS: u64 = 24;
    static LEFT: AtomicU64 = AtomicU64::new(0);
    attack(ORDERS, || {
        let (huey, gate) = open();
        instant::map(&huey, (0..JOBS).map(|_| ())).unwrap();
        let consumer = huey.consumer().workers(1).start().unwrap();
        while gate.instants.load(Ordering::Relaxed) < 16 {
            thread::yield_now();
        }
        consumer.shutdown().wait().unwrap();
        let ran = gate.instants.load(Ordering::Relaxed);
        nothing_is_held(&huey, JOBS, ran);
        LEFT.fetch_add(JOBS - ran, Ordering::Relaxed);
        huey.close().unwrap();
    });
    assert!(LEFT.load(Ordering::Relaxed) > 0, "the stop never came between a claim and its last job");
}

#[test]
fn no_order_of_steps_hides_the_end_of_the_grace_from_a_body_that_looks() {
    attack(ORDERS, || {
        let (huey, gate) = open();
        let jobs = [attentive::enqueue(&huey).unwrap(), attentive::enqueue(&huey).unwrap()];
        let consumer = start(&huey, Duration::ZERO);
        gate.wait_until(|state| state.inside >= 1);
        consumer.shutdown().wait().unwrap();
        nothing_is_held(&huey, 2, 0);
        for job in jobs {
            assert_eq!(job.info().unwrap().unwrap().attempts, 0, "an attempt that was cut off does not count");
        }
        huey.close().unwrap();
    });
}

/// What the queue was given is dropped with it.
#[test]
fn no_order_of_steps_keeps_the_queue_open_behind_a_stop() {
    for durability in [Durability::Relaxed, Durability::Synced] {
        attack(ORDERS / 2, move || {
            let (huey, gate) = open();
            drop(quick::job().durability(durability).enqueue(&huey).unwrap());
            let consumer = start(&huey, LONG);
            gate.wait_until(|state| state.ran == 1);
            consumer.shutdown().wait().unwrap();
            drop(huey);
            assert_eq!(Arc::strong_count(&gate), 1, "something keeps the queue open");
        });
    }
}

#[test]
fn no_order_of_steps_of_stops_at_once_leaves_a_thread_or_a_claim_behind() {
    attack(ORDERS, || {
        let (huey, gate) = open();
        let first = start(&huey, LONG);
        let second = start(&huey, LONG);
        let callers = enqueue(&huey);
        let stops = vec![thread::spawn(move || first.shutdown().wait().unwrap()), thread::spawn(move || drop(second))];
        join(stops);
        join(callers);
        nothing_is_held(&huey, 2, gate.ran());
        huey.close().unwrap();
    });
}
