//! Hooks at every level: what they see, change, refuse and answer, and what runs around the write.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::unnecessary_wraps, reason = "a hook returns a `HookResult`")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use huey::{
    BoxError, Context, Decision, Decorator, EnqueueHook, EnqueueOutcome, EnqueueRequest, HookResult, Huey, HueyBuilder,
    JobHandle, JobId, JobState, Memory, Origin, SignalKind, VirtualClock, task,
};
use support::{LONG, Stage, block_on, lock, queue, queue_with, run};

/// What happened around each job.
static TRACE: Mutex<BTreeMap<JobId, Vec<String>>> = Mutex::new(BTreeMap::new());

fn trace(id: JobId, text: impl Into<String>) {
    lock(&TRACE).entry(id).or_default().push(text.into());
}

fn traced(id: JobId) -> Vec<String> {
    lock(&TRACE).get(&id).cloned().unwrap_or_default()
}

const LEVELS: [&str; 4] = ["queue", "outer", "inner", "task"];

/// A hook that notes that it ran, leaves a callback, and does what the job's header `do` says if `at` names its level.
fn act(level: &'static str, request: &mut EnqueueRequest<'_>) -> HookResult {
    let id = request.id();
    trace(id, level);
    request.after_commit(move |outcome| {
        let outcome = match outcome {
            EnqueueOutcome::Stored(stored) => format!("stored {}", *stored == id),
            EnqueueOutcome::Existing(existing) => format!("existing {existing}"),
            EnqueueOutcome::Refused { hook, reason } => format!("refused by {}: {reason}", last(hook)),
            EnqueueOutcome::Failed(_) => "failed".into(),
            other => format!("{other:?}"),
        };
        trace(id, format!("after {level}: {outcome}"));
    });
    let header = |name: &str| request.headers().iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    if header("at").as_deref() != Some(level) {
        return Ok(Decision::Go);
    }
    let what = header("do").unwrap_or_default();
    match what.split_once(' ').unwrap_or((&what, "")) {
        ("refuse", reason) => Err(reason.to_owned().into()),
        ("panic", reason) => panic!("{reason}"),
        ("existing", id) => Ok(Decision::Existing(id.parse()?)),
        ("header", value) => {
            request.header("seal", value);
            Ok(Decision::Go)
        }
        ("queue", name) => {
            request.set_queue(name.to_owned());
            Ok(Decision::Go)
        }
        ("priority", number) => {
            request.set_priority(number.parse()?);
            Ok(Decision::Go)
        }
        ("delay", seconds) => {
            request.set_delay(Duration::from_secs(seconds.parse()?));
            Ok(Decision::Go)
        }
        ("run_at", seconds) => {
            let at = request.run_at() + Duration::from_secs(seconds.parse()?);
            request.set_run_at(at);
            Ok(Decision::Go)
        }
        ("retries", number) => {
            request.set_retries(number.parse()?);
            Ok(Decision::Go)
        }
        ("timeout", seconds) => {
            request.set_timeout(Some(Duration::from_secs(seconds.parse()?)));
            Ok(Decision::Go)
        }
        ("expires", seconds) => {
            request.set_expires(Some(Duration::from_secs(seconds.parse()?)));
            Ok(Decision::Go)
        }
        ("put", value) => {
            request.put(&format!("note/{level}"), value)?;
            Ok(Decision::Go)
        }
        _ => Ok(Decision::Go),
    }
}

fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

fn queue_hook(request: &mut EnqueueRequest<'_>) -> HookResult {
    act("queue", request)
}
fn outer_hook(request: &mut EnqueueRequest<'_>) -> HookResult {
    act("outer", request)
}
fn inner_hook(request: &mut EnqueueRequest<'_>) -> HookResult {
    act("inner", request)
}
fn task_hook(request: &mut EnqueueRequest<'_>) -> HookResult {
    act("task", request)
}

