//! What the queue stands on, by itself.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Instant;

use huey::BoxError;

use crate::place::rate;

/// Bytes of a value: the arguments of a job and what is known of it.
const VALUE: usize = 120;

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
        std::thread::sleep(std::time::Duration::from_millis(1));
        let _ = send.send(Instant::now());
        if let Ok(took) = tell.recv() {
            all.push(took.as_secs_f64() * 1e6);
        }
    }
    drop(send);
    let _ = waiting.join();
    all
}
