//! Two servers that share Redis and a directory, and servers that are told to end.

use std::time::Duration;

use tokio::task::block_in_place;

use crate::{
    pattern,
    redis_server::RedisServer,
    server::{EMBEDDED, Server, files_below, redis, slots},
    uploader::{Uploader, until},
};

const MIB: usize = 1 << 20;
/// What ending after SIGTERM may take.
const EXIT_MAX: Duration = Duration::from_secs(3);

fn two_nodes(redis_server: &RedisServer) -> (Server, Server) {
    let config = slots(&redis(redis_server.port));
    let first = Server::start(&config);
    let second = Server::start_in(first.shared_dir(), &config);
    (first, second)
}

/// RESUME-3, RESUME-4: begun on one node, ended on the other: over a cut of the
/// line, while the first node still holds it, and after the first one's death.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn begun_on_one_and_ended_on_the_other() {
    let redis_server = RedisServer::start();
    let (mut first, second) = two_nodes(&redis_server);
    let file = pattern::file(77, 3 * MIB);
    for round in 0..6 {
        let begun = Uploader::new(&first.ws(), "resumable", file.clone()).client_id(Some("one"));
        let (upload, gate, mut heard) = (begun.upload(), begun.gate.clone(), begun.watch());
        gate.open_to(MIB as u64 + 5);
        let cookie = crate::client::Client::connect(&first.ws()).await.cookie;
        let sending = tokio::spawn(begun.owner(&cookie).run());
        let safe = until(&mut heard, |heard| heard.durable > MIB as u64).await;
        match round % 3 {
            0 => sending.abort(),
            1 => {}
            _ => block_in_place(|| first.kill()),
        }
        let later = Uploader::new(&second.ws(), "resumable", file.clone())
            .owner(&cookie)
            .client_id(Some("one"))
            .resuming(upload);
        let mut offered = later.watch();
        let sent = tokio::spawn(later.complete());
        let offer = until(&mut offered, |heard| heard.resumes > 0).await;
        assert!(
            offer.received >= safe.durable,
            "RESUME-2: {offer:?} after {safe:?}"
        );
        let report = sent.await.expect("it ends complete");
        sending.abort();
        first.assert_stored_once("resumable", &file);
        std::fs::remove_file(&first.stored("resumable")[0]).expect("removed");
        if round % 3 == 2 {
            block_in_place(|| first.restart());
        }
        // COMPLETE-4: the node that never saw the end knows the receipt.
        let again = Uploader::new(&first.ws(), "resumable", file.clone())
            .owner(&cookie)
            .resuming(upload);
        assert_eq!(again.complete().await.result(), report.result());
    }
    drop(second);
    first.assert_reaper_empties();
}

/// RESUME-3: both nodes are restarted in turn, again and again, while 16
/// uploads run over them: nothing is lost, nothing begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing() {
    let redis_server = RedisServer::start();
    let (mut first, mut second) = two_nodes(&redis_server);
    let urls = [first.ws(), second.ws()];
    let file = pattern::file(78, 4 * MIB);
    let mut uploads = tokio::task::JoinSet::new();
    for number in 0..16 {
        let mut urls = urls.clone();
        urls.rotate_left(number % 2);
        let uploader = Uploader::new(&urls[0], "resumable", file.clone())
            .urls(&urls)
            .pause(Duration::from_millis(50));
        uploads.spawn(uploader.complete());
    }
    let mut restarts = 0;
    let mut reports = Vec::new();
    while reports.len() < 16 {
        let node = if restarts % 2 == 0 {
            &mut first
        } else {
            &mut second
        };
        restarts += 1;
        block_in_place(|| {
            let took = node.terminate();
            assert!(took <= EXIT_MAX, "{took:?}");
            node.restart();
        });
        tokio::time::sleep(Duration::from_millis(400)).await;
        while let Some(report) = uploads.try_join_next() {
            reports.push(report.expect("it ends complete"));
        }
    }
    let sum = |of: fn(&crate::uploader::Heard) -> u32| -> u32 {
        reports.iter().map(|report| of(&report.heard)).sum()
    };
    assert_eq!(sum(|heard| heard.restarts), 0);
    assert!(
        sum(|heard| heard.resumes) >= 16,
        "the restarts met the uploads"
    );
    let stored = first.stored("resumable");
    assert_eq!(stored.len(), 16);
    for path in stored {
        assert!(std::fs::read(path).expect("stored") == file);
    }
    assert!(first.temporary().is_empty(), "{:?}", first.temporary());
    println!(
        "{restarts} restarts under load, {} resumes, nothing lost",
        sum(|heard| heard.resumes)
    );
}

/// The drain: 64 uploads are in flight, SIGTERM ends the process within 3 s,
/// clients are told `draining`, and every upload goes on afterwards from at
/// least what was announced durable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_keeps_everything() {
    let redis_server = RedisServer::start();
    for state in [EMBEDDED.to_owned(), redis(redis_server.port)] {
        let mut server = Server::start(&slots(&state));
        let file = pattern::file(79, 2 * MIB);
        let mut uploads = tokio::task::JoinSet::new();
        let mut begun = Vec::new();
        for _ in 0..64 {
            let uploader = Uploader::new(&server.ws(), "resumable", file.clone())
                .pause(Duration::from_millis(60));
            begun.push(uploader.watch());
            uploads.spawn(uploader.complete());
        }
        for heard in &mut begun {
            until(heard, |heard| heard.sent > 0).await;
        }
        // One connection more, which says and hears nothing.
        let idle = crate::client::Client::connect(&server.ws()).await;
        let took = block_in_place(|| server.terminate());
        assert!(took <= EXIT_MAX, "64 uploads in flight: {took:?}");
        block_in_place(|| server.restart());
        let mut resumes = 0;
        let mut drains = 0;
        while let Some(report) = uploads.join_next().await {
            let report = report.expect("it ends complete");
            assert_eq!(report.heard.restarts, 0);
            resumes += report.heard.resumes;
            drains += report.heard.drains;
        }
        drop(idle);
        assert!(
            resumes >= 60 && drains >= 60,
            "{resumes} resumes, {drains} drains"
        );
        let stored = files_below(&server.dir().join("files/resumable"));
        assert_eq!(stored.len(), 64);
        for path in stored {
            assert!(std::fs::read(path).expect("stored") == file);
        }
        assert!(server.temporary().is_empty());
        println!("SIGTERM with 64 uploads in flight: gone after {took:?}, {resumes} resumed");
    }
}