static OUTER: Decorator = Decorator::new().hooks(&[&outer_hook]);
static INNER: Decorator = Decorator::new().within(&OUTER).hooks(&[&inner_hook]);

/// What a body saw of its job.
type Seen = (String, Vec<(String, String)>, bool, u32);

#[task(INNER, hooks(task_hook))]
fn watched(#[ctx] ctx: &Context, #[data] stage: &Stage, fail: bool) -> Result<Seen, BoxError> {
    stage.note(format!("run {}", ctx.header("name").unwrap_or("")));
    if fail {
        return Err("it was told to".into());
    }
    Ok((ctx.queue().to_owned(), ctx.headers().to_vec(), ctx.deadline().is_some(), ctx.attempt()))
}

#[task(INNER, hooks(task_hook))]
fn another() {}

fn hooked() -> (Huey, support::Heard, Arc<Stage>) {
    queue_with(|builder| builder.hook(queue_hook))
}

fn job(level: &str, what: &str) -> huey::Job<watched> {
    watched::job(false).header("at", level).header("do", what)
}

#[test]
fn hooks_of_every_level_see_the_request_before_anything_is_stored() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (huey, ..) = queue_with(|builder| {
        let seen = Arc::clone(&seen);
        builder.hook(move |request| {
            let args = request.args::<watched>().map(|args| args.fail);
            let who = (request.id(), request.task(), request.origin(), request.queue().to_owned(), args);
            let terms = (request.priority(), request.retries(), request.timeout(), request.expires().is_some());
            lock(&seen).push((who, terms, request.args::<another>().is_some()));
            Ok(Decision::Go)
        })
    });
    let handle = watched::job(true).priority(4).retries(2).timeout(LONG).expires(LONG).enqueue(&huey).unwrap();
    let who = (handle.id(), "hooks::watched", Origin::Call { parent: None }, "default".to_owned(), Some(true));
    assert_eq!(*lock(&seen), [(who, (4, 2, Some(LONG), true), false)]);
    assert!(handle.is_new());
}

#[test]
fn hooks_run_from_the_queue_inwards_and_their_callbacks_from_the_task_outwards() {
    let (heard, stage) = (support::Heard::default(), Stage::new());
    let builder = heard.listen(Huey::builder().data_arc(stage).hook(queue_hook));
    let huey = builder
        .on(SignalKind::Enqueued, |signal| trace(signal.id, "enqueued"))
        .on_any(|signal| trace(signal.id, format!("any {}", signal.kind)))
        .open(Memory::new())
        .unwrap();
    let handle = watched::enqueue(&huey, false).unwrap();
    let around = [
        "queue",
        "outer",
        "inner",
        "task", // before
        "after task: stored true",
        "after inner: stored true",
        "after outer: stored true",
        "after queue: stored true",
        "enqueued",
        "any enqueued",
    ];
    assert_eq!(traced(handle.id()), around);
    run(&huey);
    assert_eq!(traced(handle.id()), [&around[..], &["any executing", "any complete"]].concat());
}

#[test]
fn callbacks_of_an_async_enqueue_come_before_its_signals_too() {
    let (huey, heard, _) = queue_with(|builder| builder.hook(queue_hook).on_any(|signal| trace(signal.id, "heard")));
    let handle = block_on(watched::job(false).enqueue_async(&huey)).unwrap();
    assert_eq!(
        traced(handle.id())[4..],
        [
            "after task: stored true",
            "after inner: stored true",
            "after outer: stored true",
            "after queue: stored true",
            "heard",
        ]
    );
    assert_eq!(heard.list(), "enqueued");
}

#[test]
fn a_hook_of_any_level_may_set_a_header() {
    for level in LEVELS {
        let (huey, heard, _) = hooked();
        let handle = job(level, "header gold").enqueue(&huey).unwrap();
        run(&huey);
        let (_, headers, ..) = handle.get().unwrap().unwrap();
        let seal = ("seal".to_owned(), "gold".to_owned());
        assert!(headers.contains(&seal), "{level}: {headers:?}");
        assert!(heard.all().iter().all(|signal| signal.headers.contains(&seal)), "{level}");
    }
}

