//! Has the sources of `huey-core` take the synchronization of this crate.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=huey_races");
    // Features of `huey-core` that are not attacked here.
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"tokio\", \"cli\"))");
}
