//! Orders and flows as jobs and chains.

use huey::{Group, OnConflict, Scope, Unique};

use super::tasks::{alpha, beta, gather, mourn, next, secs, settle};
use crate::words::{Clash, First, Flow, Hold, Task};

/// A job with the terms of an order, whose hook points to a job if it is to.
macro_rules! with_terms {
    ($job:expr, $order:expr, $target:expr) => {{
        let order: &$crate::words::Order = $order;
        let mut job = $job.delay(secs(order.delay)).priority(order.priority).retries(order.retries);
        job = job.durability(if order.relaxed { huey::Durability::Relaxed } else { huey::Durability::Synced });
        if let Some(after) = order.expires {
            job = job.expires(secs(after));
        }
        if let Some((key, hold, clash)) = order.unique {
            job = job.unique($crate::stage::flows::unique(key, hold, clash));
        }
        if let Some((key, value)) = order.puts {
            job = job.header("put", format!("{key} {value}"));
        }
        let target: Option<huey::JobId> = $target;
        match (order.hook, target) {
            ($crate::words::Hook::Refuse, _) => job.header("hook", "refuse"),
            ($crate::words::Hook::Point(_), Some(id)) => job.header("hook", id.to_string()),
            _ => job,
        }
    }};
}
pub(super) use with_terms;

pub(super) fn unique(key: u8, hold: Hold, clash: Clash) -> Unique {
    let scope = match hold {
        Hold::Pending => Scope::Pending,
        Hold::Active => Scope::Active,
        Hold::Window(window) => Scope::Window(secs(window)),
    };
    let clash = match clash {
        Clash::Existing => OnConflict::Existing,
        Clash::Reject => OnConflict::Reject,
        Clash::Replace => OnConflict::Replace,
    };
    Unique::by(&key).scope(scope).on_conflict(clash)
}

/// A flow as its types tell it apart.
pub(super) enum Built {
    Alpha(huey::Chain<alpha>),
    Beta(huey::Chain<beta>),
    Next(huey::Chain<next>),
    Gather(huey::Chain<gather>),
    Settle(huey::Chain<settle>),
    JustAlpha(huey::Job<alpha>),
    JustBeta(huey::Job<beta>),
}

macro_rules! each {
    ($built:expr, $chain:ident => $then:expr) => {
        match $built {
            Built::Alpha($chain) => $then,
            Built::Beta($chain) => $then,
            Built::Next($chain) => $then,
            Built::Gather($chain) => $then,
            Built::Settle($chain) => $then,
            Built::JustAlpha($chain) => $then,
            Built::JustBeta($chain) => $then,
        }
    };
}

fn group_of(members: &[Flow]) -> Group<u64> {
    members.iter().fold(Group::new(), |group, member| each!(build(member), chain => group.with(chain)))
}

pub(super) fn build(flow: &Flow) -> Built {
    let mut steps = flow.steps.iter();
    let mut built = match &flow.first {
        First::Job(order) if order.task == Task::Beta => {
            Built::JustBeta(with_terms!(beta::job(order.acts.clone()), order, None))
        }
        First::Job(order) => Built::JustAlpha(with_terms!(alpha::job(order.acts.clone()), order, None)),
        First::All(members) => {
            let order = steps.next().expect("a callback");
            Built::Gather(group_of(members).then(with_terms!(gather::with(order.acts.clone()), order, None)))
        }
        First::Settled(members) => {
            let order = steps.next().expect("a callback");
            Built::Settle(group_of(members).then_settled(with_terms!(settle::with(order.acts.clone()), order, None)))
        }
    };
    for order in steps {
        let step = with_terms!(next::with(order.acts.clone()), order, None);
        built = Built::Next(each!(built, chain => chain.then(step)));
    }
    if !flow.mourned {
        return built;
    }
    let step = mourn::with(Vec::new());
    match built {
        Built::Alpha(chain) => Built::Alpha(chain.on_error(step)),
        Built::Beta(chain) => Built::Beta(chain.on_error(step)),
        Built::Next(chain) => Built::Next(chain.on_error(step)),
        Built::Gather(chain) => Built::Gather(chain.on_error(step)),
        Built::Settle(chain) => Built::Settle(chain.on_error(step)),
        Built::JustAlpha(job) => Built::Alpha(job.on_error(step)),
        Built::JustBeta(job) => Built::Beta(job.on_error(step)),
    }
}
