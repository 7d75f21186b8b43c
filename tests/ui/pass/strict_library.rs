//! Public tasks, as a library has them, under every lint that a strict one denies.
#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    missing_copy_implementations,
    rust_2018_idioms,
    single_use_lifetimes,
    unnameable_types,
    unreachable_pub,
    unused,
    unused_lifetimes,
    unused_qualifications,
    unused_results
)]

/// Tasks of a shop.
pub mod shop {
    use huey::{Context, Decision, EnqueueRequest, HookResult, task};

    /// Adds; see [`add()`].
    #[task(retries = 3, hooks(audit, polite, |_| Ok(Decision::Go)))]
    pub fn add(a: i64, b: i64) -> i64 {
        a + b
    }

    /// Waits.
    #[task(timeout = "3s")]
    pub async fn wait(
        name: String,
        #[data] shared: &std::sync::Mutex<u8>,
        #[ctx] _ctx: &Context,
    ) -> Result<String, huey::BoxError> {
        std::future::ready(()).await;
        Ok(format!("{name} {shared:?}"))
    }

    /// An old one.
    #[deprecated]
    #[task]
    pub fn old(names: Vec<String>) -> usize {
        names.len()
    }

    fn audit(request: &mut EnqueueRequest<'_>) -> HookResult {
        request.header("actor", "shop");
        Ok(Decision::Go)
    }

    fn polite(args: &mut add, _: &mut EnqueueRequest<'_>) -> HookResult {
        args.a += 1;
        Ok(Decision::Go)
    }
}

fn main() {
    assert_eq!(shop::add::job(1, 2).args().b, 2);
}
