//! The assertion that a program's own tests make of the stored forms of its tasks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use huey::__private::serde::{Deserialize, Serialize};
use huey::task;
use huey::testing::assert_wire_formats;

#[derive(Serialize, Deserialize)]
#[serde(crate = "huey::__private::serde")]
struct Order {
    number: u64,
    size: Size,
}

#[derive(Serialize, Deserialize)]
#[serde(crate = "huey::__private::serde")]
enum Size {
    Small,
    Custom { width: u32 },
}

#[task(name = "shop::pack")]
fn pack(order: Order) -> u64 {
    match order.size {
        Size::Small => order.number,
        Size::Custom { width } => order.number * u64::from(width),
    }
}

#[task(name = "shop::ship", alias = "shop::send", version = 2)]
fn ship(order: Order) -> u64 {
    order.number
}

/// A file of the test's own, with this text.
fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("huey-wire-{name}-{}.txt", std::process::id()));
    fs::write(&path, text).unwrap();
    path
}

/// What the assertion says of a file with this text; nothing if it holds.
fn judge(name: &str, text: &str) -> String {
    let path = file(name, text);
    let judged = catch_unwind(AssertUnwindSafe(|| assert_wire_formats(&path)));
    fs::remove_file(&path).unwrap();
    judged.err().map(|panic| panic.downcast_ref::<String>().unwrap().clone()).unwrap_or_default()
}

/// The file as this program's tasks have it, put together from what the assertion itself shows.
fn noted() -> String {
    let order = r#"{"Arguments": NewTypeStruct(Tuple([TypeName("Order")])), "Order": Struct([Named { name: "number", value: U64 }, Named { name: "size", value: TypeName("Size") }]), "Size": Enum({0: Named { name: "Small", value: Unit }, 1: Named { name: "Custom", value: Struct([Named { name: "width", value: U32 }]) }})}"#;
    let signature = "06a69b1d14b56b75";
    format!("shop::pack 0 {signature} {order}\nshop::ship 2 {signature} {order}\n")
}

#[test]
fn forms_that_are_noted_and_did_not_move_pass() {
    assert_eq!(judge("same", &noted()), "");
}

#[test]
fn a_form_that_moves_without_a_version_is_told_of() {
    // The struct behind the parameter had another field; the parameters themselves look the same.
    let old = noted().replace("value: U64 }", "value: U32 }");
    let told = judge("moved", &old);
    assert!(
        told.contains("`shop::pack` moved without a new version") && told.contains("write `version = 1`"),
        "{told}"
    );
    assert!(
        told.contains("`shop::ship` moved without a new version") && told.contains("write `version = 3`"),
        "{told}"
    );
    // The enum as well.
    let told = judge("variant", &noted().replace("Custom", "Own"));
    assert!(told.contains("`shop::pack` moved"), "{told}");
}

#[test]
fn another_signature_parks_jobs_unless_a_version_says_that_the_form_is_the_same() {
    let told = judge("signature", &noted().replace("06a6", "0000"));
    assert!(told.contains("the parameters of `shop::pack`") && !told.contains("shop::ship"), "{told}");
}

#[test]
fn what_is_not_noted_or_gone_is_told_of_and_a_new_version_is_not_a_fault_of_the_form() {
    let told = judge("new", "");
    assert!(told.contains("`shop::pack` is not noted yet") && told.contains("HUEY_BLESS=1"), "{told}");
    let told = judge("gone", &format!("{}shop::lost 0 00 {{}}\n", noted()));
    assert!(told.contains("`shop::lost` is gone") && told.contains("alias = \"shop::lost\""), "{told}");
    let told = judge("version", &noted().replace("shop::ship 2", "shop::send 1"));
    assert!(told.contains("`shop::ship` is not noted yet") && !told.contains("moved"), "{told}");
    assert!(judge("unread", "nonsense\n").contains("cannot be read"));
}

#[test]
fn the_forms_of_the_file_that_is_given() {
    if let Some(path) = std::env::var_os("HUEY_WIRE_FILE") {
        assert_wire_formats(path);
    }
}

/// Runs the test above in a process of its own, to bless this text, and gives what the file holds then.
fn bless(name: &str, text: &str) -> (bool, String) {
    let path = file(name, text);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_forms_of_the_file_that_is_given"])
        .env("HUEY_WIRE_FILE", &path)
        .env("HUEY_BLESS", "1")
        .output()
        .unwrap();
    let blessed = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    (output.status.success(), blessed)
}

#[test]
fn blessing_notes_new_tasks_and_versions_and_not_a_form_that_moved() {
    let lines = |text: &str| {
        let (_, lines) = text.split_once('\n').unwrap();
        lines.to_owned()
    };
    let (passed, blessed) = bless("bless-new", "");
    assert!(passed);
    assert_eq!(lines(&blessed), noted());
    let (passed, blessed) =
        bless("bless-version", &noted().replace("shop::ship 2", "shop::send 1").replace("U32", "U16"));
    assert!(!passed, "`shop::pack` moved");
    assert!(blessed.contains("U16"), "and nothing is written over it: {blessed}");
    let old = noted().replace("shop::ship 2", "shop::send 1");
    let (passed, blessed) = bless("bless-renamed", &old);
    assert!(passed);
    assert_eq!(lines(&blessed), noted());
}
