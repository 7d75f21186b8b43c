//! What the queue stands on, by itself.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use huey::__private::encode;
use huey::BoxError;
use huey::store::{ENTRY_LIMIT, Log, Medium};
use huey_sled::SledMedium;

use crate::place::rate;

/// Bytes of a value: the arguments of a job and what is known of it.
const VALUE: usize = 120;
/// Bytes that a job of a bulk takes in the journal beside its arguments.
const BESIDE: usize = 60;

fn open(folder: &Path) -> Result<(sled::Db, File), BoxError> {
    let path = folder.join("raw");
    let db = sled::Config::new()
        .path(&path)
        .segment_size(4 * 1024 * 1024)
        .cache_capacity(32 * 1024 * 1024)
        .flush_every_ms(None)
        .open()?;
    Ok((db, OpenOptions::new().write(true).open(path.join("db"))?))
}

fn value(number: u32) -> Vec<u8> {
    let mut value = vec![7; VALUE];
    value.splice(..4, number.to_be_bytes());
    value
}

/// Single inserts under increasing keys, a second.
pub(crate) fn inserts(folder: &Path, times: u32) -> Result<f64, BoxError> {
    let (db, file) = open(folder)?;
    rate(times, || {
        for number in 0..times {
            db.insert(u64::from(number).to_be_bytes(), value(number))?;
        }
        // What a relaxed enqueue leaves to be done within its interval.
        db.flush()?;
        Ok(file.sync_data()?)
    })
}

/// Inserts that are each flushed and synced, a second.
pub(crate) fn synced(folder: &Path, times: u32) -> Result<f64, BoxError> {
    let (db, file) = open(folder)?;
    rate(times, || {
        for number in 0..times {
            db.insert(u64::from(number).to_be_bytes(), value(number))?;
            db.flush()?;
            file.sync_data()?;
        }
        Ok(())
    })
}

/// Writes of as many bytes to a file that are each synced, a second.
pub(crate) fn writes(folder: &Path, times: u32) -> Result<f64, BoxError> {
    let mut file = File::create(folder.join("file"))?;
    rate(times, || {
        for number in 0..times {
            file.write_all(&value(number))?;
            file.sync_data()?;
        }
        Ok(())
    })
}

/// Writes of as many bytes, a second, by callers that share each write and its sync, and do nothing else: who finds nobody at it
/// writes for all who wait. Who comes while one is written sleeps until the next is done, and no longer than that.
pub(crate) fn shared_writes(folder: &Path, callers: u32, each: u32) -> Result<f64, BoxError> {
    #[derive(Default)]
    struct Done {
        asked: u32,
        durable: u32,
        /// How far the write that runs will come, and how many there were.
        writing: Option<u32>,
        round: u32,
    }
    let file = File::create(folder.join("file"))?;
    let (done, even, odd) = (Mutex::new(Done::default()), Condvar::new(), Condvar::new());
    let over = |round: u32| if round.is_multiple_of(2) { &even } else { &odd };
    let write = || -> std::io::Result<()> {
        let mut now = done.lock().unwrap_or_else(PoisonError::into_inner);
        now.asked += 1;
        let own = now.asked;
        while now.durable < own {
            if let Some(writing) = now.writing {
                let round = now.round + u32::from(writing < own);
                now = over(round).wait(now).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (from, upto) = (now.durable, now.asked);
            now.writing = Some(upto);
            now.round += 1;
            let round = now.round;
            drop(now);
            let bytes: Vec<u8> = (from..upto).flat_map(value).collect();
            let written = (&file).write_all(&bytes).and_then(|()| file.sync_data());
            now = done.lock().unwrap_or_else(PoisonError::into_inner);
            now.writing = None;
            over(round).notify_all();
            over(round + 1).notify_one();
            written?;
            now.durable = upto;
        }
        Ok(())
    };
    rate(callers * each, || {
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..callers).map(|_| scope.spawn(|| (0..each).try_for_each(|_| write()))).collect();
            all.into_iter().try_for_each(|caller| Ok(caller.join().map_err(|_| "a caller panicked")??))
        })
    })
}

/// Jobs a second that are taken from a key for what waits over one for what runs to one for what is done, each as
/// single operations.
pub(crate) fn drains(folder: &Path, times: u32) -> Result<f64, BoxError> {
    let (db, file) = open(folder)?;
    let key = |kind: u8, number: u32| [&[kind][..], &u64::from(number).to_be_bytes()].concat();
    for number in 0..times {
        db.insert(key(b'q', number), value(number))?;
    }
    rate(times, || {
        for number in 0..times {
            let found = db.remove(key(b'q', number))?.ok_or("a value is gone")?;
            db.insert(key(b'r', number), found)?;
            db.remove(key(b'r', number))?;
            db.insert(key(b'd', number), &b"done"[..])?;
        }
        db.flush()?;
        Ok(file.sync_data()?)
    })
}

