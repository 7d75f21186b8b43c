//! `docs/behaviours.md` names a test for each line of the contract, and each of them exists.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::fs;
use std::path::Path;

const LINES: usize = 47;

/// The names of all test functions below a folder.
fn tests_below(folder: &Path, found: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with(".git") {
                tests_below(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut after_mark = false;
            for line in text.lines().map(str::trim) {
                let name =
                    line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
                match name {
                    Some(name) if after_mark => {
                        found.insert(name.to_owned());
                        after_mark = false;
                    }
                    Some(_) => after_mark = false,
                    None => after_mark |= line == "#[test]" || line.starts_with("#[tokio::test"),
                }
            }
        }
    }
}

#[test]
fn every_line_of_the_contract_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = HashSet::new();
    tests_below(root, &mut tests);
    let table = fs::read_to_string(root.join("docs/behaviours.md")).unwrap();
    let mut faults = Vec::new();
    let mut lines = Vec::new();
    for row in table.lines().filter(|row| row.starts_with("| ") && !row.starts_with("| line")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [line, _, named] = cells.as_slice() else {
            faults.push(format!("not three cells: {row}"));
            continue;
        };
        lines.push(line.parse::<usize>().unwrap());
        let listed: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        if listed.is_empty() && !named.starts_with("open: ") {
            faults.push(format!("line {line} names no test and is not open"));
        }
        let mut seen = HashSet::new();
        for name in listed {
            if !tests.contains(name) {
                faults.push(format!("line {line} names `{name}`, which is no test"));
            }
            if !seen.insert(name) {
                faults.push(format!("line {line} names `{name}` twice"));
            }
        }
    }
    assert_eq!(lines, (1..=LINES).collect::<Vec<_>>());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_cell_of_what_survives_what_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = HashSet::new();
    tests_below(root, &mut tests);
    let text = fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|row| row.starts_with("| ") && !row.starts_with("| |")).collect();
    let levels: Vec<&&str> = rows.iter().filter(|row| row.contains("acknowledged |")).collect();
    assert_eq!(levels.len(), 2);
    for row in levels {
        let cells: Vec<&str> = row.trim_matches('|').split('|').skip(1).collect();
        assert_eq!(cells.len(), 6, "{row}");
        assert!(cells.iter().all(|cell| cell.matches('`').count() >= 2), "a cell names no test: {row}");
    }
    // Names of tests are sentences; names of types and files are not.
    let named = text.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 2 && !name.contains(' '));
    let missing: Vec<&str> = named.filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
