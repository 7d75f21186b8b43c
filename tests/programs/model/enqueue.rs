//! Jobs on their way in.

use super::*;

impl World {
    pub(super) fn add(&mut self, order: &Order) -> usize {
        self.jobs.push(Job {
            id: None,
            order: order.clone(),
            state: State::Void,
            at: self.now,
            expires: None,
            attempts: 0,
            retried: 0,
            claims: 0,
            crashes: 0,
            rescued: false,
            canceled: false,
            input: 0,
            in_flow: false,
            next: None,
            mourned: false,
            member: None,
            chord: None,
        });
        self.jobs.len() - 1
    }

    /// A job passed the hooks: when it may run and until when is settled now.
    pub(super) fn settle_terms(&mut self, at: usize) {
        let now = self.now;
        let job = self.job(at);
        job.at = now + i64::from(job.order.delay);
        job.expires = job.order.expires.map(|after| if after == 0 { now - 1 } else { now + i64::from(after) });
    }

    pub(super) fn enqueue(&mut self, orders: &[Order], target: Option<JobId>) -> Said {
        let (mut new, mut landed) = (Vec::new(), Vec::new());
        for order in orders {
            let at = self.add(order);
            let refused = match (order.hook, target) {
                (Hook::Refuse, _) => true,
                (Hook::Point(_), Some(id)) => match self.find(id).filter(|_| self.shown(id).0 != "gone") {
                    Some(there) if self.is(there).order.task == order.task => {
                        self.hear(SignalKind::Deduplicated, there);
                        landed.push(Err(there));
                        continue;
                    }
                    _ => true,
                },
                _ => false,
            };
            if refused {
                self.hear(SignalKind::Rejected, at);
                return said("refused", []);
            }
            self.settle_terms(at);
            landed.push(Ok(at));
            new.push(at);
        }
        let placed = match self.store(&new) {
            Ok(placed) => placed,
            Err(at) => {
                self.hear(SignalKind::Rejected, at);
                return said("conflict", []);
            }
        };
        let mut placed = placed.into_iter();
        let (mut words, mut jobs) = (Vec::new(), Vec::new());
        for one in landed {
            let became = one.map_or_else(Err, |_| placed.next().expect("one for each"));
            words.push(if became.is_ok() { "new" } else { "existing" });
            jobs.push(became.unwrap_or_else(|there| there));
        }
        said(words.join(" "), jobs)
    }

    /// Stores jobs in one commit, and tells of them. For each itself or the one that stands for it; or the one that may
    /// not be.
    pub(super) fn store(&mut self, new: &[usize]) -> Result<Vec<Result<usize, usize>>, usize> {
        let whole = self.clone();
        let synced = new.iter().any(|at| !self.is(*at).order.relaxed);
        let (mut placed, mut taken, mut clash) = (Vec::new(), Vec::new(), None);
        self.commit(synced, |world| {
            for at in new {
                let Ok(one) = world.place(*at, &mut taken, None) else {
                    clash = Some(*at);
                    return;
                };
                placed.push(one);
            }
        });
        if let Some(at) = clash {
            *self = whole;
            return Err(at);
        }
        let mut all = Vec::new();
        for (at, one) in new.iter().zip(placed) {
            match one {
                Placed::Existing(there) => {
                    self.hear(SignalKind::Deduplicated, there);
                    all.push(Err(there));
                }
                Placed::New { replaced } => {
                    if let Some(old) = replaced {
                        self.hear(SignalKind::Canceled, old);
                    }
                    self.tell_stored(*at);
                    all.push(Ok(*at));
                }
            }
        }
        Ok(all)
    }

    pub(super) fn tell_stored(&mut self, at: usize) {
        self.hear(SignalKind::Enqueued, at);
        if self.is(at).at > self.now {
            self.hear(SignalKind::Scheduled, at);
        }
    }

    /// Decides about one job's unique key, and stores it. `ended` holds no key any more.
    pub(super) fn place(
        &mut self,
        at: usize,
        taken: &mut Vec<((Task, u8), usize)>,
        ended: Option<usize>,
    ) -> Result<Placed, ()> {
        let (order, in_flow) = (self.is(at).order.clone(), self.is(at).in_flow);
        let mut replaced = None;
        if let Some((key, hold, clash)) = order.unique {
            let key = (order.task, key);
            let first = taken.iter().find(|(other, _)| *other == key).map(|(_, at)| *at);
            if let Some(first) = first {
                return if in_flow || clash == Clash::Reject { Err(()) } else { Ok(Placed::Existing(first)) };
            }
            if let Some(holder) = self.holder(key).filter(|holder| Some(*holder) != ended || self.is_timed(key)) {
                let old = self.is(holder);
                let replaceable = old.state == State::Waiting && !old.in_flow;
                match clash {
                    Clash::Reject => return Err(()),
                    Clash::Replace if replaceable => {
                        self.end(holder, State::Canceled);
                        replaced = Some(holder);
                    }
                    _ if in_flow => return Err(()),
                    _ => return Ok(Placed::Existing(holder)),
                }
            }
            taken.push((key, at));
            let end = if let Hold::Window(window) = hold { self.now + i64::from(window) } else { 0 };
            self.keys.insert(key, (at, hold, end));
        }
        self.job(at).state = State::Waiting;
        self.values.extend(order.puts);
        Ok(Placed::New { replaced })
    }

