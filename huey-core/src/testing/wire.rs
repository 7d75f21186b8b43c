//! The stored forms of arguments, held against those of the last release.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::enqueue::Registration;
use crate::task::Form;

const HEAD: &str = "# The stored forms of the arguments of all tasks, written by huey::testing::assert_wire_formats.\n";

/// The form of one task, as the file has it.
#[derive(Clone, PartialEq)]
struct Line {
    form: Form,
    shape: String,
}

/// Holds the stored form of the arguments of every task that is linked into this program against a file, which is kept
/// with the code. Fields of structs and variants of enums count, as far as their types can be traced by serde: what
/// cannot is `opaque` there.
///
/// With `HUEY_BLESS=1` in the environment it notes new tasks and new versions in the file; a form that moved without a
/// new `version` is not noted. To say that no stored job has the old form, delete its line.
///
/// ```no_run
/// #[test]
/// fn stored_jobs_can_be_read() {
///     huey_core::testing::assert_wire_formats("tests/wire.txt");
/// }
/// ```
///
/// # Panics
///
/// If a form moved and its task has the same `version`; if a task is gone, and none has its name as an `alias`; if a task
/// or a version is not noted yet; if the file cannot be read.
pub fn assert_wire_formats(file: impl AsRef<Path>) {
    let file = file.as_ref();
    let tasks = inventory::iter::<&'static Registration>.into_iter().copied();
    let now: BTreeMap<&str, &Registration> = tasks.map(|registration| (registration.task.name, registration)).collect();
    let noted = std::fs::read_to_string(file).unwrap_or_default();
    let bless = std::env::var_os("HUEY_BLESS").is_some_and(|set| set == "1");
    match check(&now, &noted, bless) {
        Ok(None) => {}
        Ok(Some(text)) => {
            std::fs::write(file, text).unwrap_or_else(|error| panic!("{} cannot be written: {error}", file.display()));
        }
        Err(faults) => panic!("the stored forms are not those of {}:\n{faults}", file.display()),
    }
}

/// What the file should hold, if that is something else, or what is wrong.
fn check(now: &BTreeMap<&str, &Registration>, noted: &str, bless: bool) -> Result<Option<String>, String> {
    let mut lines = read(noted)?;
    let mut faults = String::new();
    let mut fault = |text: String| {
        let _ = writeln!(faults, "- {text}");
    };
    for (name, old) in lines.clone() {
        let heir = now.values().find(|registration| registration.task.is_named(&name));
        let Some(registration) = heir else {
            fault(format!(
                "`{name}` is gone, and its stored jobs would be parked: write `alias = \"{name}\"` on the task that \
                 takes its place, or delete its line"
            ));
            continue;
        };
        let new = line(registration);
        if registration.task.name != name && bless {
            lines.remove(&name);
        } else if new.form.version < old.form.version {
            fault(format!("`{name}` went back from version {} to {}", old.form.version, new.form.version));
        } else if new.form.version == old.form.version && new.shape != old.shape {
            fault(format!(
                "`{name}` moved without a new version, from\n    {}\n  to\n    {}\n  write `version = {}`, and `upgrade = \
                 path` to read what is stored",
                old.shape,
                new.shape,
                old.form.version + 1
            ));
        } else if !new.form.reads(old.form) && new.form.version == old.form.version {
            fault(format!(
                "the parameters of `{name}` have other names or types than its stored jobs, which would be parked: write \
                 `version = {}`, and `upgrade = path` to read what is stored",
                old.form.version + 1
            ));
        }
    }
    for (name, registration) in now {
        let new = line(registration);
        if lines.get(*name).is_some_and(|old| old == &new) {
            continue;
        }
        if bless {
            lines.insert((*name).to_owned(), new);
        } else if !lines.contains_key(*name) {
            fault(format!("`{name}` is not noted yet: run the test once with HUEY_BLESS=1"));
        } else if lines.get(*name).is_some_and(|old| old.form.version < new.form.version) {
            fault(format!(
                "version {} of `{name}` is not noted yet: run the test once with HUEY_BLESS=1",
                new.form.version
            ));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let text = write(&lines);
    Ok((bless && text != noted).then_some(text))
}

fn line(registration: &Registration) -> Line {
    Line { form: registration.task.form(), shape: registration.shape() }
}

fn read(noted: &str) -> Result<BTreeMap<String, Line>, String> {
    let mut lines = BTreeMap::new();
    for text in noted.lines().filter(|text| !text.is_empty() && !text.starts_with('#')) {
        let mut words = text.splitn(4, ' ');
        let mut next = || words.next().ok_or_else(|| format!("- this line cannot be read, delete it: {text}"));
        let name = next()?.to_owned();
        let (version, signature, shape) = (next()?, next()?, next()?);
        let unread = |_| format!("- the numbers of this line cannot be read, delete it: {text}");
        let form = Form {
            version: version.parse().map_err(unread)?,
            signature: u64::from_str_radix(signature, 16).map_err(unread)?,
        };
        lines.insert(name, Line { form, shape: shape.to_owned() });
    }
    Ok(lines)
}

fn write(lines: &BTreeMap<String, Line>) -> String {
    let mut text = HEAD.to_owned();
    for (name, Line { form, shape }) in lines {
        let _ = writeln!(text, "{name} {} {:016x} {shape}", form.version, form.signature);
    }
    text
}
