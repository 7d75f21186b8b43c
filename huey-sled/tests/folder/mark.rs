//! The note of what was durable.

use huey_core::store::Medium;

use crate::support::Folder;

#[test]
fn a_mark_is_read_back_now_and_later() {
    let folder = Folder::new("mark");
    let medium = folder.medium();
    assert_eq!(medium.marked(), None);
    medium.mark(17).unwrap();
    medium.mark(u64::MAX).unwrap();
    assert_eq!(medium.marked(), Some(u64::MAX));
    medium.mark(18).unwrap();
    drop(medium);
    assert_eq!(folder.medium().marked(), Some(18));
}

#[test]
fn a_torn_mark_is_no_mark() {
    let folder = Folder::new("torn-mark");
    let medium = folder.medium();
    medium.mark(1_234_567).unwrap();
    let whole = std::fs::read(folder.file("huey.mark")).unwrap();
    for end in 0..whole.len() {
        std::fs::write(folder.file("huey.mark"), &whole[..end]).unwrap();
        assert_eq!(medium.marked(), None, "cut at {end}");
    }
    for at in 0..whole.len() {
        let mut torn = whole.clone();
        torn[at] ^= 1;
        std::fs::write(folder.file("huey.mark"), &torn).unwrap();
        assert_eq!(medium.marked(), None, "byte {at}");
    }
    std::fs::write(folder.file("huey.mark.new"), "left by a kill").unwrap();
    medium.mark(5).unwrap();
    assert_eq!(medium.marked(), Some(5));
}
