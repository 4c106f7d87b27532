//! What an owner of whom much expired costs.

use upload_stores::{Expect, Facts, OwnerLimit, Put, UploadKey, UploadStateStore};

use super::{HOUR, Server, store};

/// Records that expired and are counted still.
const EXPIRED: u64 = 1000;

/// Expired records that one call counts out at most.
const FORGOTTEN_MAX: u64 = 200;

/// Adds records that expired, as they are left where their owner makes no call for a while.
const EXPIRE: &str = "for n = 1, 1000 do \
     local upload = string.format('%032x', n) \
     redis.call('ZADD', KEYS[1], n, upload) \
     redis.call('HSET', KEYS[2], upload, '1:5:100') \
     end \
     for sum, number in pairs({n1 = 1000, b1 = 5000, n = 1000, b = 100000}) do \
     redis.call('HINCRBY', KEYS[2], sum, number) \
     end";

fn key(number: u8) -> UploadKey {
    UploadKey::new("many", [number; 16]).expect("a short owner")
}

/// One call counts out a bounded number of what expired of its owner, and a limit holds as if all of it were.
#[tokio::test]
async fn what_expired_is_counted_out_in_bounded_steps() {
    let server = Server::start().await;
    let store = store(&server);
    let put = Put::new(b"record", Expect::Absent, HOUR);
    store.put_with(&key(1), put).await.expect("put");
    let index = "uploads:{o6d616e79}#expiry";
    let facts = "uploads:{o6d616e79}#facts";
    let () = server.run(&["EVAL", EXPIRE, "2", index, facts]).await;

    let mut before: u64 = server.run(&["ZCARD", index]).await;
    assert_eq!(before, EXPIRED + 1);
    store.put_with(&key(2), put).await.expect("put");
    let after: u64 = server.run(&["ZCARD", index]).await;
    assert_eq!(after, before + 1 - FORGOTTEN_MAX);

    let limit = OwnerLimit {
        records: 1,
        ..OwnerLimit::NONE
    };
    let limited = put.counted(Facts::unfinished(1)).limited(limit);
    store.put_with(&key(3), limited).await.expect("within");
    before = server.run(&["ZCARD", index]).await;
    assert_eq!(before, 3);

    let () = server.run(&["EVAL", EXPIRE, "2", index, facts]).await;
    let counts = store.count(Some("many")).await.expect("count");
    assert_eq!((counts.unfinished.records, counts.all.records), (1, 3));
}
