//! What a simulated disk holds, and what a crash leaves of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::random::Random;
use super::sim_log::Fault;
use crate::store::{BARRIER, LogError, REWRITE};

#[derive(Clone)]
pub(super) struct Stored {
    pub(super) bytes: Arc<[u8]>,
    /// Called clean by the system though it never reached the disk.
    pub(super) phantom: bool,
}

#[derive(Clone)]
pub(super) enum Change {
    Put(u64, Stored),
    Remove(u64),
}

/// So many bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Written {
    pub(super) appended: u64,
    /// Those of them in the place of others.
    pub(super) anew: u64,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) slots: BTreeMap<usize, (u64, u32)>,
    /// What slots held before, for a power cut that takes a write back.
    pub(super) before: Vec<(usize, Option<(u64, u32)>)>,
    pub(super) left: Vec<(u64, u32)>,
}

pub(super) struct Disk {
    pub(super) random: Random,
    /// On the platter.
    pub(super) durable: BTreeMap<u64, Stored>,
    /// What came after it, in order.
    pub(super) pending: Vec<Change>,
    /// How many of the pending changes the operating system has.
    pub(super) flushed: usize,
    /// How many changes have become durable, ever.
    pub(super) settled: u64,
    /// Bytes written ever, up to the newest flush, and up to the flush that the last sync covered.
    pub(super) written: Written,
    pub(super) flushed_bytes: Written,
    pub(super) synced_bytes: Written,
    pub(super) reuse_after: usize,
    /// Entries that were removed as the oldest and are still where they were.
    pub(super) removed: BTreeMap<u64, Stored>,
    pub(super) content: BTreeMap<u64, Stored>,
    pub(super) table: Table,
    pub(super) marks: Vec<u64>,
    /// Whether the last crash was a power cut.
    pub(super) power_failed: bool,
    /// Which process lives, and which of its handles.
    pub(super) life: u64,
    pub(super) handle: u64,
    /// Whether the newest handle failed.
    pub(super) broken: bool,
    pub(super) fault: Option<(u64, Fault)>,
    pub(super) failing_opens: u32,
    pub(super) failing_begins: u32,
    pub(super) free: Option<u64>,
    pub(super) calls: u64,
}

