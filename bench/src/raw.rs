//! What the queue stands on, by itself.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use huey::__private::encode;
use huey::BoxError;
use huey::store::{ENTRY_LIMIT, Log, Medium};
use huey_sled::{SledLog, SledMedium};

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

/// What `measure` finds while a database that holds one value is open, and nothing is done with it.
pub(crate) fn at_rest<T>(folder: &Path, measure: impl FnOnce() -> T) -> Result<T, BoxError> {
    let (db, file) = open(folder)?;
    db.insert(0_u64.to_be_bytes(), value(0))?;
    db.flush()?;
    file.sync_data()?;
    Ok(measure())
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

/// A journal by itself: bytes that come together become an entry once there are enough of them.
struct Journal {
    log: SledLog,
    entry: Vec<u8>,
    sequence: u64,
}

impl Journal {
    fn new(folder: &Path) -> Result<Self, BoxError> {
        let log = SledMedium::new(folder.join("journal"), 32 * 1024 * 1024)?.open()?;
        Ok(Self { log, entry: Vec::with_capacity(ENTRY_LIMIT), sequence: 0 })
    }

    fn put(&mut self, bytes: &[u8], beside: usize) -> Result<(), BoxError> {
        if self.entry.len() + bytes.len() + beside > ENTRY_LIMIT {
            self.append()?;
        }
        self.entry.extend_from_slice(bytes);
        self.entry.resize(self.entry.len() + beside, 7);
        Ok(())
    }

    fn append(&mut self) -> Result<(), BoxError> {
        self.sequence += 1;
        self.log.append(self.sequence, &self.entry).map_err(|error| error.to_string())?;
        self.entry.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), BoxError> {
        self.append()?;
        self.log.flush().map_err(|error| error.to_string())?;
        Ok(self.log.barrier().sync().map_err(|error| error.to_string())?)
    }
}

/// Jobs a second that are put in by bulks, of which only this is done: the arguments of each are encoded by themselves, and
/// go into a journal with as many bytes as a job takes beside them.
pub(crate) fn bulks(folder: &Path, times: u32, load: impl Fn() -> Vec<u8>) -> Result<f64, BoxError> {
    let mut journal = Journal::new(folder)?;
    rate(times, || {
        for _ in 0..times {
            journal.put(&encode(&(load(),))?, BESIDE)?;
        }
        journal.sync()
    })
}

/// A thread that waits for jobs. Of each only what comes to the system is done: what it and its claim and its end are goes into a
/// journal, both threads wake each other, and the note that it begins is written.
struct Worker {
    journal: Arc<Mutex<Journal>>,
    send: Option<Sender<()>>,
    begun: Receiver<Instant>,
    thread: Option<JoinHandle<Result<(), BoxError>>>,
}

impl Worker {
    fn new(folder: &Path) -> Result<Self, BoxError> {
        let journal = Arc::new(Mutex::new(Journal::new(folder)?));
        let mut notes = File::create(folder.join("notes"))?;
        let (send, receive) = channel();
        let (tell, begun) = channel();
        let shared = Arc::clone(&journal);
        let thread = std::thread::spawn(move || {
            for () in receive {
                lock(&shared).put(&[], 45)?;
                notes.seek(SeekFrom::Start(0))?;
                notes.write_all(&[7; 64])?;
                let now = Instant::now();
                lock(&shared).put(&[], 7)?;
                tell.send(now)?;
            }
            Ok(())
        });
        Ok(Self { journal, send: Some(send), begun, thread: Some(thread) })
    }

    /// Puts a job in, waits for its end, and says when it began.
    fn trip(&self, number: u32) -> Result<Instant, BoxError> {
        lock(&self.journal).put(&value(number), 0)?;
        self.send.as_ref().ok_or("the worker has ended")?.send(())?;
        Ok(self.begun.recv()?)
    }

    fn end(mut self) -> Result<(), BoxError> {
        drop(self.send.take());
        self.thread.take().map_or(Ok(()), |thread| thread.join().map_err(|_| "the worker panicked")?)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Jobs a second that are put in and waited for, of which only what comes to the system is done.
pub(crate) fn trips(folder: &Path, times: u32) -> Result<f64, BoxError> {
    let worker = Worker::new(folder)?;
    let trips = rate(times, || (0..times).try_for_each(|number| worker.trip(number).map(drop)))?;
    worker.end()?;
    Ok(trips)
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
    worker.end()?;
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
