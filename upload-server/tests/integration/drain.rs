//! SIGTERM with a thousand uploads in flight.

use std::time::{Duration, Instant};

use tokio::task::{JoinSet, block_in_place};

use crate::support::{
    client::Client,
    pattern,
    server::{EMBEDDED, Server, slots},
    uploader::{Uploader, until},
};

/// Uploads under way, each on a connection and of an owner of its own.
const UPLOADS: usize = 1000;
/// Connections more, which say and hear nothing: they do not answer the close either.
const SILENT: usize = 20;
const SIZE: usize = 4 * 65_536 - 100;
/// How far each has come when the signal arrives; not a boundary of chunks.
const SENT: u64 = 2 * 65_536;
/// What ending after SIGTERM may take.
const EXIT_MAX: Duration = Duration::from_secs(3);

/// RESUME-2, RESUME-3, CONN-2: the process is gone within 3 s, however many uploads are under way,
/// and every one of them goes on afterwards from at least what was announced as durable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_uploads_are_kept() {
    let mut server = Server::start(&slots(EMBEDDED));
    let file = pattern::file(83, SIZE);
    let (mut uploads, mut gates, mut begun) = (JoinSet::new(), Vec::new(), Vec::new());
    for _ in 0..UPLOADS {
        let uploader = Uploader::new(&server.ws(), "resumable", file.clone());
        uploader.gate.open_to(SENT);
        gates.push(uploader.gate.clone());
        begun.push(uploader.watch());
        uploads.spawn(uploader.complete());
    }
    for heard in &mut begun {
        until(heard, |heard| heard.received >= SENT).await;
    }
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(Client::connect(&server.ws()).await);
    }
    let took = block_in_place(|| server.terminate());
    println!("SIGTERM with {UPLOADS} uploads in flight: gone after {took:?}");
    assert!(took <= EXIT_MAX, "{took:?}");
    assert!(
        server.log().contains("at_rest=true"),
        "everything came to rest"
    );
    drop(silent);
    block_in_place(|| server.restart());
    let restarted = Instant::now();
    for gate in &gates {
        gate.open_wide();
    }
    let (mut resumed, mut drained) = (0, 0);
    while let Some(report) = uploads.join_next().await {
        let heard = report.expect("it ends complete").heard;
        assert_eq!(heard.restarts, 0, "{heard:?}");
        assert!(
            heard.offered >= SENT,
            "what had arrived was flushed: {heard:?}"
        );
        resumed += usize::from(heard.resumes > 0);
        drained += usize::from(heard.drains > 0);
    }
    assert_eq!((resumed, drained), (UPLOADS, UPLOADS));
    println!(
        "all {UPLOADS} resumed, and complete {:?} after the restart",
        restarted.elapsed()
    );
    let stored = server.stored("resumable");
    assert_eq!(stored.len(), UPLOADS);
    for path in stored {
        assert!(std::fs::read(path).expect("stored") == file);
    }
    assert!(server.temporary().is_empty());
}
