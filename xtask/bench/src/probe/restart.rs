//! The way back of many uploads whose server was killed and started again.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::sleep;
use upload_bench::{frames::Template, many::Many};

use super::{Args, CHUNK_BYTES, line, say};

/// How long a server may take until it accepts connections.
const START_MAX: Duration = Duration::from_secs(60);
/// How often it is tried.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// Begins the uploads, waits for a line, and resumes them all.
///
/// # Errors
///
/// An upload is refused, or the server does not come back.
pub(crate) async fn run(args: &Args, connections: u32, uploads: u32, bytes: u64) -> Result<()> {
    let template = Rc::new(Template::new(CHUNK_BYTES, bytes));
    let mut cookies = Vec::new();
    let mut begun = Vec::new();
    for number in 0..connections {
        let numbers = (number * uploads, uploads);
        let opened = Many::open(&args.address, None, numbers, Rc::clone(&template)).await;
        let mut many = opened.with_context(|| format!("connection {number}"))?;
        many.register(&args.slot).await?;
        many.begin().await?;
        cookies.push((numbers, many.cookie()));
        begun.push(many);
    }
    say("half way")?;
    line().await?;
    let since = Instant::now();
    drop(begun);
    let (accepted, first) = (Cell::new(Duration::ZERO), Cell::new(None));
    let mut resumed = Vec::new();
    for (numbers, cookie) in cookies {
        let mut many = loop {
            match Many::open(&args.address, cookie.clone(), numbers, Rc::clone(&template)).await {
                Ok(many) => break many,
                Err(error) if since.elapsed() > START_MAX => return Err(error),
                Err(_) => sleep(TRY_AGAIN).await,
            }
        };
        if accepted.get().is_zero() {
            accepted.set(since.elapsed());
        }
        let heard = |_| first.set(first.get().or_else(|| Some(since.elapsed())));
        many.resume(heard).await?;
        resumed.push(many);
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let report = json!({
        "accepted_ms": ms(accepted.get()),
        "first_ms": first.get().map(ms),
        "last_ms": ms(since.elapsed()),
    });
    println!("{report}");
    // The memory of the server is looked at while it holds them all.
    line().await
}
