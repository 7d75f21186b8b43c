//! Every key, as a literal and as an expression.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use huey::{
    Decision, Decorator, Delivery, Durability, EnqueueHook, EnqueueRequest, HookResult, Registered, Task, task,
};

static CRITICAL: Decorator = Decorator::new().retries(9).priority(3);
const MINUTE: Duration = Duration::from_mins(1);

#[task(
    crate::keys::CRITICAL,
    name = "shop::everything",
    queue = "mail",
    priority = -5,
    retries = 3,
    retry_delay = "10s",
    backoff = 2.0,
    max_delay = "1h",
    jitter = 0.1,
    expires = "2d",
    timeout = "1500ms",
    retention = "0s",
    delivery = at_most_once,
    durability = relaxed,
    crash_limit = 0
)]
fn literals() {}

#[task(
    decorator = CRITICAL,
    priority = 10 - 4,
    retries = u32::MAX / 2,
    retry_delay = MINUTE,
    backoff = 2,
    jitter = 1.0 / 4.0,
    timeout = Duration::from_secs(5),
    delivery = at_least_once,
    durability = synced,
    crate = "huey",
)]
fn expressions() {}

#[test]
fn each_key_becomes_its_option() {
    let options = <literals as Task>::DEFINITION.options;
    assert_eq!(<literals as Task>::DEFINITION.name, "shop::everything");
    assert_eq!(options.queue, Some("mail"));
    assert_eq!(options.priority, Some(-5));
    assert_eq!(options.retries, Some(3));
    assert_eq!(options.retry_delay, Some(Duration::from_secs(10)));
    assert_eq!(options.backoff, Some(2.0));
    assert_eq!(options.max_delay, Some(Duration::from_hours(1)));
    assert_eq!(options.jitter, Some(0.1));
    assert_eq!(options.expires, Some(Duration::from_hours(48)));
    assert_eq!(options.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(options.retention, Some(Duration::ZERO));
    assert_eq!(options.delivery, Some(Delivery::AtMostOnce));
    assert_eq!(options.durability, Some(Durability::Relaxed));
    assert_eq!(options.crash_limit, Some(0));

    let options = <expressions as Registered>::REGISTRATION.options();
    assert_eq!(options.priority, Some(6));
    assert_eq!(options.retries, Some(u32::MAX / 2));
    assert_eq!(options.retry_delay, Some(MINUTE));
    assert_eq!(options.backoff, Some(2.0));
    assert_eq!(options.jitter, Some(0.25));
    assert_eq!(options.timeout, Some(Duration::from_secs(5)));
    assert_eq!(options.delivery, Some(Delivery::AtLeastOnce));
    assert_eq!(options.durability, Some(Durability::Synced));
    assert_eq!(options.queue, None);
}

struct Count(AtomicUsize);
impl EnqueueHook for Count {
    fn on_enqueue(&self, _: &mut EnqueueRequest<'_>) -> HookResult {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Decision::Go)
    }
}
static COUNT: Count = Count(AtomicUsize::new(0));

fn audit(request: &mut EnqueueRequest<'_>) -> HookResult {
    request.header("actor", "test");
    Ok(Decision::Go)
}

fn polite(args: &mut hooked, _: &mut EnqueueRequest<'_>) -> HookResult {
    args.name = format!("Dear {}", args.name);
    Ok(Decision::Go)
}

const fn quota(most: usize) -> impl Fn(&mut EnqueueRequest<'_>) -> HookResult + Send + Sync {
    move |request| if request.headers().len() > most { Err("too many".into()) } else { Ok(Decision::Go) }
}

#[task(hooks(audit, polite, quota(100), COUNT, self::audit, |r| {
    r.header("by", "closure");
    Ok(Decision::Go)
}))]
fn hooked(name: String) -> String {
    name
}

#[test]
fn hooks_have_the_names_that_stand_in_the_list() {
    let names: Vec<_> = <hooked as Registered>::REGISTRATION.hooks.iter().map(|hook| hook.name()).collect();
    assert_eq!(names, ["audit", "polite", "quota(100)", "COUNT", "self::audit", "|r| .."]);
}
