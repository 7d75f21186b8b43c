//! Makes a failing program as short and as plain as it can be.

use crate::words::{First, Flow, Order, Step};

/// The smallest program found that still fails, and how it does.
pub(crate) fn shrink(mut program: Vec<Step>, fails: impl Fn(&[Step]) -> Option<String>) -> (Vec<Step>, String) {
    let mut error = fails(&program).unwrap_or_else(|| "it fails only now and then".into());
    // Longer pieces first, then single steps, then parts of them, until nothing can go.
    loop {
        let before = program.clone();
        let mut size = program.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < program.len() {
                let mut shorter = program.clone();
                shorter.drain(at..(at + size).min(program.len()));
                match fails(&shorter) {
                    Some(why) => (program, error) = (shorter, why),
                    None => at += size,
                }
            }
            size /= 2;
        }
        let mut at = 0;
        while at < program.len() {
            let simpler = program.get(at).map(simpler).unwrap_or_default().into_iter().find_map(|step| {
                let mut changed = program.clone();
                *changed.get_mut(at)? = step;
                fails(&changed).map(|why| (changed, why))
            });
            match simpler {
                Some((changed, why)) => (program, error) = (changed, why),
                None => at += 1,
            }
        }
        if program == before {
            return (program, error);
        }
    }
}

/// Steps that say less than this one.
fn simpler(step: &Step) -> Vec<Step> {
    match step {
        Step::Enqueue(order) => plainer(order).into_iter().map(Step::Enqueue).collect(),
        Step::Bulk(orders) => less(orders, plainer).into_iter().map(Step::Bulk).collect(),
        Step::Begin(flow) => smaller(flow).into_iter().map(Step::Begin).collect(),
        Step::RunAll => vec![Step::Run],
        Step::PowerCut => vec![Step::Kill],
        Step::Kill => vec![Step::Reopen],
        Step::Advance(seconds) if *seconds > 1 => vec![Step::Advance(1), Step::Advance(seconds / 2)],
        Step::Cancel(number) => down(*number).map(Step::Cancel).collect(),
        Step::Replay(number) => down(*number).map(Step::Replay).collect(),
        Step::Purge(number) => down(*number).map(Step::Purge).collect(),
        Step::Take(number) => down(*number).map(Step::Take).collect(),
        Step::Reschedule(number, after) => down(*number).map(|number| Step::Reschedule(number, *after)).collect(),
        _ => Vec::new(),
    }
}

fn down(number: usize) -> impl Iterator<Item = usize> {
    0..number.min(8)
}

/// Lists with one left out or one made plainer.
fn less<T: Clone>(all: &[T], plainer: impl Fn(&T) -> Vec<T>) -> Vec<Vec<T>> {
    let mut lists = Vec::new();
    for at in 0..all.len() {
        let mut list = all.to_vec();
        list.remove(at);
        lists.push(list);
    }
    for (at, one) in all.iter().enumerate() {
        for plain in plainer(one) {
            let mut list = all.to_vec();
            list.splice(at..=at, [plain]);
            lists.push(list);
        }
    }
    lists
}

/// An order with one choice less.
fn plainer(order: &Order) -> Vec<Order> {
    let plain = Order::default();
    let mut all = Vec::new();
    macro_rules! without {
        ($($name:ident)*) => {$(
            if order.$name != plain.$name {
                all.push(Order { $name: plain.$name.clone(), ..order.clone() });
            }
        )*};
    }
    without!(task acts delay priority retries expires hook unique puts relaxed);
    for acts in less(&order.acts, |_| Vec::new()) {
        all.push(Order { acts, ..order.clone() });
    }
    all
}

fn smaller(flow: &Flow) -> Vec<Flow> {
    let mut all = Vec::new();
    if flow.mourned {
        all.push(Flow { mourned: false, ..flow.clone() });
    }
    let has_callback = !matches!(flow.first, First::Job(_));
    for steps in less(&flow.steps, plainer) {
        if !(has_callback && steps.is_empty()) {
            all.push(Flow { steps, ..flow.clone() });
        }
    }
    match &flow.first {
        First::Job(order) => {
            all.extend(plainer(order).into_iter().map(|order| Flow { first: First::Job(order), ..flow.clone() }));
        }
        First::All(members) => {
            all.extend(members.iter().cloned());
            all.extend(less(members, smaller).into_iter().map(|all| Flow { first: First::All(all), ..flow.clone() }));
        }
        First::Settled(members) => {
            all.extend(members.iter().cloned());
            let fewer = less(members, smaller).into_iter();
            all.extend(fewer.map(|all| Flow { first: First::Settled(all), ..flow.clone() }));
        }
    }
    all
}