#[test]
fn a_hook_of_any_level_may_send_the_job_to_another_queue() {
    for level in LEVELS {
        let (huey, heard, _) = hooked();
        let handle = job(level, "queue mail").enqueue(&huey).unwrap();
        run(&huey);
        assert_eq!(handle.status().unwrap(), JobState::Queued, "{level}");
        huey.consumer().workers(1).queues(["mail"]).run_until_idle().unwrap();
        assert_eq!(handle.get().unwrap().unwrap().0, "mail", "{level}");
        assert!(heard.all().iter().all(|signal| *signal.queue == *"mail"), "{level}");
    }
}

#[test]
fn a_hook_of_any_level_may_change_the_priority() {
    for level in LEVELS {
        let (huey, _, stage) = hooked();
        let _ = watched::job(false).header("name", "first").enqueue(&huey).unwrap();
        let _ = job(level, "priority 7").header("name", "urgent").enqueue(&huey).unwrap();
        run(&huey);
        assert_eq!(stage.notes(), ["run urgent", "run first"], "{level}");
    }
}

#[test]
fn a_hook_of_any_level_may_change_the_run_time() {
    for (level, what) in LEVELS.into_iter().flat_map(|level| [(level, "delay 60"), (level, "run_at 60")]) {
        let clock = VirtualClock::starting_at(huey::Timestamp::from_micros(0));
        let (huey, heard, _) = queue_with(|builder| builder.hook(queue_hook).clock(clock.clock()));
        let handle = job(level, what).enqueue(&huey).unwrap();
        assert_eq!(handle.status().unwrap(), JobState::Scheduled, "{level}");
        run(&huey);
        assert_eq!(heard.list(), "enqueued scheduled", "{level}");
        clock.advance(Duration::from_mins(1));
        run(&huey);
        assert_eq!(handle.status().unwrap(), JobState::Complete, "{level}");
    }
}

#[test]
fn a_hook_of_any_level_may_change_the_retries() {
    for level in LEVELS {
        let (huey, ..) = hooked();
        let job = watched::job(true).retries(0).header("at", level).header("do", "retries 2");
        let handle = job.enqueue(&huey).unwrap();
        run(&huey);
        assert_eq!(handle.get().unwrap_err().task_error().unwrap().attempt, 3, "{level}");
    }
}

#[test]
fn a_hook_of_any_level_may_change_the_timeout_and_the_expiry() {
    for level in LEVELS {
        let (huey, ..) = hooked();
        let timed = job(level, "timeout 60").enqueue(&huey).unwrap();
        let late = job(level, "expires 0").enqueue(&huey).unwrap();
        run(&huey);
        assert!(timed.get().unwrap().unwrap().2, "{level}: the body has a deadline");
        assert_eq!(late.status().unwrap(), JobState::Expired, "{level}");
    }
}

#[test]
fn a_hook_of_any_level_may_refuse_and_the_error_names_it_and_its_reason() {
    for (at, level) in LEVELS.into_iter().enumerate() {
        let (huey, heard, _) = hooked();
        let error = job(level, "refuse over quota").enqueue(&huey).unwrap_err();
        let (hook, reason) = error.refused_by().unwrap();
        assert_eq!((last(hook), reason), (format!("{level}_hook").as_str(), "over quota"));
        assert!(error.is_refused());
        assert!(error.to_string().contains(hook) && error.to_string().contains("over quota"), "{error}");
        assert!(error.to_string().contains("hooks::watched"), "{error}");
        assert_eq!(heard.list(), "rejected", "{level}");
        let rejected = heard.find(SignalKind::Rejected).unwrap();
        assert_eq!(rejected.cause.as_deref(), Some(format!("rejected by {hook}: over quota").as_str()));
        assert_eq!(huey.counts().unwrap(), huey::Counts::default(), "{level}");
        // The callbacks of the hooks that ran, and of no other.
        let mut expected: Vec<String> = LEVELS.into_iter().take(at + 1).map(str::to_owned).collect();
        let ran: Vec<String> = expected.iter().rev().cloned().collect();
        expected.extend(ran.iter().map(|ran| format!("after {ran}: refused by {level}_hook: over quota")));
        assert_eq!(traced(rejected.id), expected);
    }
}

