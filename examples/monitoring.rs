//! A live table of a queue at work, made of its signals: per task what was enqueued, waits, runs and failed, and how long
//! jobs waited. In a terminal it is drawn over itself; elsewhere it is printed once, at the end.
//!
//! `cargo run --example monitoring`

use std::collections::{BTreeMap, HashMap};
use std::io::{IsTerminal, Write, stdout};
use std::thread::sleep;
use std::time::{Duration, Instant};

use huey::{Durability, Huey, JobId, Memory, Signal, SignalKind, Timestamp, task};

#[task(durability = relaxed)]
fn thumbnail(number: u64) {
    sleep(Duration::from_millis(2 + number % 5));
}

#[task(durability = relaxed, priority = 10)]
fn send_mail(number: u64) -> Result<(), String> {
    sleep(Duration::from_millis(1));
    if number.is_multiple_of(25) { Err("mailbox full".into()) } else { Ok(()) }
}

#[task(durability = relaxed, retries = 2, retry_delay = "50ms")]
async fn sync_account(number: u64) -> Result<(), String> {
    tokio::time::sleep(Duration::from_millis(5 + number % 20)).await;
    if number.is_multiple_of(4) { Err("try again".into()) } else { Ok(()) }
}

const HEAD: &str = "task            enqueued   waiting   running    failed  wait p50  wait p99";

#[derive(Default)]
struct Row {
    enqueued: u64,
    waiting: u64,
    running: u64,
    failed: u64,
    waits: Vec<Duration>,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<String, Row>,
    /// Since when each waiting job may run.
    due: HashMap<JobId, Timestamp>,
}

impl Table {
    fn hear(&mut self, signal: &Signal) {
        let task = signal.task.rsplit("::").next().unwrap_or_default().to_owned();
        let row = self.rows.entry(task).or_default();
        match signal.kind {
            SignalKind::Enqueued | SignalKind::Retrying => {
                row.enqueued += u64::from(signal.kind == SignalKind::Enqueued);
                row.waiting += 1;
                self.due.insert(signal.id, signal.run_at.unwrap_or(signal.at));
            }
            SignalKind::Executing => {
                row.waiting -= 1;
                row.running += 1;
                row.waits.extend(self.due.remove(&signal.id).map(|due| signal.at.since(due)));
            }
            SignalKind::Complete => row.running -= 1,
            SignalKind::Error => {
                row.running -= 1;
                row.failed += 1;
            }
            _ => {}
        }
    }

    fn lines(&mut self) -> Vec<String> {
        let mut lines = vec![HEAD.to_owned()];
        for (task, row) in &mut self.rows {
            row.waits.sort_unstable();
            let at = |percent: usize| row.waits.get(row.waits.len().saturating_sub(1) * percent / 100);
            let shown = |percent| at(percent).map_or("-".into(), |wait| format!("{:.1} ms", wait.as_secs_f64() * 1e3));
            let Row { enqueued, waiting, running, failed, .. } = row;
            let (middle, high) = (shown(50), shown(99));
            lines.push(format!("{task:<14}{enqueued:>10}{waiting:>10}{running:>10}{failed:>10}{middle:>10}{high:>10}"));
        }
        lines
    }
}

fn main() -> huey::Result<()> {
    let huey = Huey::builder().durability(Durability::Relaxed).open(Memory::new())?;
    let signals = huey.subscribe(100_000)?;
    let consumer = huey.consumer().workers(4).start()?;
    let producer = std::thread::spawn({
        let huey = huey.clone();
        move || {
            for number in 0..600 {
                thumbnail::enqueue(&huey, number)?;
                send_mail::enqueue(&huey, number)?;
                sync_account::enqueue(&huey, number)?;
                sleep(Duration::from_millis(3));
            }
            consumer.wait_idle()?;
            // Retries may still wait for their time.
            while huey.counts()?.scheduled > 0 {
                sleep(Duration::from_millis(20));
                consumer.wait_idle()?;
            }
            consumer.shutdown().wait()?;
            huey.close()
        }
    });
    let (live, mut table, mut drawn) = (stdout().is_terminal(), Table::default(), 0);
    let mut next = Instant::now();
    while let Some(signal) = signals.recv() {
        table.hear(&signal);
        if live && Instant::now() >= next {
            drawn = draw(&table.lines(), drawn);
            next = Instant::now() + Duration::from_millis(100);
        }
    }
    draw(&table.lines(), drawn);
    let lost = signals.dropped();
    println!(
        "the queue is idle{}",
        if lost > 0 { format!("; {lost} signals were not taken in time") } else { String::new() }
    );
    producer.join().unwrap_or(Ok(()))
}

/// Draws over the lines drawn before, and tells how many there are now.
fn draw(lines: &[String], before: usize) -> usize {
    let up = if before > 0 { format!("\x1b[{before}A") } else { String::new() };
    let clear = if stdout().is_terminal() { "\x1b[K" } else { "" };
    let text = lines.join(&format!("{clear}\n"));
    println!("{up}{text}{clear}");
    let _ = stdout().flush();
    lines.len()
}