pub(super) fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// Whether the next note that an attempt begins fails, which counts.
    pub(super) fn fails_to_begin(&mut self) -> bool {
        let left = self.failing_begins.checked_sub(1);
        self.failing_begins = left.unwrap_or(0);
        left.is_some()
    }

    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            flushed: 0,
            settled: 0,
            written: Written::default(),
            flushed_bytes: Written::default(),
            synced_bytes: Written::default(),
            reuse_after: BARRIER,
            removed: BTreeMap::new(),
            content: BTreeMap::new(),
            table: Table::default(),
            marks: Vec::new(),
            power_failed: false,
            life: 0,
            handle: 0,
            broken: false,
            fault: None,
            failing_opens: 0,
            failing_begins: 0,
            free: None,
            calls: 0,
        }
    }

    /// A log is opened again after one that failed and had not handed everything over.
    pub(super) fn reopen(&mut self) {
        let left = self.pending.len() - self.flushed;
        let kept = self.flushed + self.random.below(left + 1);
        self.keep(kept);
        self.come_back();
        self.broken = false;
    }

    /// Some of what was removed is there again.
    fn come_back(&mut self) {
        let many = self.random.below(self.removed.len() + 1);
        for _ in 0..many {
            let oldest = self.content.first_key_value().map(|(oldest, _)| *oldest);
            match self.removed.last_key_value().map(|(newest, stored)| (*newest, stored.clone())) {
                Some((newest, stored)) if oldest == Some(newest + 1) => {
                    self.removed.remove(&newest);
                    self.content.insert(newest, stored.clone());
                    self.durable.insert(newest, stored);
                    let undone = |change: &Change| matches!(change, Change::Remove(removed) if *removed == newest);
                    self.flushed -= self.pending.iter().take(self.flushed).filter(|change| undone(change)).count();
                    self.pending.retain(|change| !undone(change));
                }
                _ => break,
            }
        }
    }

    /// Removes the oldest entry, which goes for good only together with many others.
    pub(super) fn remove_oldest(&mut self, sequence: u64) {
        if self.random.one_in(20) {
            self.removed.clear();
        }
        if let Some(stored) = self.durable.get(&sequence).or_else(|| self.content.get(&sequence)) {
            self.removed.insert(sequence, stored.clone());
        }
        self.change(Change::Remove(sequence));
    }

    /// What is there after `kept` of the pending changes.
    fn keep(&mut self, kept: usize) {
        self.pending.truncate(kept);
        self.flushed = kept;
        self.content = self.durable.clone();
        for change in &self.pending {
            apply(&mut self.content, change);
        }
    }

    pub(super) fn crash(&mut self, power: bool) {
        let least = if power { 0 } else { self.flushed };
        let kept = least + self.random.below(self.pending.len() - least + 1);
        self.keep(kept);
        if power {
            let since = |written: fn(&Written) -> u64| written(&self.written) - written(&self.synced_bytes);
            let is_reused =
                since(|bytes| bytes.appended) > self.reuse_after as u64 || since(|bytes| bytes.anew) > REWRITE as u64;
            if is_reused && self.random.one_in(2) {
                self.content.clear();
            }
            self.content.retain(|_, stored| !stored.phantom);
            self.durable = self.content.clone();
            self.pending.clear();
            self.flushed = 0;
            self.synced_bytes = self.written;
            self.come_back();
            self.table.lose_some(&mut self.random);
            if self.marks.len() > 1 && self.random.one_in(2) {
                self.marks.pop();
            }
        } else {
            self.come_back();
            // The next process begins with what the system has, and knows of no failed sync.
            let real = |stored: &mut Stored| stored.phantom = false;
            self.durable.values_mut().for_each(real);
            self.content.values_mut().for_each(real);
            for change in &mut self.pending {
                if let Change::Put(_, stored) = change {
                    real(stored);
                }
            }
        }
        self.table.left = self.table.slots.values().copied().collect();
        self.power_failed = power;
        self.life += 1;
        self.handle += 1;
        self.broken = false;
        self.fault = None;
    }

    /// Begins a call; `half` does what a call that fails may have done.
    pub(super) fn call(&mut self, life: u64, handle: u64, half: impl FnOnce(&mut Self)) -> Result<(), LogError> {
        if life != self.life {
            return Err(LogError::failed("the process is dead"));
        }
        if handle != self.handle || self.broken {
            return Err(LogError::failed("the log failed before"));
        }
        self.calls += 1;
        let fault = match self.fault {
            Some((at, fault)) if at < self.calls => fault,
            _ => return Ok(()),
        };
        self.fault = None;
        self.broken = true;
        if self.random.one_in(2) {
            half(self);
        }
        match fault {
            Fault::Fail => Err(LogError::failed("the disk failed")),
            Fault::Panic => panic!("the disk failed in an unexpected way"),
            Fault::Kill | Fault::PowerCut => {
                self.crash(fault == Fault::PowerCut);
                Err(LogError::failed("the process is dead"))
            }
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        if let Change::Put(sequence, stored) = &change {
            self.written.appended += stored.bytes.len() as u64;
            if self.content.contains_key(sequence) {
                self.written.anew += stored.bytes.len() as u64;
            }
        }
        apply(&mut self.content, &change);
        self.pending.push(change);
    }

    pub(super) fn flush(&mut self) {
        self.flushed = self.pending.len();
        self.flushed_bytes = self.written;
    }

    /// Makes changes durable, up to the one of that number.
    pub(super) fn settle(&mut self, upto: u64, bytes: Written) {
        let count = usize::try_from(upto.saturating_sub(self.settled)).unwrap_or(usize::MAX).min(self.pending.len());
        for change in self.pending.drain(..count) {
            apply(&mut self.durable, &change);
        }
        self.settled += count as u64;
        self.flushed = self.flushed.saturating_sub(count);
        self.synced_bytes = bytes;
    }

    /// A sync failed: the system holds what it has for clean, and may forget it.
    pub(super) fn fail_sync(&mut self) {
        for change in &mut self.pending {
            if let Change::Put(_, stored) = change {
                stored.phantom = true;
            }
        }
        self.flushed = 0;
    }
}

fn apply(content: &mut BTreeMap<u64, Stored>, change: &Change) {
    match change {
        Change::Put(sequence, stored) => drop(content.insert(*sequence, stored.clone())),
        Change::Remove(sequence) => drop(content.remove(sequence)),
    }
}

impl Table {
    pub(super) fn set(&mut self, slot: usize, to: Option<(u64, u32)>) {
        let before = match to {
            Some(note) => self.slots.insert(slot, note),
            None => self.slots.remove(&slot),
        };
        self.before.push((slot, before));
    }

    /// All notes that were made are on the disk.
    pub(super) fn sync(&mut self) {
        self.before.clear();
    }

    fn lose_some(&mut self, random: &mut Random) {
        for _ in 0..random.below(self.before.len() + 1) {
            let Some((slot, before)) = self.before.pop() else { break };
            match before {
                Some(note) => drop(self.slots.insert(slot, note)),
                None => drop(self.slots.remove(&slot)),
            }
        }
        self.before.clear();
    }
}