#[test]
fn a_hook_of_any_level_that_panics_refuses() {
    for level in LEVELS {
        let (huey, heard, _) = hooked();
        let error = job(level, "panic broken hook").enqueue(&huey).unwrap_err();
        let (hook, reason) = error.refused_by().unwrap();
        assert_eq!((last(hook), reason), (format!("{level}_hook").as_str(), "it panicked: broken hook"));
        assert_eq!(heard.list(), "rejected", "{level}");
        let rejected = heard.find(SignalKind::Rejected).unwrap();
        let after = format!("after {level}: refused by {level}_hook: it panicked: broken hook");
        assert!(traced(rejected.id).contains(&after), "{level}");
        // The queue goes on.
        assert!(watched::enqueue(&huey, false).is_ok());
    }
}

#[test]
fn a_hook_of_any_level_may_answer_with_an_existing_job() {
    for (at, level) in LEVELS.into_iter().enumerate() {
        let (huey, heard, stage) = hooked();
        let first = watched::enqueue(&huey, false).unwrap();
        let second = job(level, &format!("existing {}", first.id())).enqueue(&huey).unwrap();
        assert_eq!((second.id(), second.is_new(), first.is_new()), (first.id(), false, true), "{level}");
        assert_eq!(heard.list(), "enqueued deduplicated", "{level}");
        assert_eq!(heard.find(SignalKind::Deduplicated).unwrap().id, first.id());
        run(&huey);
        assert_eq!(stage.notes().len(), 1, "{level}");
        assert_eq!(first.get().unwrap(), second.get().unwrap());
        // An ended job stands for the request as well, while it is kept.
        let third = job(level, &format!("existing {}", first.id())).enqueue(&huey).unwrap();
        assert_eq!(third.get().unwrap(), first.get().unwrap());
        let after = lock(&TRACE).values().flatten().filter(|line| line.ends_with(&first.id().to_string())).count();
        assert_eq!(after, 2 * (at + 1), "{level}: each hook that ran has heard of it once, twice");
    }
}

#[test]
fn a_hook_may_not_answer_with_a_job_of_another_task_or_one_that_never_was() {
    for level in LEVELS {
        let (huey, heard, _) = hooked();
        let other = another::enqueue(&huey).unwrap();
        let error = job(level, &format!("existing {}", other.id())).enqueue(&huey).unwrap_err();
        assert_eq!(error.refused_by().map(|(hook, _)| last(hook)), Some(format!("{level}_hook").as_str()), "{error}");
        let text = error.to_string();
        for part in ["hooks::watched", "hooks::another", &other.id().to_string()] {
            assert!(text.contains(part), "{level}: {text}");
        }
        let (elsewhere, ..) = queue();
        let stranger = watched::enqueue(&elsewhere, false).unwrap().id();
        let error = job(level, &format!("existing {stranger}")).enqueue(&huey).unwrap_err();
        assert!(error.is_refused() && error.to_string().contains("never existed"), "{level}: {error}");
        assert_eq!(huey.counts().unwrap().queued, 1, "{level}: nothing was stored");
        // Behaviour 6: what ends in a hook is a refusal on every path.
        assert_eq!(heard.list(), "enqueued rejected rejected", "{level}");
    }
}

