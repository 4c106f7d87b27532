//! The Redis store against real servers: conformance, and every way a server lets one down.

use std::time::Duration;

use upload_stores::{
    Expect, PutError, RedisStore, StoreErrorKind, UploadKey, UploadStateStore, Version, conformance,
};

mod clients;
mod forwarder;
mod owners;
mod server;

use forwarder::Forwarder;
use server::Server;

const HOUR: Duration = Duration::from_secs(3600);

fn store(server: &Server) -> RedisStore {
    RedisStore::connect(&server.url(), "uploads:").expect("our own URL")
}

fn key(byte: u8) -> UploadKey {
    UploadKey::new("owner", [byte; 16]).expect("a short owner")
}

async fn put(store: &RedisStore, byte: u8, expect: Expect) -> Version {
    store
        .put(&key(byte), &[byte], expect, HOUR)
        .await
        .expect("put")
}

/// Asserts that the store is in trouble that may pass.
fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, impl Into<PutError>>) {
    match answer.map_err(Into::into) {
        Err(PutError::Store(error)) if error.kind() == StoreErrorKind::Unavailable => {}
        other => panic!("not unavailable: {other:?}"),
    }
}

/// RESUME-4, RESUME-8: the Redis store conforms; each key has a time to live and one hash tag.
#[tokio::test]
async fn redis_conforms() {
    let server = Server::start().await;
    conformance::all(&store(&server)).await;

    let keys: Vec<String> = server.run(&["KEYS", "*"]).await;
    assert!(keys.len() > 10, "the suite leaves records behind");
    for name in keys {
        let ttl: i64 = server.run(&["PTTL", &name]).await;
        assert!(ttl > 0, "{name} lives for ever");
        let (inner, _) = name
            .strip_prefix("uploads:{o")
            .and_then(|rest| rest.split_once('}'))
            .unwrap_or_else(|| panic!("{name} is no key of ours"));
        assert!(!inner.contains(['{', '}']), "{name}");
    }
}

/// RESUME-4: two processes see each other's records at once, and one of them wins.
#[tokio::test]
async fn stores_on_one_server_share_records() {
    let server = Server::start().await;
    let (one, two) = (store(&server), store(&server));
    assert!(one.is_shared());
    let first = put(&one, 1, Expect::Absent).await;
    let found = two
        .get(&key(1))
        .await
        .expect("get")
        .expect("the other put it");
    assert_eq!(found.version, first);
    put(&two, 1, Expect::Version(first)).await;
    let late = one
        .put(&key(1), b"late", Expect::Version(first), HOUR)
        .await;
    assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");

    let elsewhere = RedisStore::connect(&server.url(), "other:").expect("our own URL");
    assert_eq!(elsewhere.get(&key(1)).await.expect("get"), None);
}

/// RESUME-9: a store can be made while its server is away, and works once it is there.
#[tokio::test]
async fn the_server_may_start_late() {
    let mut server = Server::start().await;
    server.kill();
    let store = store(&server);
    assert_unavailable(store.get(&key(1)).await);
    assert_unavailable(store.put(&key(1), b"1", Expect::Absent, HOUR).await);
    assert_unavailable(store.delete(&key(1), Expect::Absent).await);
    server.restart().await;
    put(&store, 1, Expect::Absent).await;
}

/// RESUME-9: after a killed server is back, with its log, every call works, and the first at once.
#[tokio::test]
async fn the_server_may_be_killed() {
    let mut server = Server::start().await;
    let store = store(&server);
    for round in 0..3 {
        let version = put(&store, round, Expect::Absent).await;
        server.kill();
        assert_unavailable(store.get(&key(round)).await);
        assert_unavailable(
            store
                .put(&key(round), b"x", Expect::Version(version), HOUR)
                .await,
        );
        server.restart().await;
        let found = store
            .get(&key(round))
            .await
            .expect("get")
            .expect("in the log");
        assert_eq!((found.record, found.version), (vec![round], version));
        let version = put(&store, round, Expect::Version(version)).await;
        store
            .delete(&key(round), Expect::Version(version))
            .await
            .expect("delete");
    }
    // Nothing was asked while it was away: the next call finds a dead connection.
    let version = put(&store, 9, Expect::Absent).await;
    server.restart().await;
    put(&store, 9, Expect::Version(version)).await;
}

