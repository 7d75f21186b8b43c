//! The `#[task]` attribute of the huey task queue. Programs use it through the `huey` crate.
//!
//! The arguments are parsed (`args`, `keys`, `values`), the function is parsed (`model`) and held against the
//! rules (`validate`); a sound task is expanded (`expand`, `checks`), a faulty one becomes its errors and as much
//! of a task as keeps them from causing others (`fallback`).

mod args;
mod by;
mod checks;
mod duration;
mod errors;
mod expand;
mod fallback;
mod keys;
mod limits;
mod model;
mod schedule;
mod signature;
mod unique;
mod validate;
mod values;

use proc_macro::TokenStream;
use quote::quote;

/// Makes a task of a function.
///
/// The function stays what it is: calling it runs it here and now. Beside it stands a type of the same name that holds
/// the arguments as fields, and on it:
///
/// - `welcome::job(..)`: a job with these arguments, to be given a delay, a priority and so on before it is enqueued;
/// - `welcome::enqueue(&huey, ..)`: stores a job, returns its handle;
/// - `welcome::enqueue_async(&huey, ..)`: the same without blocking a thread;
/// - `welcome::map(&huey, [(7, "Ada".into())])`: stores a job for each tuple of arguments, all or none; `map_async` too;
/// - `welcome::with(..)`: every argument but the first, for the next step of a chain: `other::job(..).then(welcome::with(..))`;
/// - `welcome::NAME`: the stored name.
///
/// ```
/// use huey::{Huey, task};
///
/// pub struct Mailer;
///
/// #[task(retries = 3, retry_delay = "10s", backoff = 2.0)]
/// fn welcome(#[data] mailer: &Mailer, user: u64, name: String) -> Result<String, std::io::Error> {
///     let _ = (mailer, user);
///     Ok(format!("Dear {name}"))
/// }
///
/// # fn enqueue(huey: &Huey) -> huey::Result<()> {
/// welcome::enqueue(huey, 7, "Ada".into())?;
/// welcome::job(8, "Grace".into()).priority(10).enqueue(huey)?;
/// # Ok(())
/// # }
/// assert_eq!(welcome(&Mailer, 7, "Ada".into()).unwrap(), "Dear Ada");
/// ```
///
/// # Parameters
///
/// - A plain one is stored: its type is owned, `Serialize`, `Deserialize` and `Send`. Sixteen at most.
/// - `#[data] mailer: &Mailer` is borrowed from the data that the program gave to the queue; `&dyn Trait` too.
/// - `#[ctx] ctx: &Context` is the running job's context.
///
/// The output is `T`, for a function that returns `T` or `Result<T, E>` by any name. `E` is anything that converts into
/// `Box<dyn Error + Send + Sync>`.
///
/// # Keys
///
/// A bare path is a decorator: `#[task(CRITICAL, retries = 3)]`, for `static CRITICAL: Decorator`. Durations are a
/// whole number and a unit (ms, s, m, h or d) in quotes, or any constant expression of type `Duration`; numbers may be
/// any constant expression of their type. What is left out is taken from the decorator, then from the queue.
///
/// | key | meaning |
/// |---|---|
/// | `name = "shop::welcome"` | the stored name; else the function's path, so that moving the function parks its stored jobs |
/// | `alias = "shop::hello"` | a name that the task had before: its stored jobs, results and schedules stay its own; `alias("oldest", "newer")` for several |
/// | `version = 2` | a `u32` of 1 or more: the version of the stored form of the parameters. Without one, a job fits while the names and types of the parameters are what they were; with one, while it is the same |
/// | `upgrade = from_version_1` | the path of a `fn(&StoredArgs<'_>) -> Result<welcome, E>`, which makes today's arguments of those of another version; without it such jobs are parked |
/// | `decorator = CRITICAL` | the same as the bare path |
/// | `hooks(audit, polite)` | code that sees each enqueue: paths, calls of `const fn`, statics and closures, run in this order |
/// | `queue = "mail"` | the queue of the jobs |
/// | `priority = 10` | an `i16`; higher runs first |
/// | `retries = 3` | a `u32`: how many more attempts a failed job is given |
/// | `retry_delay = "10s"` | the wait before the first retry |
/// | `backoff = 2.0` | an `f64` of 1 or more: what each wait is multiplied by to give the next |
/// | `max_delay = "1h"` | the longest wait before a retry |
/// | `jitter = 0.1` | an `f64` from 0 to 1: the part of a wait by which it may be changed at random |
/// | `unique` | at most one job of the task waits or runs at a time; an enqueue beside it gets that one |
/// | `lock = "ledger"` | one job at a time of all tasks that name the lock; `lock(by(account))` for each value of these arguments, `lock("ledger", by(account))` both |
/// | `max_running = 4` | at most so many of the task run at once; `max_running(1, by(user))` for each value of these arguments |
/// | `rate(100, "1s")` | at most so many are begun in any span of this length; `rate("mailgun", 100, "1s")` of all tasks that name it, `by(user)` for each value |
/// | `unique(by(user), scope = pending, on_conflict = reject)` | one for each value of these arguments; `key = path` takes a function of `&welcome`; `scope` is `pending`, `active` or `window("1h")`, `on_conflict` is `existing`, `reject` or `replace` |
/// | `cron = "*/5 * * * *"` | makes a job at these times, of a task without stored arguments: minute, hour, day of the month, month and weekday, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly` |
/// | `tz = "Europe/Berlin"` | the time zone of `cron`, by its IANA name; UTC if there is none; checked when the queue is opened |
/// | `every = "5m"` | makes a job every so often, counted from the Unix epoch; at least a second |
/// | `overlap = queue_one` | what becomes of a tick while a job of the task is active: `skip` (the default), `queue_one` or `allow` |
/// | `missed = all(10)` | what becomes of ticks that are seen more than 60 s late: `skip` (the default), `once`, or `all(n)` for the newest n |
/// | `expires = "1h"` | how long after its enqueueing a job may be picked up |
/// | `timeout = "30s"` | how long one attempt may take |
/// | `retention = "1d"` | how long a result is kept; `"0s"` keeps none |
/// | `delivery = at_most_once` | or `at_least_once`: whether a job whose consumer died is started again |
/// | `durability = relaxed` | or `synced`: whether an enqueue returns before the job is on the disk |
/// | `crash_limit = 3` | a `u8`: in how many crashes of its consumer a job may be running before it is dead; 0 for any number |
/// | `crate = "renamed_huey"` | the path of the `huey` crate, if it has another name here |
///
/// # The name
///
/// The type shares its name with every type, module and crate beside it. A file `welcome.rs` whose task `welcome` is
/// re-exported beside `mod welcome` does not compile: give the file or the task another name. The type is as visible as
/// the function, so the arguments and the output of a `pub` task are of `pub` types. In a doc link, write
/// ``[`welcome()`]`` for the function and ``[`struct@welcome`]`` for the type.
#[proc_macro_attribute]
pub fn task(args: TokenStream, item: TokenStream) -> TokenStream {
    expand(args.into(), &item.into()).into()
}

fn expand(args: proc_macro2::TokenStream, item: &proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let mut errors = errors::Errors::default();
    let args = args::Args::read(args, &mut errors);
    let Some(function) = errors.keep(syn::parse2::<model::Function>(item.clone())) else {
        let errors = errors.into_tokens();
        return quote!(#item #errors);
    };
    let task = validate::task(function, args, &mut errors);
    match errors.into_tokens() {
        None => expand::task(&task),
        Some(errors) => {
            let task = fallback::task(&task);
            quote!(#task #errors)
        }
    }
}
