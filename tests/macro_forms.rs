//! Every legal form of a task, under strict lints: what compiles here must stay silent, and what runs must run.
#![forbid(unsafe_code)]
#![deny(
    missing_docs,
    missing_debug_implementations,
    unused,
    unreachable_pub,
    non_camel_case_types,
    non_local_definitions,
    clippy::all,
    clippy::pedantic
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Waking, Poll, Waker};
use std::time::Duration;

use huey::__private::{Body, Call, Data, Definition, Failure, decode, encode};
use huey::{Context, Decision, Decorator, EnqueueHook, EnqueueRequest, HookResult, Huey, Registered, Task, task};

/// Runs a task's body from stored arguments to its stored result.
fn run<T: Task>(args: &T, data: Data) -> Result<T::Output, Failure> {
    let call = Call { args: encode(args).expect("the arguments are encodable"), data, context: Arc::new(()) };
    let bytes = match T::DEFINITION.body {
        Body::Plain(body) => body(&call)?,
        Body::Async(body) => match body(call).as_mut().poll(&mut Waking::from_waker(Waker::noop())) {
            Poll::Ready(ended) => ended?,
            Poll::Pending => panic!("the body waits for nothing"),
        },
    };
    Ok(decode(&bytes).expect("the result is decodable"))
}

fn definition<T: Task>(_: &huey::Job<T>) -> &'static Definition {
    T::DEFINITION
}

fn data<T: Send + Sync + 'static>(value: T) -> Data {
    let mut data = Data::default();
    data.put(Arc::new(value));
    data
}

/// Adds two numbers.
#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[test]
fn a_task_stays_a_function_and_runs_from_stored_arguments() {
    assert_eq!(add(1, 2), 3);
    assert_eq!(run(&add { a: 1, b: 2 }, Data::default()).unwrap(), 3);
    assert_eq!(run(add::job(3, 4).args(), Data::default()).unwrap(), 7);
    assert_eq!(<add as Task>::DEFINITION.name, "macro_forms::add");
    assert_eq!(<add as Task>::DEFINITION.file, file!());
}

#[test]
fn a_task_is_in_the_registry() {
    let all = huey::__private::inventory::iter::<&'static huey::__private::Registration>;
    assert!(all.into_iter().any(|found| std::ptr::eq(*found, <add as Registered>::REGISTRATION)));
}

#[test]
fn arguments_of_another_shape_are_unreadable() {
    let call = Call { args: encode(&1_u8).unwrap(), data: Data::default(), context: Arc::new(()) };
    let Body::Plain(body) = <add as Task>::DEFINITION.body else { panic!("`add` is a plain function") };
    assert!(matches!(body(&call), Err(Failure::Unreadable(_))));
}

mod forms {
    //! Parameters and results.
    use super::{Arc, AtomicUsize, Context, Data, Duration, Failure, Ordering, data, definition, run, task};

    type Fallible<T> = Result<T, std::io::Error>;

    #[task]
    fn nothing() {}

    #[task]
    async fn nothing_async() {}

    #[task]
    #[allow(clippy::unused_unit, reason = "the form is the matter")]
    fn unit(_a: u8) -> () {}

    #[task]
    const fn constant(a: u8) -> u8 {
        a
    }

    #[task]
    fn mutable(mut list: Vec<u8>) -> Vec<u8> {
        list.push(1);
        list
    }