#[test]
fn what_a_hook_puts_is_stored_with_the_job() {
    for level in LEVELS {
        let (huey, ..) = hooked();
        let _ = job(level, "put blue").enqueue(&huey).unwrap();
        assert_eq!(huey.get::<String>(&format!("note/{level}")).unwrap().as_deref(), Some("blue"));
        assert_eq!(huey.keys("note/").unwrap(), [format!("note/{level}")]);
        assert_eq!(huey.get::<String>("note/nobody").unwrap(), None);
        assert_eq!(huey.keys("other/").unwrap(), [""; 0]);
    }
}

#[test]
fn what_a_hook_puts_is_not_stored_when_a_later_one_refuses() {
    let (huey, ..) = queue_with(|builder| {
        builder.hook(|request| {
            request.put("quota/used", &1_u32)?;
            Ok(Decision::Go)
        })
    });
    for what in ["refuse no", "panic no"] {
        job("task", what).enqueue(&huey).unwrap_err();
        assert_eq!(huey.keys("").unwrap(), [""; 0], "{what}");
    }
    let first = watched::enqueue(&huey, false).unwrap();
    assert_eq!(huey.get::<u32>("quota/used").unwrap(), Some(1));
    assert!(huey.get::<String>("quota/used").unwrap_err().is_codec());
    let _ = job("task", &format!("existing {}", first.id())).enqueue(&huey).unwrap();
}

#[test]
fn what_a_hook_puts_is_not_stored_beside_an_existing_job() {
    let (huey, ..) = queue_with(|builder| {
        builder.hook(|request| {
            let key = format!("seen/{}", request.id());
            request.put(&key, &())?;
            Ok(Decision::Go)
        })
    });
    let first = watched::enqueue(&huey, false).unwrap();
    let _ = job("task", &format!("existing {}", first.id())).enqueue(&huey).unwrap();
    assert_eq!(huey.keys("seen/").unwrap(), [format!("seen/{}", first.id())]);
}

fn polite(args: &mut greet, request: &mut EnqueueRequest<'_>) -> HookResult {
    if args.name.is_empty() {
        return Err("nobody to greet".into());
    }
    args.name = format!("Dear {}", args.name);
    request.header("polite", "yes");
    // The arguments are lent to this hook, and there is one of them.
    assert!(request.args::<greet>().is_none());
    Ok(Decision::Go)
}

fn shout(args: &mut greet, _: &mut EnqueueRequest<'_>) -> HookResult {
    args.name.push('!');
    Ok(Decision::Go)
}

#[task(hooks(polite, shout))]
fn greet(name: String) -> String {
    format!("Hello {name}")
}

#[task(hooks(|request| {
    let args = request.args_mut::<greet_typed>().ok_or("other arguments")?;
    args.number += 1;
    Ok(Decision::Go)
}))]
fn greet_typed(number: u32) -> u32 {
    number
}

#[test]
fn a_typed_hook_edits_the_arguments_by_name() {
    let (huey, ..) = queue();
    let greeted = greet::enqueue(&huey, "Ada".into()).unwrap();
    let counted = greet_typed::enqueue(&huey, 6).unwrap();
    run(&huey);
    assert_eq!(greeted.get().unwrap().unwrap(), "Hello Dear Ada!");
    assert_eq!(counted.get().unwrap(), Some(7));
    let error = greet::enqueue(&huey, String::new()).unwrap_err();
    assert_eq!(error.refused_by(), Some(("polite", "nobody to greet")));
}

#[task(hooks(again))]
fn once(name: String) -> String {
    name
}

static FIRST: Mutex<Option<JobId>> = Mutex::new(None);

fn again(args: &mut once, request: &mut EnqueueRequest<'_>) -> HookResult {
    assert!(!args.name.contains("panic"), "a typed hook");
    request.after_commit(|_| {});
    Ok(lock(&FIRST).map_or(Decision::Go, Decision::Existing))
}

