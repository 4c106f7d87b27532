//! A disk that takes two seconds for every write, under one upload of a connection.
//!
//! `strace` delays each write of that one file where a slow file system would: inside the call, on the thread
//! that made it.

use std::time::{Duration, Instant};

use tokio::task::block_in_place;
use uuid::Uuid;

use crate::{
    client::Client,
    pattern,
    server::{MEMORY, Server, slots},
    strace::{attach, detach},
};

const CHUNK: usize = 65_536;
/// Within the first window, and more than the writer takes in three writes.
const SLOW_BYTES: usize = 60 * CHUNK;
/// Uploads that go by while the disk is slow.
const OTHERS: usize = 5;

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
