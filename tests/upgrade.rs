//! Jobs that an older program stored, in the hands of a newer one: upgraded, renamed, removed, changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program beside this one, and gives the lines that it prints.
fn run(program: &str, folder: &Path, arguments: &[String]) -> Vec<String> {
    let here = std::env::current_exe().unwrap();
    let path = here.parent().unwrap().parent().unwrap().join("examples").join(program);
    assert!(path.exists(), "{} is not built: run the tests of the whole workspace", path.display());
    let output = Command::new(path).arg(folder).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{program}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect()
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn word(line: &str, at: usize) -> String {
    line.split(' ').nth(at).unwrap().to_owned()
}

#[test]
fn a_newer_program_takes_over_what_an_older_one_stored() {
    let folder = Folder(std::env::temp_dir().join(format!("huey-upgrade-{}", std::process::id())));
    let _ = fs::remove_dir_all(&folder.0);
    let stored = run("upgrade_before", &folder.0, &[]);
    let ids: Vec<String> = stored.iter().map(|line| word(line, 1)).collect();
    let arguments: Vec<String> = stored.iter().flat_map(|line| [word(line, 0), word(line, 1)]).collect();
    let told = run("upgrade_after", &folder.0, &arguments);
    let id = |name: &str| ids.get(stored.iter().position(|line| word(line, 0) == name).unwrap()).unwrap().clone();

    let about = |name: &str| told.iter().filter(|line| word(line, 0) == name).cloned().collect::<Vec<_>>();
    assert_eq!(about("counted"), ["counted complete 2"], "a result is read as before");
    assert_eq!(about("count"), ["count complete 1"]);
    assert_eq!(about("resize"), ["resize complete 63"], "7 * 3 * 3, by the upgrade");
    assert_eq!(about("greet"), ["greet complete \"welcome Ada\""], "under its new name");
    assert_eq!(about("again"), [format!("again {} false", id("greet"))], "a key outlives the change of the name");
    assert_eq!(about("pack"), ["pack complete 42"], "the version says that the form is the same");
    assert_eq!(about("step"), ["step complete", "step complete", "step complete"], "steps are upgraded as well");
    assert_eq!(about("later").len(), 1);
    assert!(about("later")[0].starts_with("later scheduled"), "{told:?}");
    assert_eq!(about("schedule"), ["schedule nightly shop::resize"]);
    assert_eq!(about("triggered").len(), 1);
    assert!(about("triggered")[0].contains("Ok"), "a schedule's arguments are upgraded: {told:?}");

    // Nothing is lost: two are parked, and say why.
    let mut parked: Vec<String> = about("parked").iter().map(|line| word(line, 1)).collect();
    parked.dedup();
    assert_eq!(parked, [id("dismiss"), id("charge")]);
    assert_eq!(about("dismiss"), ["dismiss parked"]);
    let charge = about("charge").pop().unwrap();
    assert!(charge.contains("charge parked the parameters of `shop::charge`"), "{charge}");
    assert!(charge.contains("upgrade = path"), "{charge}");
    assert_eq!(told.last().unwrap(), "1 waiting, 2 parked");

    // The program of yesterday knows the two that today's parked, and runs them.
    let again = run("upgrade_before", &folder.0, &[]);
    assert_eq!(again.len(), stored.len());
    let told = run("upgrade_after", &folder.0, &arguments);
    assert!(told.iter().any(|line| line == "dismiss complete"), "{told:?}");
}
