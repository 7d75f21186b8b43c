//! A web server that enqueues while the same process drains, and stops both on SIGTERM: the server first, so that nothing
//! is enqueued any more, and then the consumer, which lets running jobs end.
//!
//! `cargo run -p web -- [folder] [address]`, and then `curl -d Ada localhost:3000/welcome`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use huey::{Huey, JobId, Sled, task};
use tokio::signal::unix::{SignalKind, signal};

/// How many letters were sent.
#[derive(Default)]
struct Sent(AtomicU64);

#[task(retries = 3, retry_delay = "1s")]
fn welcome(#[data] sent: &Sent, name: String) -> String {
    sent.0.fetch_add(1, Ordering::Relaxed);
    format!("Dear {name}")
}

/// Answers once the job is on the disk. No thread of the runtime waits for that.
async fn enqueue(State(huey): State<Huey>, name: String) -> (StatusCode, String) {
    match welcome::enqueue_async(&huey, name).await {
        Ok(handle) => (StatusCode::ACCEPTED, handle.id().to_string()),
        Err(error) if error.is_refused() => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// What became of a job.
async fn look(State(huey): State<Huey>, Path(id): Path<String>) -> (StatusCode, String) {
    let found = id.parse::<JobId>().map_err(huey::BoxError::from).and_then(|id| Ok(huey.status(id)?));
    match found {
        Ok(state) => (StatusCode::OK, state.to_string()),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    }
}

#[tokio::main]
async fn main() -> Result<(), huey::BoxError> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "web.queue".into());
    let address = args.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let sent = std::sync::Arc::new(Sent::default());

    let huey = Huey::builder().data_arc(std::sync::Arc::clone(&sent)).open(Sled::at(folder))?;
    let consumer = huey.consumer().workers(2).grace(Duration::from_secs(10)).start()?;

    let routes =
        axum::Router::new().route("/welcome", post(enqueue)).route("/jobs/{id}", get(look)).with_state(huey.clone());
    // From here on SIGTERM ends nothing by itself.
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
        })
        .await?;

    // Nobody asks any more: what was accepted is run, and then the consumer stops. A job that is left would be run after the
    // next start.
    consumer.wait_idle()?;
    consumer.shutdown().await?;
    println!("sent {}, left {}", sent.0.load(Ordering::Relaxed), huey.counts()?.queued);
    Ok(())
}
