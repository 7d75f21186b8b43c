//! Stands between this program and the system, and logs what is asked of the files below a folder.
//!
//! The functions below have the names of those of the C library, so that the linker takes them for every call that the
//! standard library and sled make in this program; nothing has to be loaded beside it. Each does the system call itself.
//! Until [`watch`] was called they do nothing else.
//!
//! A change and its record are one step under one lock, so the log has the order in which the system saw the changes,
//! acknowledgements among them: those are writes to a file below the watched folder. A sync leaves two records, and
//! covers what stands before the first.
//!
//! `sync_file_range`, which sled calls, is not here: it promises nothing about a power cut.
#![expect(unsafe_code, reason = "these are the system's own functions, and they take pointers")]
#![allow(clippy::cast_possible_truncation, reason = "the system answers every call in a long")]
#![allow(clippy::missing_safety_doc, reason = "their contracts are those of the C library")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use libc::{AT_FDCWD, mode_t, off_t, off64_t, size_t, ssize_t, syscall};

use crate::record::{Kind, head};

struct Watch {
    /// With a slash at its end.
    root: Vec<u8>,
    log: Mutex<File>,
    syncs: AtomicU64,
}

/// How many changes are still made before the process dies, and one; 0 if it does not.
static LEFT: AtomicU64 = AtomicU64::new(0);

/// Ends the process as a kill does, in place of the change with that number, counted from 1.
pub(crate) fn die_at(change: u64) {
    LEFT.store(change, Ordering::SeqCst);
}

static WATCH: OnceLock<Watch> = OnceLock::new();

/// Logs from now on what is done to files below `root`, which is a full name without links.
pub(crate) fn watch(root: &Path, log: &Path) -> io::Result<()> {
    let root = [root.as_os_str().as_bytes(), b"/"].concat();
    let watch = Watch { root, log: Mutex::new(File::create(log)?), syncs: AtomicU64::new(0) };
    WATCH.set(watch).map_err(|_| io::Error::other("a folder is watched already"))
}

impl Watch {
    /// The name below the root, if it is one; that of the root is empty.
    fn inside<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        match path.strip_prefix(&*self.root) {
            None if self.root.strip_suffix(b"/") == Some(path) => Some(b""),
            inside => inside,
        }
    }

    /// Does `act`, and logs it if it did not fail, as one step.
    fn step<T: Into<i64> + Copy>(
        &self,
        (kind, name, number): (Kind, &[u8], u64),
        data: impl FnOnce(T) -> Vec<u8>,
        act: impl FnOnce() -> T,
    ) -> T {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if LEFT.load(Ordering::SeqCst) > 0 && LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
            exit();
        }
        let done = act();
        if done.into() >= 0 {
            put(&log, kind, name, number, &data(done));
        }
        done
    }
}

/// A log with a hole is worse than none.
fn put(log: &File, kind: Kind, name: &[u8], number: u64, data: &[u8]) {
    let bytes = [&head(kind, name.len(), number, data.len()), name, data].concat();
    let mut rest: &[u8] = &bytes;
    while !rest.is_empty() {
        let written = raw_write(log.as_raw_fd(), rest.as_ptr().cast(), rest.len());
        match usize::try_from(written).ok().and_then(|written| rest.get(written..)) {
            Some(left) => rest = left,
            None => std::process::abort(),
        }
    }
}

/// The name that a descriptor has now, below the root.
fn name_of(watch: &Watch, fd: RawFd) -> Option<Vec<u8>> {
    let link = format!("/proc/self/fd/{fd}\0");
    let mut path = vec![0_u8; 4096];
    // SAFETY: the link ends with a zero, and the buffer is as long as it says.
    let length = unsafe { libc::readlink(link.as_ptr().cast(), path.as_mut_ptr().cast(), path.len()) };
    path.truncate(usize::try_from(length).ok()?);
    let name = watch.inside(&path)?;
    (!name.ends_with(b" (deleted)")).then(|| name.to_vec())
}

fn watched(fd: RawFd) -> Option<(&'static Watch, Vec<u8>)> {
    let watch = WATCH.get()?;
    name_of(watch, fd).map(|name| (watch, name))
}

/// # Safety
///
/// `path` points to a string that ends with a zero and outlives the call.
unsafe fn watched_path<'a>(path: *const c_char) -> Option<(&'static Watch, &'a [u8])> {
    let watch = WATCH.get()?;
    // SAFETY: as the caller promises.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    watch.inside(path).map(|name| (watch, name))
}

fn copy(from: *const c_void, length: i64) -> Vec<u8> {
    let length = usize::try_from(length).unwrap_or(0);
    // SAFETY: the system has just read as many bytes from there.
    unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length) }.to_vec()
}

fn int(answer: i64) -> c_int {
    answer as c_int
}

