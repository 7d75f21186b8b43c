use huey::{Decision, EnqueueRequest, HookResult, task};

fn takes_a_number(_: u8) -> HookResult {
    Ok(Decision::Go)
}

fn of_another_task(_: &mut other, _: &mut EnqueueRequest<'_>) -> HookResult {
    Ok(Decision::Go)
}

struct NoHook;

#[task]
fn other() {}

#[task(hooks(takes_a_number))]
fn first(id: u64) {
    let _ = id;
}

#[task(hooks(of_another_task))]
fn second(id: u64) {
    let _ = id;
}

#[task(hooks(|request| request.id(), NoHook, missing))]
fn third(id: u64) {
    let _ = id;
}

fn main() {}