    pub(super) fn is_timed(&self, key: (Task, u8)) -> bool {
        matches!(self.keys.get(&key), Some((_, Hold::Window(_), _)))
    }

    pub(super) fn holder(&self, key: (Task, u8)) -> Option<usize> {
        let (holder, hold, end) = *self.keys.get(&key)?;
        let state = self.is(holder).state;
        let holds = match hold {
            Hold::Pending => state == State::Waiting,
            Hold::Active => matches!(state, State::Waiting | State::Running),
            Hold::Window(_) => self.now <= end,
        };
        holds.then_some(holder)
    }

    pub(super) fn flow(&mut self, flow: &Flow) -> Said {
        if let (First::Job(order), [], false) = (&flow.first, flow.steps.as_slice(), flow.mourned) {
            return self.enqueue(std::slice::from_ref(order), None);
        }
        let (mut starts, mut visible) = (Vec::new(), Vec::new());
        let whole = self.clone();
        if let Err(at) = self.lay(flow, &mut starts, &mut visible) {
            self.clone_from(&whole);
            let void = self.fill(at);
            self.hear(SignalKind::Rejected, void);
            return said("refused", []);
        }
        // The level of a chord is that of its callback.
        let chords = self.jobs.iter().skip(whole.jobs.len()).filter(|job| job.chord.is_some());
        let synced = { chords }.any(|chord| !chord.order.relaxed);
        // What is to follow comes to be with the same commit.
        let mut later = Vec::new();
        for (at, job) in self.jobs.iter_mut().enumerate().skip(whole.jobs.len()) {
            later.push((at, std::mem::replace(&mut job.state, State::Void)));
        }
        match self.store(&starts) {
            Ok(_) => {
                for (at, state) in later.into_iter().filter(|(at, _)| !starts.contains(at)) {
                    self.job(at).state = state;
                }
                if synced {
                    self.past.clear();
                }
                said("new", visible)
            }
            Err(at) => {
                for job in self.jobs.iter_mut().skip(whole.jobs.len()) {
                    job.state = State::Void;
                }
                self.hear(SignalKind::Rejected, at);
                said("conflict", [])
            }
        }
    }

    /// Fills up with jobs that never came to be.
    pub(super) fn fill(&mut self, upto: usize) -> usize {
        while self.jobs.len() <= upto {
            self.add(&Order::default());
        }
        upto
    }

    /// The jobs of a flow, none of them stored. The last of them, or the one that was refused.
    pub(super) fn lay(
        &mut self,
        flow: &Flow,
        starts: &mut Vec<usize>,
        visible: &mut Vec<usize>,
    ) -> Result<usize, usize> {
        let mut at = match &flow.first {
            First::Job(order) => {
                let at = self.add(order);
                self.settle_terms(at);
                if order.hook == Hook::Refuse {
                    return Err(at);
                }
                starts.push(at);
                visible.push(at);
                at
            }
            First::All(members) | First::Settled(members) => {
                let mut ends = Vec::new();
                for member in members {
                    ends.push(self.lay(member, starts, visible)?);
                }
                let callback = flow.steps.first().cloned().unwrap_or_default();
                let at = self.add(&Order { task: Task::Chord, relaxed: callback.relaxed, ..Order::default() });
                for (place, last) in ends.iter().enumerate() {
                    self.job(*last).member = Some((at, place));
                }
                let settled = matches!(flow.first, First::Settled(_));
                let state = if members.is_empty() { State::Waiting } else { State::Awaiting };
                let chord = Chord { settled, members: members.len(), arrived: BTreeMap::new() };
                let job = self.job(at);
                (job.chord, job.state, job.order.priority) = (Some(chord), state, i16::MAX);
                at
            }
        };
        (self.job(at).in_flow, self.job(at).mourned) = (true, flow.mourned);
        for (place, order) in flow.steps.iter().enumerate() {
            let task = match (&flow.first, place) {
                (First::All(_), 0) => Task::Gather,
                (First::Settled(_), 0) => Task::Settle,
                _ => Task::Next,
            };
            let step = self.add(&Order { task, ..order.clone() });
            visible.push(step);
            let job = self.job(step);
            (job.state, job.in_flow, job.mourned) = (State::Awaiting, true, flow.mourned);
            self.job(at).next = Some(step);
            at = step;
        }
        Ok(at)
    }
}
