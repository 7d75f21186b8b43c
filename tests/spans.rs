//! What bodies log stands in the span of their attempt.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use huey::{Decision, SignalKind, task};
use support::{Stage, lock, queue_with};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[task(queue = "spans", retries = 1)]
fn says(#[data] stage: &Stage, word: String) -> Result<(), std::io::Error> {
    tracing::info!(word, "said");
    stage.note("ran");
    match stage.notes().len() {
        1 => Err(std::io::Error::other("once more")),
        _ => Ok(()),
    }
}

struct Parting;

impl Drop for Parting {
    fn drop(&mut self) {
        tracing::info!(word = "parting", "said");
    }
}

#[task(queue = "spans")]
async fn says_async(word: String) {
    let _parting = Parting;
    tracing::info!(word, "said");
    tokio::task::yield_now().await;
    tracing::info!(word = format!("{word} again"), "said");
}

/// Notes each word that is said, and the spans that it is said in.
#[derive(Clone, Default)]
struct Notes(Arc<Inner>);

#[derive(Default)]
struct Inner {
    next: AtomicU64,
    spans: Mutex<Vec<(u64, String)>>,
    said: Mutex<Vec<(String, String)>>,
}

thread_local! {
    static ENTERED: std::cell::RefCell<Vec<u64>> = const { std::cell::RefCell::new(Vec::new()) };
}

struct Fields(Vec<String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push(format!("{}={value:?}", field.name()));
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() || metadata.target().starts_with("spans")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.0.next.fetch_add(1, Ordering::SeqCst) + 1;
        let mut fields = Fields(vec![span.metadata().name().to_owned()]);
        span.record(&mut fields);
        lock(&self.0.spans).push((id, fields.0.join(" ")));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        let word = fields.0.into_iter().find(|field| field.starts_with("word=")).unwrap_or_default();
        let entered = ENTERED.with_borrow(|entered| entered.last().copied());
        let spans = lock(&self.0.spans);
        let span = spans.iter().find(|(id, _)| Some(*id) == entered).map(|(_, fields)| fields.clone());
        lock(&self.0.said).push((word, span.unwrap_or_default()));
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, _: &Id) {
        ENTERED.with_borrow_mut(|entered| _ = entered.pop());
    }
}

#[test]
fn what_a_body_logs_stands_in_a_span_with_its_job_and_headers() {
    let notes = Notes::default();
    tracing::subscriber::set_global_default(notes.clone()).unwrap();
    let (huey, heard, _) = queue_with(|builder| {
        builder.hook(|request| {
            request.header("actor", "ada");
            Ok(Decision::Go)
        })
    });
    let plain = says::enqueue(&huey, "plain".into()).unwrap();
    let other = says_async::enqueue(&huey, "async".into()).unwrap();
    huey.consumer().queues(["spans"]).workers(2).run_until_idle().unwrap();
    assert!(heard.find(SignalKind::Dead).is_none(), "{}", heard.list());
    let span = |id: huey::JobId, task: &str, attempt: u32| {
        format!(
            "attempt job={id} task=\"spans::{task}\" queue=\"spans\" attempt={attempt} headers={{\"actor\": \"ada\"}}"
        )
    };
    let mut said = lock(&notes.0.said).clone();
    said.sort();
    let word = |word: &str, span: String| (format!("word={word:?}"), span);
    let mut wanted = vec![
        word("plain", span(plain.id(), "says", 1)),
        word("plain", span(plain.id(), "says", 2)),
        word("async", span(other.id(), "says_async", 1)),
        word("async again", span(other.id(), "says_async", 1)),
        word("parting", span(other.id(), "says_async", 1)),
    ];
    wanted.sort();
    assert_eq!(said, wanted);
}