    #[task]
    fn r#move(r#type: String) -> String {
        r#type
    }

    #[task]
    fn same_name(same_name: u8) -> u8 {
        same_name
    }

    #[task]
    fn called_huey(huey: String, call: u8, args: u8) -> String {
        format!("{huey}{call}{args}")
    }

    #[task]
    fn call(args: u8) -> u8 {
        args
    }

    #[task]
    fn alias(fail: bool) -> Fallible<u8> {
        if fail { Err(std::io::Error::other("disk")) } else { Ok(1) }
    }

    #[task]
    fn io_alias() -> std::io::Result<u8> {
        Ok(2)
    }

    #[task]
    async fn anyhow_alias(fail: bool) -> anyhow::Result<u8> {
        if fail {
            return Err(anyhow::Error::new(huey::Retry::after(Duration::from_secs(9))).context("later"));
        }
        Ok(3)
    }

    #[task]
    fn text_error() -> Result<(), &'static str> {
        Err("plain text")
    }

    #[task]
    fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8) -> u32 {
        [a, b, c, d, e, f, g].iter().map(|n| u32::from(*n)).sum()
    }

    #[allow(clippy::too_many_arguments, reason = "the form is the matter")]
    #[task]
    fn sixteen(
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
        m: u8,
        n: u8,
        o: u8,
        p: u8,
    ) -> u8 {
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].into_iter().max().unwrap_or(0)
    }

    pub(super) trait Greeter: Send + Sync {
        fn greet(&self, name: &str) -> String;
    }
    struct English;
    impl Greeter for English {
        fn greet(&self, name: &str) -> String {
            format!("Hello {name}")
        }
    }

    #[task]
    fn counted(#[data] count: &AtomicUsize, by: usize) -> usize {
        count.fetch_add(by, Ordering::Relaxed)
    }

    #[task]
    async fn greet(name: String, #[data] greeter: &dyn Greeter) -> String {
        std::future::ready(()).await;
        greeter.greet(&name)
    }

    #[task]
    async fn with_context(#[ctx] ctx: &Context, #[data] count: &AtomicUsize, by: usize) -> usize {
        std::future::ready(()).await;
        count.fetch_add(by, Ordering::Relaxed) + usize::try_from(ctx.attempt()).unwrap_or(0)
    }

    #[task]
    fn plain_context(#[ctx] ctx: &huey::Context) -> u32 {
        ctx.attempt()
    }

    #[test]
    fn what_is_stored_reaches_the_function_and_its_value_comes_back() {
        let none = Data::default;
        run(nothing::job().args(), none()).unwrap();
        run(nothing_async::job().args(), none()).unwrap();
        run(unit::job(1).args(), none()).unwrap();
        assert_eq!(run(constant::job(1).args(), none()).unwrap(), 1);
        assert_eq!(run(mutable::job(vec![7]).args(), none()).unwrap(), [7, 1]);
        assert_eq!(run(r#move::job("x".into()).args(), none()).unwrap(), "x");
        assert_eq!(run(same_name::job(5).args(), none()).unwrap(), 5);
        assert_eq!(run(called_huey::job("x".into(), 1, 2).args(), none()).unwrap(), "x12");
        assert_eq!(run(call::job(5).args(), none()).unwrap(), 5);
        assert_eq!(run(many::job(1, 2, 3, 4, 5, 6, 7).args(), none()).unwrap(), 28);
        let most = sixteen::job(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
        assert_eq!(run(most.args(), none()).unwrap(), 16);
    }

    #[test]
    fn a_result_by_any_name_yields_its_value_or_its_error() {
        let none = Data::default;
        assert_eq!(run(alias::job(false).args(), none()).unwrap(), 1);
        assert_eq!(run(io_alias::job().args(), none()).unwrap(), 2);
        assert_eq!(run(anyhow_alias::job(false).args(), none()).unwrap(), 3);
        let failed = |ended: Failure| matches!(ended, Failure::Failed { .. });
        assert!(failed(run(alias::job(true).args(), none()).unwrap_err()));
        assert!(failed(run(text_error::job().args(), none()).unwrap_err()));
        let retried = run(anyhow_alias::job(true).args(), none()).unwrap_err();
        assert!(matches!(retried, Failure::Retry { after } if after.as_secs() == 9));
    }

    #[test]
    fn data_is_borrowed_by_its_type() {
        assert_eq!(run(counted::job(2).args(), data(AtomicUsize::new(3))).unwrap(), 3);
        let mut greeter = Data::default();
        greeter.put::<dyn Greeter>(Arc::new(English));
        assert_eq!(run(greet::job("Ada".into()).args(), greeter).unwrap(), "Hello Ada");
        assert!(matches!(run(counted::job(2).args(), Data::default()), Err(Failure::MissingData(_))));
        let needs = |definition: &huey::__private::Definition| definition.needs.len();
        assert_eq!(needs(definition(&greet::job(String::new()))), 1);
        assert_eq!(needs(definition(&with_context::job(1))), 1);
        assert_eq!(needs(definition(&plain_context::job())), 0);
    }

    #[test]
    fn raw_names_are_stored_without_their_prefix() {
        assert_eq!(definition(&r#move::job(String::new())).name, "macro_forms::forms::move");
    }
}

mod keys {
    //! Every key, as a literal and as an expression.
    use super::{
        AtomicUsize, Decision, Decorator, Duration, EnqueueHook, EnqueueRequest, HookResult, Ordering, Registered,
        Task, task,
    };
    use huey::{Delivery, Durability};

    static CRITICAL: Decorator = Decorator::new().retries(9).priority(3);
    const MINUTE: Duration = Duration::from_secs(60);

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
        assert_eq!(options.max_delay, Some(Duration::from_secs(3600)));
        assert_eq!(options.jitter, Some(0.1));
        assert_eq!(options.expires, Some(Duration::from_secs(2 * 86_400)));
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

    #[allow(clippy::unnecessary_wraps, reason = "a hook's form")]
    fn audit(request: &mut EnqueueRequest<'_>) -> HookResult {
        request.header("actor", "test");
        Ok(Decision::Go)
    }

    #[allow(clippy::unnecessary_wraps, reason = "a hook's form")]
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
        assert_eq!(names.get(..5), Some(&["audit", "polite", "quota(100)", "COUNT", "self::audit"][..]));
        assert!(names.last().is_some_and(|name| name.starts_with("|r|")), "{names:?}");
    }
}

mod places {
    //! Where a task may stand, and how it is named from elsewhere.
    use super::{Huey, definition, task};

    pub(super) mod inner {
        //! A module of tasks.
        use huey::task;

        /// Seen by the crate.
        #[task]
        pub(crate) fn crate_wide(a: u8, b: u8) -> u8 {
            a + b
        }

        /// Seen by the parent.
        #[task]
        pub(super) fn for_parent(a: u8) -> u8 {
            a
        }

        /// Seen by a path.
        #[task]
        pub(in crate::places) fn for_path(a: u8) -> u8 {
            a
        }

        /// An old one.
        #[deprecated = "use another"]
        #[task]
        pub(crate) fn old() {}

        #[cfg(any())]
        #[task]
        pub(crate) fn removed_before(a: NoSuchType) {}

        #[task]
        #[cfg(any())]
        pub(crate) fn removed_after(a: NoSuchType) {}

        #[task]
        #[cfg(all())]
        pub(crate) fn kept() {}
    }

    use inner::crate_wide as renamed;
    #[allow(clippy::wildcard_imports, reason = "the form is the matter")]
    mod by_glob {
        use super::inner::*;

        #[test]
        fn a_glob_brings_both() {
            assert_eq!(crate_wide(1, 2), crate_wide::job(1, 2).args().a + 2);
        }
    }

    macro_rules! tasks {
        ($($name:ident ($arg:ident: $ty:ty) -> $ret:ty = $value:expr, $retries:expr;)*) => { $(
            #[task(retries = $retries)]
            fn $name(#[data] shared: &$ty, $arg: $ty) -> $ret {
                let _ = (shared, $arg);
                $value
            }
        )* };
    }
    tasks! {
        generated(list: Vec<u8>) -> u8 = 1, 2;
        generated_too(text: String) -> Result<u8, std::io::Error> = Ok(1), 4 - 1;
    }

    macro_rules! by_reference {
        ($name:ident, $ty:ty) => {
            #[task]
            fn $name(#[data] shared: $ty, own: u8) -> u8 {
                let _ = shared;
                own
            }
        };
    }
    by_reference!(generated_reference, &String);

    #[test]
    fn tasks_are_found_by_every_way_to_name_them() {
        assert_eq!(renamed(1, 2), renamed::job(1, 2).args().b + 1);
        assert_eq!(definition(&inner::for_parent::job(1)).name, "macro_forms::places::inner::for_parent");
        assert_eq!(definition(&inner::for_path::job(1)).options.retries, None);
        assert_eq!(definition(&inner::kept::job()).needs.len(), 0);
        #[allow(deprecated)]
        let old = inner::old::job();
        assert_eq!(definition(&old).line, definition(&old).line);
    }

    #[test]
    fn a_macro_makes_tasks() {
        assert_eq!(definition(&generated::job(vec![])).options.retries, Some(2));
        assert_eq!(definition(&generated_too::job(String::new())).options.retries, Some(3));
        assert_eq!(definition(&generated_reference::job(1)).needs.len(), 1);
    }

    #[test]
    fn a_task_may_stand_inside_a_function_and_a_binding_beside_its_type() {
        #[task]
        fn welcome(name: String) -> String {
            name
        }
        let welcome = welcome::job("Ada".into());
        assert_eq!(welcome.args().name, "Ada");
        match 3 {
            crate_wide => assert_eq!(crate_wide, 3),
        }
    }

    #[allow(dead_code, reason = "what is compiled is the test")]
    async fn enqueued(huey: &Huey) -> huey::Result<()> {
        renamed::enqueue(huey, 1, 2)?;
        let later = renamed::enqueue_async(&huey.clone(), 1, 2);
        later.await?;
        inner::kept::enqueue(huey)?;
        renamed::job(1, 2).priority(3).enqueue(huey)?;
        let step: huey::Step<renamed> = renamed::with(2);
        assert_eq!(step.join(1).a, 1);
        inner::kept::with().join(());
        Ok(())
    }

    mod other_names {
        //! A dependency by another name.
        use huey as queue;

        #[queue::task(crate = "crate::places::other_names::queue", name = "renamed")]
        fn dependency(a: u8) -> Result<u8, queue::BoxError> {
            Ok(a)
        }

        #[test]
        fn the_path_of_the_crate_is_given() {
            assert_eq!(dependency::job(3).args().a, 3);
        }
    }

    mod without_prelude {
        //! Nothing that the expansion names can be shadowed.
        #![no_implicit_prelude]
        #![allow(dead_code, non_camel_case_types, missing_debug_implementations)]
        use ::huey::task;

        struct Result;
        struct Option;
        struct Some;
        struct Duration;
        mod core {}
        mod std {}
        mod serde {}

        #[task(retries = 3, timeout = "3s", hooks(|_| ::std::result::Result::Ok(::huey::Decision::Go)))]
        async fn alone(#[data] a: &::std::string::String, b: ::std::vec::Vec<u8>) -> ::std::primitive::usize {
            a.len() + b.len()
        }
    }
}
