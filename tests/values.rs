//! A program's own values: put, take, count, and their time to live.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use huey::{Decision, Durability, Huey, Memory, VirtualClock, task};
use support::{queue, run};

/// A page, and whether it was the last one.
type Cursor = (u32, bool);

#[task]
fn noop() {}

#[task]
fn counts(#[ctx] ctx: &huey::Context) -> huey::Result<i64> {
    ctx.huey()?.incr("runs", 1)
}

#[test]
fn a_value_is_read_as_what_was_put_and_taken_once() {
    let (huey, ..) = queue();
    let cursor: Cursor = (7, false);
    huey.put("cursor", &cursor).unwrap();
    assert_eq!(huey.get("cursor").unwrap(), Some(cursor));
    huey.put("cursor", &(8_u32, true)).unwrap();
    huey.put("cursor/name", "ada").unwrap();
    assert_eq!(huey.keys("cur").unwrap(), ["cursor", "cursor/name"]);
    assert_eq!(huey.take("cursor").unwrap(), Some((8_u32, true)));
    assert_eq!(huey.take::<Cursor>("cursor").unwrap(), None);
    assert_eq!((huey.get::<Cursor>("cursor").unwrap(), huey.keys("").unwrap()), (None, vec!["cursor/name".to_owned()]));
    let error = huey.get::<Cursor>("cursor/name").unwrap_err();
    assert!(error.is_codec() && error.to_string().contains("`cursor/name` is not a `(u32, bool)`"), "{error}");
}

#[test]
fn of_many_who_put_if_absent_or_take_one_succeeds() {
    let (huey, ..) = queue();
    let (put, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (huey, put) = (&huey, &put);
            scope.spawn(move || put.fetch_add(huey.put_if_absent("leader", &thread).unwrap().into(), Ordering::SeqCst));
        }
    });
    assert_eq!(put.into_inner(), 1);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let got = huey.take::<u32>("leader").unwrap();
                taken.fetch_add(got.is_some().into(), Ordering::SeqCst)
            });
        }
    });
    assert_eq!(taken.into_inner(), 1);
    assert!(huey.put_if_absent("leader", &9).unwrap());
}

