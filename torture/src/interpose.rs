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

/// How many volumes are still begun or removed before the changes are counted, and how many those are then.
static TURNS: (AtomicU64, AtomicU64) = (AtomicU64::new(0), AtomicU64::new(0));

/// As [`die_at`], counted from the one with which a volume is begun or removed: that so many of those have come to.
pub(crate) fn die_in_turn(turn: u64, change: u64) {
    TURNS.1.store(change, Ordering::SeqCst);
    TURNS.0.store(turn, Ordering::SeqCst);
}

/// Whether a change begins a volume or removes it.
fn is_turn(kind: Kind, name: &[u8]) -> bool {
    matches!(kind, Kind::Folder | Kind::Rename)
        && name.rsplit(|byte| *byte == b'/').next().is_some_and(|name| name.starts_with(b"volume."))
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

    /// Does `act`, and logs it if it did not fail, as one step. The name is looked at within it: another step may be
    /// the renaming of its folder. A file without one, which nobody will find again, is no matter of the log.
    fn step<T: Into<i64> + Copy>(
        &self,
        (kind, number): (Kind, u64),
        name: impl FnOnce() -> Option<Vec<u8>>,
        data: impl FnOnce(T) -> Vec<u8>,
        act: impl FnOnce() -> T,
    ) -> T {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(name) = name() else { return act() };
        if TURNS.0.load(Ordering::SeqCst) > 0 && is_turn(kind, &name) && TURNS.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            LEFT.store(TURNS.1.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        if LEFT.load(Ordering::SeqCst) > 0 && LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
            exit();
        }
        let done = act();
        if done.into() >= 0 {
            put(&log, kind, &name, number, &data(done));
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

/// The watch, if a descriptor is of something below its root.
fn watched(fd: RawFd) -> Option<&'static Watch> {
    let watch = WATCH.get()?;
    name_of(watch, fd).map(|_| watch)
}

/// The watch and the name below its root of a path, which goes from the descriptor unless it is a full one.
///
/// # Safety
///
/// `path` points to a string that ends with a zero and outlives the call.
unsafe fn watched_path(fd: RawFd, path: *const c_char) -> Option<(&'static Watch, Vec<u8>)> {
    let watch = WATCH.get()?;
    // SAFETY: as the caller promises.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    if fd == AT_FDCWD || path.starts_with(b"/") {
        return watch.inside(path).map(|name| (watch, name.to_vec()));
    }
    let folder = name_of(watch, fd)?;
    let slash: &[u8] = if folder.is_empty() { b"" } else { b"/" };
    Some((watch, [&folder, slash, path].concat()))
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
        Some(watch) => {
            // Appended or not, it went to where the descriptor stood.
            let what = match position(fd) {
                Some(offset) => (Kind::Write, offset),
                None => (Kind::Append, 0),
            };
            let wrote = |wrote: i64| copy(from, wrote);
            watch.step(what, || name_of(watch, fd), wrote, || raw_write(fd, from, length) as i64) as ssize_t
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
        Some(watch) => {
            let number = u64::try_from(offset).unwrap_or(0);
            watch.step((Kind::Write, number), || name_of(watch, fd), |wrote| copy(from, wrote), act)
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
        Some(watch) => {
            let number = u64::try_from(length).unwrap_or(0);
            watch.step((Kind::Length, number), || name_of(watch, fd), |_| Vec::new(), act)
        }
        None => act(),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    // SAFETY: the same call.
    unsafe { ftruncate64(fd, length) }
}

// The last parameter is variadic in C. It is passed in the same register here, and read only where it was given.
#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(fd: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's pointer.
    let act = || unsafe { syscall(libc::SYS_openat, fd, path, flags, mode) };
    // SAFETY: as the C library asks of its callers.
    let found = || if flags & libc::O_CREAT == 0 { None } else { unsafe { watched_path(fd, path) } };
    let emptied = u64::from(flags & libc::O_TRUNC != 0);
    int(match found() {
        Some((watch, _)) => watch.step((Kind::Create, emptied), || found().map(|(_, name)| name), |_| Vec::new(), act),
        None => act(),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat(fd: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same call.
    unsafe { openat64(fd, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same call.
    unsafe { openat64(AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same call.
    unsafe { openat64(AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat(from_fd: c_int, from: *const c_char, to_fd: c_int, to: *const c_char) -> c_int {
    // SAFETY: the caller's pointers.
    let act = || unsafe { syscall(libc::SYS_renameat2, from_fd, from, to_fd, to, 0) };
    // SAFETY: as the C library asks of its callers.
    let both = || unsafe { Some((watched_path(from_fd, from)?, watched_path(to_fd, to)?)) };
    int(match both() {
        Some(((watch, _), (_, to))) => watch.step((Kind::Rename, 0), || both().map(|((_, from), _)| from), |_| to, act),
        None => act(),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the same call.
    unsafe { renameat(AT_FDCWD, from, AT_FDCWD, to) }
}

/// A file, or an empty folder where the flags say so. A whole folder is removed by calls of this, each relative to the
/// descriptor of a folder.
#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(fd: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's pointer.
    let act = || unsafe { syscall(libc::SYS_unlinkat, fd, path, flags) };
    // SAFETY: as the C library asks of its callers.
    let found = || unsafe { watched_path(fd, path) };
    int(match found() {
        Some((watch, _)) => watch.step((Kind::Remove, 0), || found().map(|(_, name)| name), |_| Vec::new(), act),
        None => act(),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the same call.
    unsafe { unlinkat(AT_FDCWD, path, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: the same call.
    unsafe { unlinkat(AT_FDCWD, path, libc::AT_REMOVEDIR) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdirat(fd: c_int, path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's pointer.
    let act = || unsafe { syscall(libc::SYS_mkdirat, fd, path, mode) };
    // SAFETY: as the C library asks of its callers.
    let found = || unsafe { watched_path(fd, path) };
    int(match found() {
        Some((watch, _)) => watch.step((Kind::Folder, 0), || found().map(|(_, name)| name), |_| Vec::new(), act),
        None => act(),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the same call.
    unsafe { mkdirat(AT_FDCWD, path, mode) }
}

/// A sync runs beside other calls, the renaming of what it syncs among them: its end is told by its number.
fn sync(fd: c_int, call: libc::c_long) -> c_int {
    // SAFETY: no pointer is passed.
    let act = || unsafe { syscall(call, fd) };
    let Some(watch) = watched(fd) else { return int(act()) };
    let number = watch.syncs.fetch_add(1, Ordering::SeqCst);
    watch.step((Kind::SyncBegins, number), || name_of(watch, fd), |_| Vec::new(), || 0_i64);
    let done = act();
    if done == 0 {
        watch.step((Kind::SyncEnds, number), || Some(Vec::new()), |_| Vec::new(), || 0_i64);
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::disk::Disk;
    use crate::record::Records;

    const ROUNDS: usize = 50;

    /// All that this program can have logged: there is one watch for a process.
    #[test]
    fn what_happens_to_folders_beside_writes_is_logged_in_its_order() {
        let base = std::env::temp_dir().join(format!("huey-torture-interpose-{}", std::process::id()));
        fs::create_dir_all(base.join("root/there/in")).expect("folders");
        let base = base.canonicalize().expect("a full name");
        let (root, log) = (base.join("root"), base.join("log"));
        fs::write(root.join("there/in/f"), "old").expect("a file");
        let mut disk = Disk::holding(&root).expect("a disk");
        watch(&root, &log).expect("a watch");

        fs::remove_dir_all(root.join("there")).expect("a removal");
        fs::create_dir_all(root.join("a/b")).expect("folders");
        fs::create_dir(root.join("empty")).expect("a folder");
        fs::remove_dir(root.join("empty")).expect("a removal");
        // Written and synced by one thread, while another gives its folder other names.
        let mut file = fs::File::options().append(true).create(true).open(root.join("a/b/f")).expect("a file");
        let both = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                for number in 0..ROUNDS {
                    file.write_all(&number.to_le_bytes()).expect("a write");
                    file.sync_data().expect("a sync");
                }
            });
            both.wait();
            for number in 0..ROUNDS {
                let (from, to) = if number % 2 == 0 { ("a", "z") } else { ("z", "a") };
                fs::rename(root.join(from), root.join(to)).expect("a rename");
                fs::File::open(&root).and_then(|root| root.sync_all()).expect("a sync");
            }
        });
        fs::rename(root.join("a/b"), root.join("gone")).expect("a rename");
        file.write_all(b"last").expect("a write");
        fs::write(root.join("gone/other"), "1").expect("a file");

        let records: Vec<_> = Records::open(&log).expect("a log").map(|record| record.expect("a record")).collect();
        let removed = |record: &&crate::record::Record| record.kind == Kind::Remove;
        let removed: Vec<_> = records.iter().filter(removed).map(|record| record.name.as_str()).collect();
        assert_eq!(removed, ["there/in/f", "there/in", "there", "empty"]);
        for record in records {
            disk.apply(record);
        }
        assert_eq!(disk.differs_from(&root).expect("a comparison"), None);

        // Who has no name any more writes on, and nobody will know.
        fs::remove_dir_all(root.join("gone")).expect("a removal");
        file.write_all(b"nowhere").expect("a write");
        let mut disk = Disk::default();
        for record in Records::open(&log).expect("a log") {
            disk.apply(record.expect("a record"));
        }
        assert_eq!(disk.differs_from(&root).expect("a comparison"), None);
        fs::remove_dir_all(&base).expect("a removal");
    }
}