/// RESUME-9: a server that stands still is given up after a while, not waited for; what was asked
/// meanwhile can only happen under its condition.
#[tokio::test]
async fn the_server_may_freeze() {
    let server = Server::start().await;
    let store = store(&server);
    let version = put(&store, 1, Expect::Absent).await;
    server.signal("STOP");
    let name = key(1);
    let (read, write) = tokio::join!(
        store.get(&name),
        store.put(&name, b"frozen", Expect::Version(version), HOUR),
    );
    assert_unavailable(read);
    assert_unavailable(write);
    server.signal("CONT");
    let found = store
        .get(&key(1))
        .await
        .expect("get")
        .expect("either record");
    assert!(
        (found.version == version && found.record == [1])
            || (found.version != version && found.record == b"frozen"),
        "{found:?}"
    );
    put(&store, 1, Expect::Version(found.version)).await;
}

/// RESUME-9: writes paused by an operator are unavailable; the reads of others go on.
#[tokio::test]
async fn writes_may_be_paused() {
    let server = Server::start().await;
    let store = store(&server);
    let version = put(&store, 1, Expect::Absent).await;
    let _: String = server.run(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    assert_unavailable(store.put(&key(2), b"2", Expect::Absent, HOUR).await);
    // What is asked after a paused write on the same connection waits behind it.
    assert_unavailable(store.get(&key(1)).await);
    let other = self::store(&server);
    let found = other.get(&key(1)).await.expect("get").expect("reads go on");
    assert_eq!(found.version, version);
    let _: String = server.run(&["CLIENT", "UNPAUSE"]).await;
    put(&store, 1, Expect::Version(version)).await;
}

/// RESUME-9: a server out of memory takes nothing new, but gives and deletes.
#[tokio::test]
async fn memory_may_run_out() {
    let server = Server::start().await;
    let store = store(&server);
    let version = put(&store, 1, Expect::Absent).await;
    let _: String = server.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_unavailable(store.put(&key(2), b"2", Expect::Absent, HOUR).await);
    assert_unavailable(
        store
            .put(&key(1), b"1", Expect::Version(version), HOUR)
            .await,
    );
    assert_eq!(store.get(&key(2)).await.expect("get"), None);
    store
        .delete(&key(1), Expect::Version(version))
        .await
        .expect("delete makes room");
    let _: String = server.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    put(&store, 2, Expect::Absent).await;
}

/// RESUME-9: a server that became a replica is unavailable to writes, and to reads where it does
/// not serve old data.
#[tokio::test]
async fn the_server_may_become_a_replica() {
    let server = Server::start().await;
    let store = store(&server);
    let version = put(&store, 1, Expect::Absent).await;
    let nobody = server::free_port().to_string();
    let _: String = server.run(&["REPLICAOF", "127.0.0.1", &nobody]).await;
    assert_unavailable(
        store
            .put(&key(1), b"1", Expect::Version(version), HOUR)
            .await,
    );
    assert_unavailable(store.delete(&key(1), Expect::Version(version)).await);
    assert!(
        store
            .get(&key(1))
            .await
            .expect("old data is served")
            .is_some()
    );

    let option = ["CONFIG", "SET", "replica-serve-stale-data", "no"];
    let _: String = server.run(&option).await;
    assert_unavailable(store.get(&key(1)).await);

    let _: String = server.run(&["REPLICAOF", "NO", "ONE"]).await;
    put(&store, 1, Expect::Version(version)).await;
}

/// RESUME-9: after a failover the same name leads to another server, while the old one stays as it is and
/// only says that it is a replica now. The next put finds the new one, and gets do as well.
#[tokio::test]
async fn a_failover_to_another_server_is_followed() {
    let (old, new) = (Server::start().await, Server::start().await);
    let forwarder = Forwarder::start(old.port()).await;
    let store = RedisStore::connect(&server::url(forwarder.port), "uploads:").expect("our own URL");
    let version = put(&store, 1, Expect::Absent).await;
    let master = ["REPLICAOF", "127.0.0.1", &old.port().to_string()];
    let _: String = new.run(&master).await;
    until_there(&new).await;

    let _: String = new.run(&["REPLICAOF", "NO", "ONE"]).await;
    let replica = ["REPLICAOF", "127.0.0.1", &new.port().to_string()];
    let _: String = old.run(&replica).await;
    forwarder.lead_to(new.port());
    let version = put(&store, 1, Expect::Version(version)).await;
    let names: Vec<String> = new.run(&["KEYS", "*}0*"]).await;
    assert_eq!(names.len(), 1);
    let found = store.get(&key(1)).await.expect("get").expect("is there");
    assert_eq!(found.version, version);
    store
        .delete(&key(1), Expect::Version(version))
        .await
        .expect("delete");
    assert_eq!(forwarder.connections(), 2, "one to each");
}

/// Waits until a replica has the record.
async fn until_there(replica: &Server) {
    for ask in 0.. {
        assert!(ask < 1500, "nothing is replicated");
        let count: i64 = replica.run(&["DBSIZE"]).await;
        // The record, and what its owner has.
        if count == 3 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A server that forgot its scripts is told them again.
#[tokio::test]
async fn scripts_may_be_forgotten() {
    let server = Server::start().await;
    let store = store(&server);
    let version = put(&store, 1, Expect::Absent).await;
    let _: String = server.run(&["SCRIPT", "FLUSH"]).await;
    let version = put(&store, 1, Expect::Version(version)).await;
    let _: String = server.run(&["SCRIPT", "FLUSH"]).await;
    store
        .delete(&key(1), Expect::Version(version))
        .await
        .expect("delete");
}

/// What somebody else keeps under a key of ours is corrupt, never a record, and never overwritten.
#[tokio::test]
async fn foreign_values_are_corrupt() {
    let server = Server::start().await;
    let store = store(&server);
    put(&store, 1, Expect::Absent).await;
    let names: Vec<String> = server.run(&["KEYS", "*}0*"]).await;
    for value in ["{\"json\": 1}", "short", "\u{1}1234567"] {
        let _: String = server.run(&["SET", &names[0], value]).await;
        let read = store.get(&key(1)).await.expect_err("no record");
        assert_eq!(read.kind(), StoreErrorKind::Corrupt, "{value}");
        let write = store.put(&key(1), b"1", Expect::Absent, HOUR).await;
        assert!(matches!(write, Err(PutError::Conflict)), "{write:?}");
    }
    let _: i64 = server.run(&["DEL", &names[0]]).await;
    let _: i64 = server.run(&["HSET", &names[0], "a", "b"]).await;
    let read = store.get(&key(1)).await.expect_err("no record");
    assert_eq!(read.kind(), StoreErrorKind::Corrupt);
    let write = store.put(&key(1), b"1", Expect::Absent, HOUR).await;
    let Err(PutError::Store(error)) = write else {
        panic!("a hash was answered {write:?}");
    };
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

/// A password that is wrong is not waited out.
#[tokio::test]
async fn a_wrong_password_is_a_failure() {
    let server = Server::start().await;
    let _: String = server.run(&["CONFIG", "SET", "requirepass", "right"]).await;
    let with = |password: &str| {
        let url = format!("redis://:{password}@127.0.0.1:{}/", server.port());
        RedisStore::connect(&url, "uploads:").expect("our own URL")
    };
    let refused = with("wrong")
        .get(&key(1))
        .await
        .expect_err("the password is wrong");
    assert_eq!(refused.kind(), StoreErrorKind::Failed);
    assert!(!format!("{refused:?} {:?}", with("wrong")).contains("wrong"));
    put(&with("right"), 1, Expect::Absent).await;
}

/// Addresses and prefixes that cannot work are refused before anything is sent.
#[tokio::test]
async fn bad_addresses_and_prefixes_are_refused() {
    for (url, prefix) in [
        ("http://127.0.0.1/", "uploads:"),
        ("", "uploads:"),
        ("redis://127.0.0.1/", "up{loads}:"),
        ("redis://127.0.0.1/", &"p".repeat(129)),
    ] {
        let refused = RedisStore::connect(url, prefix).expect_err("it cannot work");
        assert_eq!(refused.kind(), StoreErrorKind::Failed, "{url} {prefix}");
    }
}

/// RESUME-4: on a cluster of two, whose slots are split between them, the store conforms.
#[tokio::test]
async fn redis_cluster_conforms() {
    let options = ["--cluster-enabled", "yes"];
    let one = Server::start_with(&options).await;
    let two = Server::start_with(&options).await;
    let _: String = one.run(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]).await;
    let _: String = two
        .run(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"])
        .await;
    let port = two.port().to_string();
    let _: String = one.run(&["CLUSTER", "MEET", "127.0.0.1", &port]).await;
    for server in [&one, &two] {
        for ask in 0.. {
            assert!(ask < 1500, "the cluster does not come together");
            let info: String = server.run(&["CLUSTER", "INFO"]).await;
            if info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let store = RedisStore::cluster([one.url()], "uploads:").expect("our own URL");
    conformance::all(&store).await;
    let client = redis::cluster::ClusterClient::new([two.url()]).expect("our own URL");
    let connection = client.get_async_connection().await.expect("connects");
    let given = RedisStore::with_cluster_connection(connection, "given:").expect("a good prefix");
    conformance::all(&given).await;
    for server in [&one, &two] {
        let count: i64 = server.run(&["DBSIZE"]).await;
        assert!(count > 0, "each has its part of the records");
    }
}
