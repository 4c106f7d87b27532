//! Two servers that share Redis or Postgres and a directory, and servers that are told to end.

use std::time::Duration;

use tokio::task::block_in_place;

use crate::support::{
    pattern,
    postgres_server::PostgresServer,
    redis_server::RedisServer,
    server::{EMBEDDED, Server, files_below, postgres, redis, slots},
    uploader::{Uploader, until},
};

const MIB: usize = 1 << 20;
/// What ending after SIGTERM may take.
const EXIT_MAX: Duration = Duration::from_secs(3);

fn two_nodes(state: &str) -> (Server, Server) {
    let config = slots(state);
    let first = Server::start(&config);
    let second = Server::start_in(first.shared_dir(), &config);
    (first, second)
}

/// RESUME-3, RESUME-4: begun on one node, ended on the other: over a cut of the
/// line, while the first node still holds it, and after the first one's death.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn begun_on_one_and_ended_on_the_other_with_redis() {
    let redis_server = RedisServer::start();
    begin_on_one_and_end_on_the_other(&redis(redis_server.port)).await;
}

/// RESUME-3, RESUME-4: the same with Postgres.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn begun_on_one_and_ended_on_the_other_with_postgres() {
    let postgres_server = PostgresServer::start();
    begin_on_one_and_end_on_the_other(&postgres(postgres_server.port)).await;
}

async fn begin_on_one_and_end_on_the_other(state: &str) {
    let (mut first, second) = two_nodes(state);
    let file = pattern::file(77, 3 * MIB);
    for round in 0..6 {
        let begun = Uploader::new(&first.ws(), "resumable", file.clone()).client_id(Some("one"));
        let (upload, gate, mut heard) = (begun.upload(), begun.gate.clone(), begun.watch());
        gate.open_to(MIB as u64 + 5);
        let cookie = crate::support::client::Client::connect(&first.ws())
            .await
            .cookie;
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
async fn a_rolling_restart_loses_nothing_with_redis() {
    let redis_server = RedisServer::start();
    restart_in_turn(&redis(redis_server.port)).await;
}

/// RESUME-3: the same with Postgres.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing_with_postgres() {
    let postgres_server = PostgresServer::start();
    restart_in_turn(&postgres(postgres_server.port)).await;
}

async fn restart_in_turn(state: &str) {
    let (mut first, mut second) = two_nodes(state);
    let urls = [first.ws(), second.ws()];
    let file = pattern::file(78, 4 * MIB);
    let mut uploads = tokio::task::JoinSet::new();
    let mut begun = Vec::new();
    for number in 0..16 {
        let mut urls = urls.clone();
        urls.rotate_left(number % 2);
        let uploader = Uploader::new(&urls[0], "resumable", file.clone())
            .urls(&urls)
            .pause(Duration::from_millis(50));
        begun.push(uploader.watch());
        uploads.spawn(uploader.complete());
    }
    // A client that misses the answer to a registration has to begin again.
    for heard in &mut begun {
        until(heard, |heard| heard.sent > 0).await;
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
    let sum = |of: fn(&crate::support::uploader::Heard) -> u32| -> u32 {
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
    let postgres_server = PostgresServer::start();
    for state in [
        EMBEDDED.to_owned(),
        redis(redis_server.port),
        postgres(postgres_server.port),
    ] {
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
        let idle = crate::support::client::Client::connect(&server.ws()).await;
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
