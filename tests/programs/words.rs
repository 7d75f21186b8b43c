//! Programs as plain data, and as code that can be pasted into a test.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

/// One thing that a program does. A number names one of the jobs that it has heard of, modulo how many those are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Enqueue(Order),
    /// Jobs of [`Task::Alpha`], in one commit.
    Bulk(Vec<Order>),
    Begin(Flow),
    /// One job is run, if one is due.
    Run,
    RunAll,
    /// Seconds pass.
    Advance(u32),
    Cancel(usize),
    Reschedule(usize, u32),
    Replay(usize),
    Purge(usize),
    Take(usize),
    Revoke(Task, Mark),
    Restore(Task),
    /// A value, under one of [`KEYS`] keys.
    Put(u8, u32),
    TakeValue(u8),
    Pause,
    Resume,
    Reopen,
    Kill,
    PowerCut,
}

/// How many keys values have.
pub(crate) const KEYS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    Alpha,
    /// Its jobs may start only once.
    Beta,
    Next,
    Gather,
    Settle,
    Mourn,
    Chord,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    Once,
    Until(u32),
    Always,
}

/// What an attempt does. The last of a job's acts is that of all later attempts, too; without any it does well.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Act {
    Well,
    Fail,
    Panic,
    Fatal,
    GiveUp,
    /// Says that its deadline has passed.
    Late,
    Again(u32),
    Report,
    /// Enqueues a job of [`Task::Alpha`], then does well.
    Call,
    /// Cancels its own job, then fails.
    CancelSelf,
    /// The process dies while it runs.
    Die,
    DieOfPower,
}

#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(crate) enum Hook {
    #[default]
    Pass,
    Refuse,
    /// Answers with a job that is there.
    Point(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hold {
    Pending,
    Active,
    Window(u32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clash {
    Existing,
    Reject,
    Replace,
}

/// A job, and what its caller chooses for it.
#[derive(Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) task: Task,
    pub(crate) acts: Vec<Act>,
    pub(crate) delay: u32,
    pub(crate) priority: i16,
    pub(crate) retries: u32,
    pub(crate) expires: Option<u32>,
    pub(crate) hook: Hook,
    pub(crate) unique: Option<(u8, Hold, Clash)>,
    /// A value that its hook puts.
    pub(crate) puts: Option<(u8, u32)>,
    pub(crate) relaxed: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            task: Task::Alpha,
            acts: Vec::new(),
            delay: 0,
            priority: 0,
            retries: 0,
            expires: None,
            hook: Hook::Pass,
            unique: None,
            puts: None,
            relaxed: false,
        }
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = Self::default();
        let mut text = f.debug_struct("Order");
        macro_rules! fields {
            ($($name:ident)*) => {$(
                if self.$name != plain.$name {
                    text.field(stringify!($name), &self.$name);
                }
            )*};
        }
        fields!(task acts delay priority retries expires hook unique puts relaxed);
        text.finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flow {
    pub(crate) first: First,
    pub(crate) steps: Vec<Order>,
    /// Whether a job follows one of these that is dead.
    pub(crate) mourned: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum First {
    Job(Order),
    /// A group, whose callback is the first of the steps.
    All(Vec<Flow>),
    Settled(Vec<Flow>),
}

/// All words by their own names, for pasted programs.
#[allow(unused_imports, reason = "a pasted program uses some of them")]
pub(crate) mod code {
    pub(crate) use super::Act::*;
    pub(crate) use super::Clash::*;
    pub(crate) use super::First::*;
    pub(crate) use super::Hold::*;
    pub(crate) use super::Hook::*;
    pub(crate) use super::Mark::*;
    pub(crate) use super::Step::*;
    pub(crate) use super::Task::*;
    pub(crate) use super::{Flow, Order};
}

/// The program as a test.
pub(crate) fn as_code(program: &[Step], on: &str) -> String {
    let mut code = format!("#[test]\nfn a_program_that_failed() {{\n    holds(&{on}, &[\n");
    for step in program {
        let step = format!("{step:?}").replace('[', "vec![");
        let step = step.replace("Order { .. }", "Order::default()").replace(", .. }", ", ..Order::default() }");
        let _ = writeln!(code, "        {step},");
    }
    code + "    ]);\n}"
}