#[test]
fn a_typed_hook_may_answer_with_an_existing_job_and_its_panic_refuses() {
    let (huey, ..) = queue();
    let first = once::enqueue(&huey, "one".into()).unwrap();
    *lock(&FIRST) = Some(first.id());
    let second = once::enqueue(&huey, "two".into()).unwrap();
    assert_eq!((second.id(), second.is_new()), (first.id(), false));
    let error = once::enqueue(&huey, "panic".into()).unwrap_err();
    assert_eq!(error.refused_by(), Some(("again", "it panicked: a typed hook")));
}

struct Quota {
    left: AtomicUsize,
}

impl EnqueueHook for Quota {
    fn on_enqueue(&self, _: &mut EnqueueRequest<'_>) -> HookResult {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(|_| Decision::Go).map_err(|_| "over quota".into())
    }

    fn name(&self) -> &'static str {
        "quota"
    }
}

#[test]
fn a_hook_with_state_is_named_as_it_says() {
    let (huey, ..) = queue_with(|builder| builder.hook_value(Quota { left: AtomicUsize::new(1) }));
    let _ = another::enqueue(&huey).unwrap();
    assert_eq!(another::enqueue(&huey).unwrap_err().refused_by(), Some(("quota", "over quota")));
}

#[test]
fn hooks_of_one_level_run_in_the_order_of_their_naming_and_the_first_refusal_ends_it() {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let numbered = |builder: HueyBuilder, number: u32| {
        let ran = Arc::clone(&ran);
        builder.hook(move |request| {
            lock(&ran).push(number);
            let ran = Arc::clone(&ran);
            request.after_commit(move |_| lock(&ran).push(10 * number));
            if number == 2 { Err("enough".into()) } else { Ok(Decision::Go) }
        })
    };
    let (huey, ..) = queue_with(|builder| [1, 2, 3].into_iter().fold(builder, numbered));
    another::enqueue(&huey).unwrap_err();
    assert_eq!(*lock(&ran), [1, 2, 20, 10]);
}

#[test]
fn a_panic_in_a_callback_leaves_the_job_and_the_other_callbacks_alone() {
    let told = Arc::new(AtomicUsize::new(0));
    let (huey, heard, _) = queue_with(|builder| {
        let told = Arc::clone(&told);
        builder.hook(move |request| {
            let told = Arc::clone(&told);
            request.after_commit(move |_| {
                told.fetch_add(1, Ordering::SeqCst);
            });
            request.after_commit(|_| panic!("a callback"));
            Ok(Decision::Go)
        })
    });
    let handle = another::enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(handle.get().unwrap(), Some(()));
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert_eq!(heard.list(), "enqueued executing complete");
}

#[test]
fn a_callback_hears_of_a_write_that_failed_and_no_signal_tells_of_it() {
    let (huey, heard, _) = hooked();
    huey.close().unwrap();
    let seen = Arc::new(Mutex::new(None));
    let (closed, ..) = queue_with(|builder| {
        let seen = Arc::clone(&seen);
        builder.hook(move |request| {
            let (seen, id) = (Arc::clone(&seen), request.id());
            request.after_commit(move |outcome| *lock(&seen) = Some((id, outcome.clone())));
            Ok(Decision::Go)
        })
    });
    // The first enqueue sets ids aside, so that the second one gets to the hooks.
    let _ = another::enqueue(&closed).unwrap();
    closed.close().unwrap();
    let error = another::enqueue(&closed).unwrap_err();
    assert!(error.is_closed(), "{error}");
    let (_, outcome) = lock(&seen).take().unwrap();
    assert_eq!(outcome, EnqueueOutcome::Failed(error.to_string()));
    assert_eq!(heard.list(), "");
}

