//! The tasks of programs, and what their bodies do.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use huey::testing::SimDisk;
use huey::{BoxError, Cancel, Context, Fatal, Result, Retry, Stopped, TaskError, task};

use crate::words::Act;

/// What bodies and hooks reach of the stage.
#[derive(Default)]
pub(super) struct Props {
    pub(super) disk: Option<SimDisk>,
    pub(super) hooks: AtomicUsize,
    pub(super) callbacks: Arc<AtomicUsize>,
}

fn play(props: &Props, ctx: &Context, acts: &[Act], value: u64) -> Result<u64, BoxError> {
    let act = acts.get(ctx.attempt() as usize - 1).or(acts.last()).copied().unwrap_or(Act::Well);
    match act {
        Act::Well => {}
        Act::Fail => return Err("it fails".into()),
        Act::Panic => panic!("it panics"),
        Act::Fatal => return Err(Fatal::new("it is over").into()),
        Act::GiveUp => return Err(Cancel::because("it gives up").into()),
        Act::Late => return Err(Stopped::Deadline.into()),
        Act::Again(after) => return Err(Retry::after(Duration::from_secs(after.into())).into()),
        Act::Report => ctx.progress(1, 2, "half")?,
        Act::Call => drop(alpha::job(Vec::new()).enqueue(ctx.huey()?)?),
        Act::CancelSelf => {
            ctx.huey()?.cancel(ctx.id())?;
            return Err("it was canceled".into());
        }
        Act::Die | Act::DieOfPower => {
            let disk = props.disk.as_ref().expect("only a simulated process dies");
            if act == Act::Die {
                disk.kill();
            } else {
                disk.power_cut();
            }
            // The process is gone: nobody may insist on settling.
            let _ = ctx.huey()?.close();
            return Err("nobody hears this".into());
        }
    }
    Ok(value + 1)
}

#[task]
pub(super) fn alpha(#[data] props: &Props, #[ctx] ctx: &Context, acts: Vec<Act>) -> Result<u64, BoxError> {
    play(props, ctx, &acts, 0)
}

/// May start only once.
#[task(delivery = at_most_once)]
pub(super) fn beta(#[data] props: &Props, #[ctx] ctx: &Context, acts: Vec<Act>) -> Result<u64, BoxError> {
    play(props, ctx, &acts, 0)
}

#[task]
pub(super) fn next(#[data] props: &Props, #[ctx] ctx: &Context, before: u64, acts: Vec<Act>) -> Result<u64, BoxError> {
    play(props, ctx, &acts, before)
}

#[task]
pub(super) fn gather(
    #[data] props: &Props,
    #[ctx] ctx: &Context,
    all: Vec<u64>,
    acts: Vec<Act>,
) -> Result<u64, BoxError> {
    play(props, ctx, &acts, all.iter().sum())
}

#[task]
pub(super) fn settle(
    #[data] props: &Props,
    #[ctx] ctx: &Context,
    all: Vec<Result<u64, TaskError>>,
    acts: Vec<Act>,
) -> Result<u64, BoxError> {
    play(props, ctx, &acts, all.into_iter().map(|one| one.unwrap_or(100)).sum())
}

#[task]
pub(super) fn mourn(
    #[data] props: &Props,
    #[ctx] ctx: &Context,
    _error: TaskError,
    acts: Vec<Act>,
) -> Result<u64, BoxError> {
    play(props, ctx, &acts, 1_000)
}

pub(super) fn secs(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
