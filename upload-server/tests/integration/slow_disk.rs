//! A disk that takes two seconds for every write, under one upload of a connection; and one on which every sync
//! hangs, under a server that is to end.
//!
//! `strace` delays each write of that one file where a slow file system would: inside the call, on the thread
//! that made it. It would delay the end of the process as well, so that syncs hang in a library of our own.

use std::{
    fs,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::block_in_place,
};
use uuid::Uuid;

use crate::support::{
    client::Client,
    pattern,
    server::{EMBEDDED, MEMORY, Server, slots},
    strace::{attach, detach},
    uploader::{Uploader, until},
};

const CHUNK: usize = 65_536;
/// Within the first window, and more than the writer takes in three writes.
const SLOW_BYTES: usize = 60 * CHUNK;
/// Uploads that go by while the disk is slow.
const OTHERS: usize = 5;
/// What ending after SIGTERM may take: 3 s, and half a second for a machine that is busy.
const EXIT_MAX: Duration = Duration::from_millis(3500);
/// A hook, for the journal on the same disk; nobody listens there.
const HOOK: &str = "\n[[hooks]]\nurl = \"http://127.0.0.1:9/uploaded\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n";
/// Syncs hang for as long as the file is there that `HANG` names.
const HANGING_SYNCS: &str = r#"
#include <stdlib.h>
#include <unistd.h>
static int hang(void) {
    const char *file = getenv("HANG");
    while (access(file, F_OK) == 0) usleep(1000);
    return 0;
}
int fsync(int fd) { return hang(); }
int fdatasync(int fd) { return hang(); }
"#;

/// CREDIT-4: a disk that makes `write` wait under one upload lets the others of the same connection pass; only
/// the write that finds it slow is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_holds_up_its_own_upload_only() {
    let server = Server::start(&slots(MEMORY));
    let mut client = Client::connect(&server.ws()).await;
    let (slow, file) = (Uuid::new_v4(), pattern::file(77, SLOW_BYTES));
    client
        .register(slow, "once", "slow.bin", SLOW_BYTES as u64)
        .await;
    client.chunk(slow, 0, &file[..CHUNK]).await;
    while server.temporary().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let path = server.temporary().remove(0);
    let path = path.to_str().expect("UTF-8 path");
    let delay = "inject=write,writev,pwrite64,pwritev:delay_enter=2000000";
    let mut strace = block_in_place(|| attach(&server, &["-P", path, "-e", delay]));

    let began = Instant::now();
    client.send_from(slow, &file, CHUNK, 1, CHUNK).await;
    client.complete(slow, Some(crc32c::crc32c(&file))).await;
    let small = pattern::file(78, CHUNK);
    for number in 0..OTHERS {
        // A snapshot that ends the slow upload would be dropped here, and missed below.
        let ended = client.upload("any", "small.bin", &small).await;
        assert_eq!(ended["status"], "complete", "{ended}");
        println!("small upload {number} done after {:?}", began.elapsed());
    }
    let ended = client.ending(slow).await;
    println!("the slow one done after {:?}", began.elapsed());
    assert_eq!(ended["status"], "complete", "{ended}");
    block_in_place(|| detach(&mut strace));
    server.assert_stored_once("once", &file);
    assert_eq!(server.stored("any").len(), OTHERS);
}

/// A disk on which writes hang takes none of the threads with it that others need: uploads to other storage go
/// by, and so does everything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_hang_leave_the_server_running() {
    const HANGS: usize = 24;
    let discard = "\n[slots.nowhere]\nwriter = \"discard\"\nmax_entries = 64\n";
    let server = Server::start(&format!("{}{discard}", slots(MEMORY)));
    let file = pattern::file(80, 2 * CHUNK);
    let mut uploads = Vec::new();
    // Each from a connection of its own, so that each could take a thread.
    for _ in 0..HANGS {
        let upload = Uuid::new_v4();
        let mut client = Client::connect(&server.ws()).await;
        let size = file.len() as u64;
        client.register(upload, "once", "hangs.bin", size).await;
        client.chunk(upload, 0, &file[..CHUNK]).await;
        uploads.push((client, upload));
    }
    while server.temporary().len() < HANGS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let paths = server.temporary();
    let mut words = vec![
        "-e",
        "inject=write,writev,pwrite64,pwritev:delay_enter=60000000",
    ];
    for path in &paths {
        words.extend(["-P", path.to_str().expect("UTF-8 path")]);
    }
    let mut strace = block_in_place(|| attach(&server, &words));
    for (client, upload) in &mut uploads {
        client.chunk(*upload, 1, &file[CHUNK..]).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let others = async {
        let mut other = Client::connect(&server.ws()).await;
        for _ in 0..OTHERS {
            let ended = other.upload("nowhere", "small.bin", &file).await;
            assert_eq!(ended["status"], "complete", "{ended}");
            let mut socket = TcpStream::connect(("127.0.0.1", server.port))
                .await
                .expect("connects");
            let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            socket.write_all(request).await.expect("asks");
            let mut answer = String::new();
            socket
                .read_to_string(&mut answer)
                .await
                .expect("is answered");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    };
    let others = tokio::time::timeout(Duration::from_secs(20), others).await;
    others.expect("the server runs");
    block_in_place(|| detach(&mut strace));
}

/// RESUME-2: syncs that hang, of the file under way, the records and the journal, are not waited for by a server
/// that is told to end, and the upload goes on afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_does_not_hold_up_the_end() {
    let dir = Arc::new(TempDir::new().expect("a temporary directory"));
    let [source, library, hang] = ["hang.c", "hang.so", "hang"].map(|name| dir.path().join(name));
    fs::write(&source, HANGING_SYNCS).expect("written");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.expect("cc runs, as for the linker").success());
    let env = [("LD_PRELOAD", &library), ("HANG", &hang)].map(|(name, path)| {
        let path = path.to_str().expect("UTF-8 path");
        (name.to_owned(), path.to_owned())
    });
    let config = format!("durability = \"disk\"\n{}{HOOK}", slots(EMBEDDED));
    let mut server = Server::start_with(dir, &config, env.to_vec());
    let file = pattern::file(79, 4 * CHUNK);
    let uploader = Uploader::new(&server.ws(), "resumable", file.clone());
    let (gate, mut heard) = (uploader.gate.clone(), uploader.watch());
    gate.open_to(3 * CHUNK as u64);
    let sending = tokio::spawn(uploader.complete());
    until(&mut heard, |heard| heard.received >= 3 * CHUNK as u64).await;

    fs::write(&hang, "").expect("written");
    gate.open_wide();
    until(&mut heard, |heard| heard.received == file.len() as u64).await;
    server.signal("TERM");
    let told = Instant::now();
    while server.is_running() {
        assert!(told.elapsed() <= EXIT_MAX, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("gone {:?} after it was told to", told.elapsed());
    let log = server.log();
    assert!(log.contains("at_rest=false"), "the disk did hang:\n{log}");

    fs::remove_file(&hang).expect("removed");
    block_in_place(|| server.restart());
    let report = sending.await.expect("it ends complete");
    assert_eq!(report.heard.restarts, 0, "{:?}", report.heard);
    server.assert_stored_once("resumable", &file);
}
