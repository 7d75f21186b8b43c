//! Bodies that stay until the test lets them pass.

use huey::task;

use crate::support::Stage;

#[task]
pub(crate) fn gated(#[data] stage: &Stage) {
    stage.note("gated");
    stage.pass();
}

#[task]
pub(crate) async fn gated_async(#[data] stage: &Stage) {
    stage.note("gated");
    stage.pass_async().await;
}

/// Ignores its deadline.
#[task(timeout = "20ms")]
pub(crate) fn deaf(#[data] stage: &Stage) {
    stage.note("deaf");
    stage.pass();
}