#[test]
fn counts_of_many_threads_add_up_and_no_sum_is_given_twice() {
    let (huey, ..) = queue();
    let huey = &huey;
    let mut sums: Vec<i64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(move || (0..250).map(|_| huey.incr("n", 1).unwrap()).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    sums.sort_unstable();
    assert_eq!(sums, (1..=1_000).collect::<Vec<_>>());
    assert_eq!(huey.get::<u32>("n").unwrap(), Some(1_000), "of whatever type of integer");
    assert_eq!(huey.incr("n", -1_001).unwrap(), -1);
    assert!(huey.get::<u32>("n").unwrap_err().is_codec(), "unless it does not fit");
}

#[test]
fn what_is_no_integer_is_not_counted_and_a_sum_does_not_wrap() {
    let (huey, ..) = queue();
    huey.put("text", "7").unwrap();
    let error = huey.incr("text", 1).unwrap_err();
    assert!(error.is_bad_input() && error.to_string().contains("`text` is no integer"), "{error}");
    assert_eq!(huey.get::<String>("text").unwrap().as_deref(), Some("7"));
    huey.put("small", &250_u8).unwrap();
    assert_eq!(huey.incr("small", 10).unwrap(), 260, "a number is not kept as narrow as it was put");
    huey.put("most", &(i64::MAX - 1)).unwrap();
    assert_eq!(huey.incr("most", 1).unwrap(), i64::MAX);
    let error = huey.incr("most", 1).unwrap_err();
    assert!(error.is_bad_input() && error.to_string().contains("would pass the range"), "{error}");
    assert_eq!(huey.get::<i64>("most").unwrap(), Some(i64::MAX));
    huey.put("more", &u64::MAX).unwrap();
    assert_eq!(huey.get::<u64>("more").unwrap(), Some(u64::MAX));
    assert!(huey.incr("more", -1).unwrap_err().is_bad_input());
}

#[test]
fn a_value_is_there_for_its_time_to_live() {
    let clock = VirtualClock::starting_at(huey::Timestamp::from_micros(1_000_000_000));
    let huey = Huey::builder().clock(clock.clock()).open(Memory::new()).unwrap();
    let minute = huey.values().ttl(Duration::from_mins(1));
    minute.put("seen", "once").unwrap();
    minute.incr("n", 1).unwrap();
    clock.advance(Duration::from_secs(59));
    assert!(!minute.put_if_absent("seen", "twice").unwrap());
    assert_eq!(huey.incr("n", 1).unwrap(), 2, "which does not make it stay longer");
    clock.advance(Duration::from_secs(1));
    assert_eq!((huey.get::<String>("seen").unwrap(), huey.keys("").unwrap()), (None, Vec::new()));
    assert_eq!(huey.take::<String>("seen").unwrap(), None);
    assert!(huey.put_if_absent("seen", "again").unwrap());
    assert_eq!(huey.incr("n", 1).unwrap(), 1);
    clock.advance(Duration::from_hours(1_000));
    assert_eq!(huey.get::<String>("seen").unwrap().as_deref(), Some("again"), "for ever");
}

#[test]
fn values_whose_time_is_over_are_dropped_a_few_at_a_time() {
    let clock = VirtualClock::starting_at(huey::Timestamp::from_micros(1_000_000_000));
    let disk = huey::testing::SimDisk::new(3);
    let mut options = huey::store::StorageOptions::default();
    options.clock = clock.clock();
    let (storage, inspector) = huey::testing::inspected(disk.medium(), options).unwrap();
    let huey = Huey::builder().open(Open(storage)).unwrap();
    let relaxed = huey.values().ttl(Duration::from_secs(1)).durability(Durability::Relaxed);
    for number in 0..500 {
        relaxed.put(&format!("old/{number}"), "some words that take their place").unwrap();
    }
    let full = inspector.sizes().unwrap().live;
    clock.advance(Duration::from_secs(1));
    assert_eq!(huey.keys("").unwrap(), [] as [String; 0]);
    let mut live = vec![full];
    for _ in 0..12 {
        relaxed.put("new", "word").unwrap();
        live.push(inspector.sizes().unwrap().live);
        inspector.check().unwrap();
    }
    let most = live.windows(2).map(|pair| pair[0].saturating_sub(pair[1])).max().unwrap();
    assert!(most < full / 4, "no commit drops many of them: {live:?}");
    assert!(live[12] < full / 20, "and in the end they are gone: {live:?}");
}

struct Open(std::sync::Arc<dyn huey::store::Storage>);

impl huey::store::OpenStorage for Open {
    fn open_storage(self, _: huey::store::StorageOptions) -> huey::Result<std::sync::Arc<dyn huey::store::Storage>> {
        Ok(self.0)
    }
}

#[test]
fn values_survive_a_kill_at_the_level_asked_for() {
    let disk = huey::testing::SimDisk::new(7);
    let open = || {
        let (storage, _) = huey::testing::inspected(disk.medium(), huey::store::StorageOptions::default()).unwrap();
        Huey::builder().open(Open(storage)).unwrap()
    };
    let huey = open();
    huey.values().durability(Durability::Synced).incr("synced", 3).unwrap();
    huey.values().durability(Durability::Relaxed).put("relaxed", &1).unwrap();
    disk.kill();
    drop(huey);
    let huey = open();
    assert_eq!(huey.get::<i64>("synced").unwrap(), Some(3));
    assert_eq!(huey.get::<i64>("relaxed").unwrap(), None, "it was never handed to the system");
}

#[test]
fn keys_and_values_that_are_too_large_are_refused_with_their_size() {
    let (huey, ..) = queue();
    let long = "k".repeat(513);
    for error in [
        huey.put(&long, &1).unwrap_err(),
        huey.put_if_absent(&long, &1).unwrap_err(),
        huey.incr(&long, 1).unwrap_err(),
        huey.take::<u8>(&long).unwrap_err(),
    ] {
        assert!(error.is_bad_input() && error.to_string().contains("takes 513 bytes"), "{error}");
    }
    assert!(huey.put("", &1).unwrap_err().is_bad_input());
    huey.put("large", &"x".repeat(1_000_000)).unwrap();
    assert_eq!(huey.get::<String>("large").unwrap().unwrap().len(), 1_000_000);
    let error = huey.put("large", &"x".repeat(1_100_000)).unwrap_err();
    assert!(error.is_codec() && error.to_string().contains("`large` takes"), "{error}");
    assert_eq!(huey.get::<String>("large").unwrap().unwrap().len(), 1_000_000);
}

#[test]
fn a_hook_puts_values_of_the_same_kind() {
    let builder = Huey::builder().hook(|request| {
        request.put("last", &41_u8)?;
        let refused = request.put(&"k".repeat(600), &1).unwrap_err();
        assert!(refused.is_bad_input());
        Ok(Decision::Go)
    });
    let huey = builder.open(Memory::new()).unwrap();
    noop::enqueue(&huey).unwrap();
    assert_eq!(huey.incr("last", 1).unwrap(), 42);
    assert_eq!(huey.get::<u64>("last").unwrap(), Some(42));
}

#[test]
fn a_body_counts_through_its_context() {
    let (huey, ..) = queue();
    let jobs: Vec<_> = (0..3).map(|_| counts::enqueue(&huey).unwrap()).collect();
    run(&huey);
    let sums: Vec<_> = jobs.iter().map(|job| job.get().unwrap()).collect();
    assert_eq!(sums, [Some(1), Some(2), Some(3)]);
}
