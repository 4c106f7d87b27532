//! Connections of the application's, and keys that others remove.

use upload_stores::{Expect, Facts, OwnerLimit, Put, RedisStore, UploadStateStore, conformance};

use crate::server::Server;
use crate::{HOUR, key, store};

/// A store conforms on connections of the application's, alone and beside foreign keys.
#[tokio::test]
async fn redis_with_the_clients_of_an_application_conforms() {
    let server = Server::start().await;
    let client = redis::Client::open(server.url()).expect("our own URL");
    for number in 0..300 {
        let name = format!("app:{number}");
        let _: String = server.run(&["SET", &name, "{}"]).await;
    }
    let manager = redis::aio::ConnectionManager::new(client.clone())
        .await
        .expect("connects");
    let shared = RedisStore::with_connection(manager, "a:").expect("a good prefix");
    conformance::all(&shared).await;
    let own = RedisStore::with_client(client, "[b]*:").expect("a good prefix");
    conformance::all(&own).await;
}

/// CTRL-3: counts are right again where Redis removed records before their time, and what is left of an owner
/// at the end is nothing.
#[tokio::test]
async fn counts_outlive_evicted_records() {
    let server = Server::start().await;
    let store = store(&server);
    let limit = OwnerLimit {
        records: 1,
        bytes: 100,
        ..OwnerLimit::NONE
    };
    let put = |expect| {
        let put = Put::new(b"record", expect, HOUR);
        put.counted(Facts::unfinished(60)).limited(limit)
    };
    store
        .put_with(&key(1), put(Expect::Absent))
        .await
        .expect("put");
    let records: Vec<String> = server.run(&["KEYS", "*}0*"]).await;
    assert_eq!(records.len(), 1);
    let _: i64 = server.run(&["DEL", &records[0]]).await;
    let version = store
        .put_with(&key(1), put(Expect::Absent))
        .await
        .expect("it takes the place of the removed one");
    let counts = store.count(Some("owner")).await.expect("count");
    assert_eq!(
        (counts.unfinished.records, counts.unfinished.bytes),
        (1, 60)
    );
    store
        .delete(&key(1), Expect::Version(version))
        .await
        .expect("delete");
    let left: i64 = server.run(&["DBSIZE"]).await;
    assert_eq!(left, 0);
}
