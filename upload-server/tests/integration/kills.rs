//! SIGKILL at random points of 16 MiB uploads.

use std::{fs, os::unix::fs::FileExt, time::Duration};

use tokio::{task::block_in_place, time::sleep};

use crate::support::{
    pattern::{self, Dice},
    postgres_server::PostgresServer,
    redis_server::RedisServer,
    server::{EMBEDDED, MEMORY, Server, is_long_run, postgres, redis, slots},
    uploader::{Uploader, until},
};

const SIZE: usize = 16 << 20;

/// How often the server is killed: 500 times, or 25 times in a CI run.
fn rounds() -> u64 {
    if is_long_run() { 500 } else { 25 }
}

/// RESUME-2, RESUME-3, COMPLETE-4: embedded store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_with_the_embedded_store() {
    let server = Server::start(&slots(EMBEDDED));
    kill_at_random_points(server, "embedded").await;
}

/// RESUME-2, RESUME-3, COMPLETE-4: Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_with_redis() {
    let redis_server = RedisServer::start();
    let server = Server::start(&slots(&redis(redis_server.port)));
    kill_at_random_points(server, "redis").await;
}

/// RESUME-2, RESUME-3, COMPLETE-4: Postgres.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_with_postgres() {
    let postgres_server = PostgresServer::start();
    let server = Server::start(&slots(&postgres(postgres_server.port)));
    kill_at_random_points(server, "postgres").await;
}

/// RESUME-5: with the memory store a kill loses everything; the sender learns
/// `not_found`, begins anew by itself, and ends byte-exact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_with_the_memory_store() {
    let mut server = Server::start(&slots(MEMORY));
    let file = pattern::file(3, SIZE);
    let uploader = Uploader::new(&server.ws(), "resumable", file.clone()).may_restart();
    let (gate, mut heard) = (uploader.gate.clone(), uploader.watch());
    gate.open_to(SIZE as u64 / 2);
    let sending = tokio::spawn(uploader.complete());
    until(&mut heard, |heard| heard.received >= SIZE as u64 / 2).await;
    block_in_place(|| {
        server.kill();
        server.restart();
    });
    gate.open_wide();
    let report = sending.await.expect("the upload ends complete");
    assert_eq!((report.heard.restarts, report.heard.resumes), (1, 0));
    server.assert_stored_once("resumable", &file);
    server.assert_reaper_empties();
}

/// RESUME-2, RESUME-6: a machine that goes down may leave a file its length and zeros in place of bytes.
/// After the next boot such a file is not resumed, and one that has its bytes is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_boot_is_compared() {
    for is_whole in [false, true] {
        let redis_server = RedisServer::start();
        let mut server = Server::start(&slots(&redis(redis_server.port)));
        let file = pattern::file(4, SIZE);
        let uploader = Uploader::new(&server.ws(), "resumable", file.clone());
        let uploader = if is_whole {
            uploader
        } else {
            uploader.may_restart()
        };
        let (gate, mut heard) = (uploader.gate.clone(), uploader.watch());
        gate.open_to(SIZE as u64 / 2);
        let sending = tokio::spawn(uploader.complete());
        until(&mut heard, |heard| heard.durable >= SIZE as u64 / 4).await;
        let durable = heard.borrow().durable;
        block_in_place(|| server.kill());
        if !is_whole {
            let part = fs::OpenOptions::new()
                .write(true)
                .open(&server.temporary()[0]);
            let lost = part
                .expect("opens")
                .write_all_at(&[0; 4096], durable - 8192);
            lost.expect("writes");
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux names it");
        let renamed = redis_server.command(&format!(
            "EVAL \"local n = 0 for _, key in ipairs(redis.call('KEYS', '*')) do \
             if redis.call('TYPE', key).ok == 'string' then \
             local record, found = string.gsub(redis.call('GET', key), string.gsub(ARGV[1], '-', '%%-'), ARGV[2]) \
             redis.call('SET', key, record, 'KEEPTTL') n = n + found end end return n\" 0 {} {}",
            boot.trim(),
            "0a0b0c0d-0000-4000-8000-000000000000",
        ));
        assert_eq!(renamed.as_deref(), Some(":1"), "the record names the boot");
        block_in_place(|| server.restart());
        gate.open_wide();
        let report = sending.await.expect("the upload ends complete");
        server.assert_stored_once("resumable", &file);
        let heard = report.heard;
        assert_eq!(heard.restarts, u32::from(!is_whole));
        if is_whole {
            assert!(heard.offered >= durable, "{} of {durable}", heard.offered);
        }
    }
}

/// Every upload is killed once, at any point from its registration to a moment
/// after its complete frame; the uploader itself checks every offer.
async fn kill_at_random_points(mut server: Server, store: &str) {
    let mut dice = Dice::new(store);
    let file = pattern::file(dice.below(1 << 40), SIZE);
    let (mut resumed, mut kept) = (0, 0);
    for round in 0..rounds() {
        // Half of them at full speed, which is over before the first record of
        // progress is due, and half at a speed that has many of them.
        let pause = Duration::from_millis(round % 2);
        let uploader = Uploader::new(&server.ws(), "resumable", file.clone()).pause(pause);
        let mut heard = uploader.watch();
        let sending = tokio::spawn(uploader.complete());
        // One in eight after the last byte was sent.
        let point = dice.below(SIZE as u64 / 7 * 8).min(SIZE as u64);
        let delay = Duration::from_micros(dice.below(20_000));
        until(&mut heard, |heard| {
            heard.sent >= point && heard.upload.is_some()
        })
        .await;
        sleep(delay).await;
        block_in_place(|| {
            server.kill();
            server.restart();
        });
        let report = sending.await.expect("the upload ends complete");
        resumed += report.heard.resumes;
        kept += report.heard.offered;
        assert_eq!(report.heard.restarts, 0);
        // COMPLETE-4: the receipt is the same, also for a later run of the uploader.
        let later = Uploader::new(&server.ws(), "resumable", file.clone())
            .owner(&report.cookie)
            .resuming(report.upload);
        assert_eq!(
            later.complete().await.result(),
            report.result(),
            "round {round}"
        );
        server.assert_stored_once("resumable", &file);
        fs::remove_file(&server.stored("resumable")[0]).expect("removed");
    }
    // A file that no record names yet when its server dies is the reaper's.
    let orphans = server.temporary().len();
    server.kill();
    server.assert_reaper_empties();
    println!(
        "{store}: {} kills, {resumed} resumes, {} MiB kept, {orphans} orphans, all byte-exact",
        rounds(),
        kept >> 20
    );
}
