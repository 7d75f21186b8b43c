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
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::unnecessary_wraps, clippy::unused_async, reason = "the forms are the matter")]

mod forms;
mod keys;
mod places;

use std::sync::Arc;
use std::task::{Context as Waking, Poll, Waker};

use huey::__private::{Body, Call, Data, Definition, Failure, decode, encode};
use huey::{Registered, Task, task};

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