fn raw_write(fd: c_int, from: *const c_void, length: size_t) -> ssize_t {
    // SAFETY: the arguments of a write, checked by the system.
    unsafe { syscall(libc::SYS_write, fd, from, length) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, from: *const c_void, length: size_t) -> ssize_t {
    match watched(fd) {
        Some((watch, name)) => {
            // Appended or not, it went to where the descriptor stood.
            let (kind, offset) = match position(fd) {
                Some(offset) => (Kind::Write, offset),
                None => (Kind::Append, 0),
            };
            let wrote = |wrote: i64| copy(from, wrote);
            let done = watch.step((kind, &name, offset), wrote, || raw_write(fd, from, length) as i64);
            done as ssize_t
        }
        None => raw_write(fd, from, length),
    }
}

/// Where the next write goes; `None` if that is the end, wherever it is.
fn position(fd: c_int) -> Option<u64> {
    // SAFETY: neither takes a pointer.
    let (flags, at) = unsafe { (libc::fcntl(fd, libc::F_GETFL), libc::lseek64(fd, 0, libc::SEEK_CUR)) };
    if flags & libc::O_APPEND != 0 { None } else { u64::try_from(at).ok() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(fd: c_int, from: *const c_void, length: size_t, offset: off64_t) -> ssize_t {
    // SAFETY: the arguments of the call, checked by the system.
    let act = || unsafe { syscall(libc::SYS_pwrite64, fd, from, length, offset) };
    let done = match watched(fd) {
        Some((watch, name)) => {
            let number = u64::try_from(offset).unwrap_or(0);
            watch.step((Kind::Write, &name, number), |wrote| copy(from, wrote), act)
        }
        None => act(),
    };
    done as ssize_t
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(fd: c_int, from: *const c_void, length: size_t, offset: off_t) -> ssize_t {
    // SAFETY: the same call.
    unsafe { pwrite64(fd, from, length, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(fd: c_int, length: off64_t) -> c_int {
    // SAFETY: no pointer is passed.
    let act = || unsafe { syscall(libc::SYS_ftruncate, fd, length) };
    int(match watched(fd) {
        Some((watch, name)) => {
            watch.step((Kind::Length, &name, u64::try_from(length).unwrap_or(0)), |_| Vec::new(), act)
        }
        None => act(),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    // SAFETY: the same call.
    unsafe { ftruncate64(fd, length) }
}

// The third parameter is variadic in C. It is passed in the same register here, and read only where it was given.
#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's pointer.
    let act = || unsafe { syscall(libc::SYS_openat, AT_FDCWD, path, flags, mode) };
    // SAFETY: as the C library asks of its callers.
    let found = if flags & libc::O_CREAT == 0 { None } else { unsafe { watched_path(path) } };
    int(match found {
        Some((watch, name)) => {
            let emptied = u64::from(flags & libc::O_TRUNC != 0);
            watch.step((Kind::Create, name, emptied), |_| Vec::new(), act)
        }
        None => act(),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same call.
    unsafe { open64(path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's pointers.
    let act = || unsafe { syscall(libc::SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0) };
    // SAFETY: as the C library asks of its callers.
    int(match unsafe { (watched_path(from), watched_path(to)) } {
        (Some((watch, from)), Some((_, to))) => watch.step((Kind::Rename, from, 0), |_| to.to_vec(), act),
        _ => act(),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller's pointer.
    let act = || unsafe { syscall(libc::SYS_unlinkat, AT_FDCWD, path, 0) };
    // SAFETY: as the C library asks of its callers.
    int(match unsafe { watched_path(path) } {
        Some((watch, name)) => watch.step((Kind::Unlink, name, 0), |_| Vec::new(), act),
        None => act(),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's pointer.
    let act = || unsafe { syscall(libc::SYS_mkdirat, AT_FDCWD, path, mode) };
    // SAFETY: as the C library asks of its callers.
    int(match unsafe { watched_path(path) } {
        Some((watch, name)) => watch.step((Kind::Folder, name, 0), |_| Vec::new(), act),
        None => act(),
    })
}

/// A sync runs beside other calls.
fn sync(fd: c_int, call: libc::c_long) -> c_int {
    // SAFETY: no pointer is passed.
    let act = || unsafe { syscall(call, fd) };
    let Some((watch, name)) = watched(fd) else { return int(act()) };
    let number = watch.syncs.fetch_add(1, Ordering::SeqCst);
    watch.step((Kind::SyncBegins, &name, number), |_| Vec::new(), || 0_i64);
    let done = act();
    if done == 0 {
        watch.step((Kind::SyncEnds, &name, number), |_| Vec::new(), || 0_i64);
    }
    int(done)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fsync)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fdatasync)
}

/// Ends the process as a kill does, with nothing cleaned up.
pub(crate) fn die() -> ! {
    // Not between a change and its record. The guard is never dropped.
    let _guard = WATCH.get().map(|watch| watch.log.lock());
    exit()
}

fn exit() -> ! {
    // SAFETY: no pointer is passed.
    unsafe { libc::_exit(0) }
}
