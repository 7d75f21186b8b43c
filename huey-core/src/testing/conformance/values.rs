//! The user's own values.

#![expect(clippy::unwrap_used, reason = "a check that panics has failed")]

use std::time::Duration;

use super::kit::{Kit, SYNCED};
use super::{Check, Subject};
use crate::codec::Bytes;
use crate::store::{Answer, Outcome, Put, Query, StorageError, Transition, integer, integer_of};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "a value is stored where there is none, by one of all who try", run: put_if_absent },
    Check { name: "a value that was taken is gone", run: take },
    Check { name: "sums are made in the commit, of integers alone", run: add },
    Check { name: "a value whose time is over is not there", run: expire },
    Check { name: "values and the ends of their time survive a restart", run: survive },
];

fn put(kit: &Kit<'_>, key: &str, bytes: Bytes, ttl: Option<u64>, if_absent: bool) -> bool {
    let put = Put { key: key.into(), bytes, ttl: ttl.map(Duration::from_secs), if_absent };
    match kit.commit(Transition::Put(put), SYNCED) {
        Outcome::Put(stored) => stored,
        other => panic!("a put gave {other:?}"),
    }
}

fn sum(kit: &Kit<'_>, by: i64, ttl: Option<u64>) -> Result<i64, StorageError> {
    let add = Transition::Add { key: "n".into(), by, ttl: ttl.map(Duration::from_secs) };
    match kit.commit_at(&*kit.storage, add, SYNCED)? {
        Outcome::Added(sum) => Ok(sum),
        other => panic!("a sum gave {other:?}"),
    }
}

fn keys(kit: &Kit<'_>) -> Vec<String> {
    match kit.read(Query::Keys { prefix: String::new(), after: None, most: 9 }) {
        Answer::Keys(keys) => keys,
        other => panic!("a question about keys gave {other:?}"),
    }
}

fn bytes(text: &str) -> Bytes {
    text.as_bytes().to_vec().into()
}

fn put_if_absent(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    // Over a network the answer of the first may be lost.
    assert!(put(&kit, "k", bytes("one"), None, true) || !kit.is_sure());
    assert!(!put(&kit, "k", bytes("two"), None, true));
    assert_eq!(kit.value("k"), Some(b"one".to_vec()));
    assert!(put(&kit, "k", bytes("three"), None, false));
    assert_eq!(kit.value("k"), Some(b"three".to_vec()));
}

fn take(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let take = || match kit.commit(Transition::TakeValue { key: "k".into() }, SYNCED) {
        Outcome::ValueTaken(taken) => taken,
        other => panic!("a take gave {other:?}"),
    };
    kit.write("k", b"one");
    let taken = take();
    assert!(taken == Some(bytes("one")) || !kit.is_sure());
    assert_eq!((take(), kit.value("k"), keys(&kit)), (None, None, Vec::new()));
    assert!(put(&kit, "k", bytes("two"), None, true) || !kit.is_sure());
}

fn add(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    // A call that arrives twice adds twice.
    let first = sum(&kit, 5, None).unwrap();
    assert!(first == 5 || (!kit.is_sure() && first % 5 == 0));
    let stored = integer_of(&kit.value("n").unwrap()).unwrap();
    assert!(stored == 5 || (stored > 0 && stored % 5 == 0));
    put(&kit, "n", integer(i128::from(i64::MAX)), None, false);
    assert!(matches!(sum(&kit, 1, None), Err(StorageError::Refused(_))));
    let greatest = integer(i128::from(i64::MAX)).to_vec();
    assert_eq!(kit.value("n"), Some(greatest), "nothing happened");
    put(&kit, "n", bytes("text"), None, false);
    assert!(matches!(sum(&kit, 1, None), Err(StorageError::Refused(_))));
    assert_eq!(kit.value("n"), Some(b"text".to_vec()));
}

fn expire(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    put(&kit, "k", bytes("one"), Some(10), false);
    put(&kit, "now", bytes("one"), Some(0), false);
    assert_eq!((kit.value("now"), keys(&kit)), (None, vec!["k".to_owned()]));
    kit.advance(9);
    assert!(!put(&kit, "k", bytes("two"), None, true));
    // A sum stays until when the first one was to.
    sum(&kit, 1, Some(5)).unwrap();
    kit.advance(1);
    assert_eq!((kit.value("k"), keys(&kit)), (None, vec!["n".to_owned()]));
    assert!(put(&kit, "k", bytes("three"), None, true) || !kit.is_sure());
    sum(&kit, 1, Some(500)).unwrap();
    kit.advance(4);
    assert_eq!((kit.value("k"), kit.value("n")), (Some(b"three".to_vec()), None));
    let again = sum(&kit, 7, None).unwrap();
    assert!(again == 7 || (!kit.is_sure() && again % 7 == 0), "it begins anew");
}

fn survive(subject: &dyn Subject) {
    for kill in [false, true] {
        let kit = Kit::new(subject);
        put(&kit, "short", bytes("one"), Some(10), false);
        put(&kit, "long", bytes("two"), Some(100), false);
        kit.advance(10);
        let Some(kit) = kit.again(kill) else { continue };
        assert_eq!((kit.value("short"), kit.value("long")), (None, Some(b"two".to_vec())));
        kit.advance(90);
        assert_eq!(kit.value("long"), None);
    }
}
