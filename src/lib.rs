pub use huey_core::*;
pub use huey_macros::task;

#[doc(hidden)]
pub mod __private {
    pub use huey_core::__private::*;
}
