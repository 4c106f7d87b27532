//! SIGKILL at every write, sync, rename, open and send of a three-chunk upload.
//!
//! `strace` is attached to a server that is ready, and kills it at the entry of
//! the N-th call of a kind, counted per thread, for N = 1, 2, … until an upload
//! gets through. So every call stands once at the edge between done and not done.

use std::{fs, time::Duration};

use tokio::task::block_in_place;

use crate::support::{
    pattern,
    redis_server::RedisServer,
    server::{EMBEDDED, Server, redis, slots},
    strace::{attach, detach},
    uploader::Uploader,
};

const SIZE: usize = 3 * 65_536 - 100;
/// A kind of call that needs more kills than this never ends.
const KILLS_MAX: u32 = 200;
/// Uploads that have to get through, since the threads share calls differently each time.
const THROUGH: u32 = 3;
/// What the server writes, makes durable, names, opens, removes and reads with;
/// sockets are written by the first of them as well.
const CALLS: [&str; 6] = [
    "write,writev,pwrite64,pwritev,sendto,sendmsg",
    "fsync,fdatasync",
    "rename,renameat,renameat2,link,linkat",
    "open,openat,mkdir,mkdirat",
    "ftruncate,fallocate,unlink,unlinkat,flock",
    "recvfrom,recvmsg,read,readv",
];

/// RESUME-2, COMPLETE-3, COMPLETE-4: wherever the server is killed, the upload
/// ends byte-exact after a restart, once, and a `complete` that the client saw
/// is the receipt for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_call() {
    let redis_server = RedisServer::start();
    let rows = [
        ("process", EMBEDDED.to_owned()),
        ("disk", EMBEDDED.to_owned()),
        ("process", redis(redis_server.port)),
    ];
    for (durability, state) in rows {
        let config = format!("durability = \"{durability}\"\n{}", slots(&state));
        let mut server = Server::start(&config);
        let store = state.lines().nth(1).expect("a store");
        for calls in CALLS {
            let kills = kill_at_each(&mut server, calls).await;
            println!("{store}, {durability}: {kills} kills at {calls}");
        }
        server.kill();
        server.assert_reaper_empties();
    }
}

async fn kill_at_each(server: &mut Server, calls: &str) -> u32 {
    let file = pattern::file(31, SIZE);
    let (mut kills, mut through) = (0, 0);
    while through < THROUGH {
        assert!(kills < KILLS_MAX, "{calls} never ends");
        let inject = format!("inject={calls}:signal=KILL:when={}", kills + 1);
        let mut strace = block_in_place(|| attach(server, &["-e", &inject]));
        let uploader = Uploader::new(&server.ws(), "resumable", file.clone());
        let sending = tokio::spawn(uploader.complete());
        while server.is_running() && !sending.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        block_in_place(|| detach(&mut strace));
        if block_in_place(|| server.has_survived()) {
            through += 1;
        } else {
            kills += 1;
            block_in_place(|| server.restart());
        }
        let report = sending.await.expect("it ends complete");
        let later = Uploader::new(&server.ws(), "resumable", file.clone())
            .owner(&report.cookie)
            .resuming(report.upload);
        assert_eq!(later.complete().await.result(), report.result(), "{inject}");
        server.assert_stored_once("resumable", &file);
        fs::remove_file(&server.stored("resumable")[0]).expect("removed");
    }
    kills
}