#[test]
fn hooks_run_once_per_job_and_not_for_its_retries_when_it_is_due_or_when_it_is_moved() {
    let clock = VirtualClock::starting_at(huey::Timestamp::from_micros(0));
    let ran = Arc::new(AtomicUsize::new(0));
    let (huey, _, stage) = queue_with(|builder| {
        let ran = Arc::clone(&ran);
        let hook = move |_: &mut EnqueueRequest<'_>| {
            ran.fetch_add(1, Ordering::SeqCst);
            Ok(Decision::Go)
        };
        builder.clock(clock.clock()).retry_delay(Duration::from_secs(5)).hook(hook)
    });
    let handle = watched::job(true).retries(2).delay(Duration::from_secs(9)).enqueue(&huey).unwrap();
    handle.reschedule(clock.clock().now() + Duration::from_secs(5)).unwrap();
    for _ in 0..4 {
        run(&huey);
        clock.advance(Duration::from_secs(5));
    }
    assert_eq!(handle.status().unwrap(), JobState::Dead);
    assert_eq!(stage.notes().len(), 3);
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

static FAR: Decorator = Decorator::new().retries(1).priority(1).timeout(Duration::from_secs(1)).queue("far");
static NEAR: Decorator = Decorator::new().within(&FAR).retries(2).priority(2).timeout(Duration::from_secs(2));

#[task(NEAR, retries = 3, priority = 3)]
fn nested() -> Result<(), &'static str> {
    Err("no")
}

#[task]
fn bare() -> Result<(), &'static str> {
    Err("no")
}

#[test]
fn the_nearest_choice_wins_from_the_hook_to_the_queue() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (huey, ..) = queue_with(|builder| {
        let seen = Arc::clone(&seen);
        builder.retries(9).timeout(Duration::from_secs(9)).default_queue("home").hook(move |request| {
            let queue = request.queue().to_owned();
            lock(&seen).push((request.retries(), request.priority(), request.timeout().map(|t| t.as_secs()), queue));
            if request.headers().iter().any(|(name, _)| name == "hook") {
                request.set_retries(5);
            }
            Ok(Decision::Go)
        })
    });
    let _ = bare::enqueue(&huey).unwrap();
    let _ = nested::enqueue(&huey).unwrap();
    let _ = nested::job().retries(4).priority(4).timeout(Duration::from_secs(4)).queue("near").enqueue(&huey).unwrap();
    let by_hook = nested::job().retries(4).header("hook", "").enqueue(&huey).unwrap();
    let home = |name: &str| name.to_owned();
    let expected = [
        (9, 0, Some(9), home("home")), // the queue's
        (3, 3, Some(2), home("far")),  // the task's, the inner decorator's, the outer one's
        (4, 4, Some(4), home("near")), // the caller's
        (4, 3, Some(2), home("far")),
    ];
    assert_eq!(*lock(&seen), expected);
    huey.consumer().workers(1).queues(["far"]).run_until_idle().unwrap();
    assert_eq!(by_hook.get().unwrap_err().task_error().unwrap().attempt, 6, "the hook's retries were held to");
}

#[test]
fn a_second_header_of_one_name_replaces_the_first() {
    let (huey, heard, _) = queue_with(|builder| {
        builder.hook(|request| {
            request.header("who", "hook");
            Ok(Decision::Go)
        })
    });
    let _ = another::job().header("who", "caller").header("who", "caller again").enqueue(&huey).unwrap();
    let signal = heard.find(SignalKind::Enqueued).unwrap();
    assert_eq!(signal.headers.to_vec(), [("who".to_owned(), "hook".to_owned())]);
}

#[test]
fn a_handle_tells_new_from_existing_also_from_async_code() {
    let (huey, ..) = hooked();
    let first: JobHandle<Seen> = block_on(watched::enqueue_async(&huey, false)).unwrap();
    let again = job("outer", &format!("existing {}", first.id()));
    let second = block_on(again.enqueue_async(&huey)).unwrap();
    assert_eq!((first.is_new(), second.is_new(), second.id()), (true, false, first.id()));
    let refused = block_on(job("inner", "refuse no").enqueue_async(&huey)).unwrap_err();
    assert!(refused.is_refused());
}