/// Jobs a second of which only what reaches the system is done: the note that each begins, and what 64 of them put into
/// the journal when they are claimed and when they end.
pub(crate) fn noted(folder: &Path, times: u32) -> Result<f64, BoxError> {
    const TOGETHER: u32 = 64;
    let (db, file) = open(folder)?;
    let mut notes = File::create(folder.join("notes"))?;
    let (claims, ends) = ([7; 45 * TOGETHER as usize], [7; 7 * TOGETHER as usize]);
    rate(times, || {
        for number in 0..times {
            notes.seek(SeekFrom::Start(0))?;
            notes.write_all(&[7; 64])?;
            if number % TOGETHER == 0 {
                db.insert(u64::from(2 * number).to_be_bytes(), &claims[..])?;
                db.insert(u64::from(2 * number + 1).to_be_bytes(), &ends[..])?;
            }
        }
        db.flush()?;
        Ok(file.sync_data()?)
    })
}

/// Jobs a second that are put in by bulks, of which only this is done: the arguments of each are encoded by themselves, and go with
/// as many bytes as a job takes beside them into entries of a journal.
pub(crate) fn bulks(folder: &Path, times: u32, load: impl Fn() -> Vec<u8>) -> Result<f64, BoxError> {
    let mut log = SledMedium::new(folder.join("journal"), 32 * 1024 * 1024)?.open()?;
    let mut entry = Vec::with_capacity(ENTRY_LIMIT);
    let mut sequence = 0;
    rate(times, || {
        for _ in 0..times {
            let arguments = encode(&(load(),))?;
            if entry.len() + arguments.len() + BESIDE > ENTRY_LIMIT {
                sequence += 1;
                log.append(sequence, &entry).map_err(|error| error.to_string())?;
                entry.clear();
            }
            entry.extend_from_slice(&arguments);
            entry.extend_from_slice(&[7; BESIDE]);
        }
        log.flush().map_err(|error| error.to_string())?;
        Ok(log.barrier().sync().map_err(|error| error.to_string())?)
    })
}

/// A thread that writes for each job what its claim, the note that it begins and its end are, tells when it began, and nothing else.
struct Worker {
    db: sled::Db,
    send: Sender<u64>,
    begun: Receiver<Instant>,
}

impl Worker {
    fn new(folder: &Path) -> Result<Self, BoxError> {
        let (db, _) = open(folder)?;
        let mut notes = File::create(folder.join("notes"))?;
        let (send, receive) = channel::<u64>();
        let (tell, begun) = channel();
        let journal = db.clone();
        // It ends with the sender.
        std::thread::spawn(move || -> Result<(), BoxError> {
            for number in receive {
                journal.insert((3 * number + 1).to_be_bytes(), &[7; 45][..])?;
                notes.seek(SeekFrom::Start(0))?;
                notes.write_all(&[7; 64])?;
                let now = Instant::now();
                journal.insert((3 * number + 2).to_be_bytes(), &[7; 7][..])?;
                let _ = tell.send(now);
            }
            Ok(())
        });
        Ok(Self { db, send, begun })
    }

    /// Puts a job in, waits for its end, and says when it began.
    fn trip(&self, number: u32) -> Result<Instant, BoxError> {
        self.db.insert((3 * u64::from(number)).to_be_bytes(), value(number))?;
        self.send.send(number.into())?;
        Ok(self.begun.recv()?)
    }
}

/// Jobs a second that are put in and waited for, of which only what reaches sled and the other thread is done.
pub(crate) fn trips(folder: &Path, times: u32) -> Result<f64, BoxError> {
    let worker = Worker::new(folder)?;
    rate(times, || (0..times).try_for_each(|number| worker.trip(number).map(drop)))
}

/// Microseconds from the moment when a job is put in to its beginning, on a thread that sleeps, of which only the same is done.
pub(crate) fn starts(folder: &Path, times: u32) -> Result<Vec<f64>, BoxError> {
    let worker = Worker::new(folder)?;
    let mut all = Vec::new();
    for number in 0..times {
        std::thread::sleep(Duration::from_millis(1));
        let sent = Instant::now();
        all.push(worker.trip(number)?.saturating_duration_since(sent).as_secs_f64() * 1e6);
    }
    Ok(all)
}

/// Microseconds that each of some messages takes to a thread that waits for it.
pub(crate) fn hops(times: u32) -> Vec<f64> {
    let (send, receive) = channel::<Instant>();
    let (told, tell) = channel();
    let waiting = std::thread::spawn(move || {
        for sent in receive {
            let _ = told.send(sent.elapsed());
        }
    });
    let mut all = Vec::new();
    for _ in 0..times {
        // So that the other one sleeps when the message comes.
        std::thread::sleep(Duration::from_millis(1));
        let _ = send.send(Instant::now());
        if let Ok(took) = tell.recv() {
            all.push(took.as_secs_f64() * 1e6);
        }
    }
    drop(send);
    let _ = waiting.join();
    all
}
