//! The example `checksums`, the main job on real input: whole, killed on the way, and with files that cannot be read.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};

/// A folder of the test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("huey-checksums-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The example beside this test's own program.
fn checksums(tree: &Path, out: &Path) -> Command {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().unwrap().parent().unwrap().join("examples/checksums");
    assert!(program.exists(), "{} is not built: run the tests of the whole workspace", program.display());
    let mut command = Command::new(program);
    command.arg(tree).arg("--out").arg(out).args(["--workers", "2"]);
    command
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"))
}

/// A tree of `files` files of `size` bytes each, and the manifest that it must give.
fn plant(tree: &Path, files: usize, size: usize) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in 0..files {
        let folder = tree.join(format!("part-{:02}", number % 7));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("file-{number:05}"));
        let mut bytes = vec![u8::try_from(number % 251).unwrap(); size];
        bytes.extend_from_slice(number.to_string().as_bytes());
        fs::write(&path, &bytes).unwrap();
        lines.push((path.clone(), format!("{}  {}\n", sum(&bytes), path.display())));
    }
    lines.sort();
    lines.into_iter().flat_map(|(_, line)| line.into_bytes()).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// How many bytes a process has read so far; `None` once it is gone.
fn bytes_read(pid: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("rchar: "))?.parse().ok()
}

#[test]
fn killed_three_times_it_ends_with_the_same_manifest() {
    let scratch = Scratch::new("killed");
    let (tree, out) = (scratch.0.join("tree"), scratch.0.join("sums.txt"));
    let expected = plant(&tree, 4_000, 32 * 1024);
    for round in 1..=3 {
        let mut child = checksums(&tree, &out).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Somewhere on the way, by how much it has read: about a sixth of the tree each time.
        while bytes_read(child.id()).is_some_and(|read| read < 22_000_000) {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::yield_now();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "round {round}: it ended before it was killed");
        assert!(!out.exists(), "round {round}: the manifest is there before the run is over");
    }
    let output = checksums(&tree, &out).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("by an earlier run"), "nothing was left to go on from: {}", text(&output));
    assert!(fs::read(&out).unwrap() == expected, "the manifest differs");
    assert!(!scratch.0.join("sums.txt.queue").exists(), "the next run would not start anew");
}

#[test]
fn names_that_are_no_text_and_files_of_its_own_are_handled_as_sha256sum_does() {
    let scratch = Scratch::new("names");
    let tree = scratch.0.join("tree");
    fs::create_dir_all(&tree).unwrap();
    for name in [&b"plain"[..], b"back\\slash", b"line\nbreak", b"return\rhere", b"not\xfftext", b" space"] {
        fs::write(tree.join(OsStr::from_bytes(name)), name).unwrap();
    }
    std::os::unix::fs::symlink("plain", tree.join("link")).unwrap();
    // The manifest and the queue lie in the tree itself.
    let out = tree.join("sums.txt");
    let output = checksums(&tree, &out).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("6 files hashed, 0 not read"), "{}", text(&output));
    let checked = Command::new("sha256sum").args(["-c", "--quiet", "--strict"]).arg(&out).output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked));
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_rest_is_done() {
    let scratch = Scratch::new("unreadable");
    let (tree, out) = (scratch.0.join("tree"), scratch.0.join("sums.txt"));
    let expected = plant(&tree, 20, 100);
    // A file that fails to be read for everybody, root included; or, where that cannot be mounted, one without rights.
    let broken = tree.join("part-00/mem");
    fs::write(&broken, b"").unwrap();
    let mounted = Command::new("mount").args(["--bind", "/proc/self/mem"]).arg(&broken).output();
    let bound = mounted.is_ok_and(|output| output.status.success());
    if !bound {
        fs::set_permissions(&broken, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read(&broken).is_ok() {
            eprintln!("skipped: this user reads every file and may not mount");
            return;
        }
    }
    let output = checksums(&tree, &out).output().unwrap();
    if bound {
        let unmounted = Command::new("umount").arg(&broken).status().unwrap();
        assert!(unmounted.success());
    }
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("part-00/mem: "), "{}", text(&output));
    assert!(text(&output).contains("20 files hashed, 1 not read"), "{}", text(&output));
    assert!(fs::read(&out).unwrap() == expected, "the manifest differs");
}

#[test]
fn bad_arguments_are_named_with_the_usage() {
    let scratch = Scratch::new("arguments");
    let output = checksums(&scratch.0, &scratch.0.join("x")).arg("--jobs").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("unknown option `--jobs`") && text(&output).contains("usage:"), "{}", text(&output));
}
