//! SIGKILL at every write, sync, rename, open and send of a three-chunk upload.
//!
//! `strace` kills the server at the entry of the N-th call of a kind (counted per
//! thread), for N = 1, 2, … until an upload gets through without a kill.

use std::process::Command;

use crate::{
    pattern,
    server::{EMBEDDED, Server, is_long_run, slots},
    uploader::Uploader,
};

const SIZE: usize = 3 * 65_536 - 100;
/// A kind of call that needs more kills than this never ends.
const KILLS_MAX: u32 = 2000;
/// Kinds with more calls than this are thinned out in a CI run.
const EVERY_ONE: u32 = 12;

/// What the server writes, makes durable, names, opens and sends with.
const CALLS: [&str; 6] = [
    "write,writev,pwrite64",
    "fsync,fdatasync",
    "rename,renameat,renameat2",
    "open,openat",
    "ftruncate,fallocate,unlink,unlinkat",
    "sendto,sendmsg",
];

/// RESUME-2, COMPLETE-3, COMPLETE-4: wherever the server is killed, the upload
/// ends byte-exact after a restart, once, and a `complete` that the client saw
/// is the receipt for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_call() {
    let found = Command::new("strace").arg("-V").output();
    assert!(found.is_ok(), "strace is missing; install it with: apt-get install strace");
    for durability in ["process", "disk"] {
        for calls in CALLS {
            kill_at_each(calls, durability).await;
        }
    }
}

async fn kill_at_each(calls: &str, durability: &str) {
    let config = format!("durability = \"{durability}\"\n{}", slots(EMBEDDED));
    let mut server = Server::start(&config);
    let file = pattern::file(31, SIZE);
    let (mut kills, mut early, mut nth) = (0, 0, 0);
    loop {
        nth += if is_long_run() || nth < EVERY_ONE { 1 } else { nth / 4 };
        assert!(nth < KILLS_MAX, "{calls} never ends");
        let inject = format!("inject={calls}:signal=KILL:when={nth}");
        let words = ["strace", "-f", "-qqq", "-o", "/dev/null", "-e", &inject];
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let was_ready = tokio::task::block_in_place(|| server.restart_wrapped(&words));
        early += u32::from(!was_ready);
        if !was_ready {
            continue;
        }
        let uploader = Uploader::new(&server.ws(), "resumable", file.clone());
        let sending = tokio::spawn(uploader.complete());
        while server.is_running() && !sending.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let got_through = server.is_running();
        tokio::task::block_in_place(|| server.restart());
        kills += u32::from(!got_through);
        let report = sending.await.expect("it ends complete");
        let later = Uploader::new(&server.ws(), "resumable", file.clone())
            .owner(&report.cookie)
            .resuming(report.upload);
        assert_eq!(later.complete().await.result(), report.result(), "{inject}");
        server.assert_stored_once("resumable", &file);
        std::fs::remove_file(&server.stored("resumable")[0]).expect("removed");
        if got_through {
            break;
        }
    }
    server.assert_reaper_empties();
    println!("{durability}: {calls}: {kills} kills during uploads, {early} during starts");
}
