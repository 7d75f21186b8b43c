//! Where a task may stand, and how it is named from elsewhere.
use huey::{Huey, task};

use super::definition;

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
    #[cfg(not(any()))]
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
    let of_the_same_name = |crate_wide: u8| crate_wide;
    assert_eq!(of_the_same_name(3), 3);
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
