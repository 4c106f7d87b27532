//! The Postgres store against real servers: conformance, limits over two nodes, the application's own
//! transactions, and every way a server lets one down.

use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Connection, Row};
use tokio::task::JoinSet;
use upload_stores::{
    Expect, Facts, OwnerLimit, POSTGRES_SCHEMA, PostgresStore, Put, PutError, StoreErrorKind,
    UploadKey, UploadStateStore, Version, conformance,
};

#[allow(unreachable_pub, reason = "shared with the tests of the server")]
mod cluster;
#[path = "../redis/forwarder.rs"]
mod forwarder;
mod owners;
mod server;
mod versions;

use forwarder::Forwarder;
use server::Server;

const HOUR: Duration = Duration::from_secs(3600);

fn store(server: &Server) -> PostgresStore {
    PostgresStore::connect(&server.url()).expect("our own URL")
}

fn key(byte: u8) -> UploadKey {
    UploadKey::new("owner", [byte; 16]).expect("a short owner")
}

async fn put(store: &PostgresStore, byte: u8, expect: Expect) -> Version {
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

async fn pool(server: &Server, options: PgPoolOptions) -> PgPool {
    options.connect(&server.url()).await.expect("connects")
}

/// RESUME-4, RESUME-8, CTRL-3: the Postgres store conforms, with its pool and with the application's,
/// whose transactions are isolated more than the store needs.
#[tokio::test]
async fn postgres_conforms() {
    let server = Server::start();
    conformance::all(&store(&server)).await;

    let options = PgPoolOptions::new().after_connect(|connection, _| {
        Box::pin(async move {
            let isolated = "SET default_transaction_isolation = 'repeatable read'";
            sqlx::raw_sql(isolated).execute(connection).await.map(drop)
        })
    });
    let given = PostgresStore::with_pool(pool(&server, options).await);
    conformance::limits_are_per_owner_and_kind(&given).await;
    conformance::racing_creators_stop_at_the_limit(&given).await;
}

/// CTRL-3: 32 creators on two nodes get exactly as many places as the limit has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_holds_over_two_nodes() {
    let server = Server::start();
    let nodes = [store(&server), store(&server)].map(std::sync::Arc::new);
    let limit = OwnerLimit {
        records: 5,
        bytes: u64::MAX,
        ..OwnerLimit::NONE
    };
    for round in 0..4 {
        let owner = format!("owner {round}");
        let mut creators = JoinSet::new();
        for number in 0..32_u8 {
            let node = std::sync::Arc::clone(&nodes[usize::from(number % 2)]);
            let key = UploadKey::new(&owner, [number; 16]).expect("a short owner");
            creators.spawn(async move {
                let put = Put::new(b"record", Expect::Absent, HOUR);
                let put = put.counted(Facts::unfinished(10)).limited(limit);
                node.put_with(&key, put).await
            });
        }
        let mut won = 0;
        while let Some(created) = creators.join_next().await {
            match created.expect("no panic") {
                Ok(_) => won += 1,
                Err(PutError::OverLimit) => {}
                Err(error) => panic!("a creator failed: {error}"),
            }
        }
        assert_eq!(won, 5);
        let counts = nodes[0].count(Some(&owner)).await.expect("count");
        assert_eq!(
            (counts.unfinished.records, counts.unfinished.bytes),
            (5, 50)
        );
    }
}

/// RESUME-4: two processes see each other's records at once, one of them wins, and many that start at the same
/// time make one table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_on_one_server_share_records() {
    let server = Server::start();
    let mut starting = JoinSet::new();
    for _ in 0..8 {
        let store = store(&server);
        starting.spawn(async move { store.set_up().await });
    }
    while let Some(started) = starting.join_next().await {
        started.expect("no panic").expect("set up");
    }
    let (one, two) = (store(&server), store(&server));
    let first = put(&one, 1, Expect::Absent).await;
    let found = two.get(&key(1)).await.expect("get").expect("shared");
    assert_eq!(found.version, first);
    put(&two, 1, Expect::Version(first)).await;
    let late = one
        .put(&key(1), b"late", Expect::Version(first), HOUR)
        .await;
    assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");
}

/// A user that may not make tables uses those that the application made.
#[tokio::test]
async fn the_application_may_make_the_table() {
    let server = Server::start();
    server
        .run("CREATE USER guest; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        .await;
    let guest = server.url().replace("uploads@", "guest@");
    let guest = || PostgresStore::connect(&guest).expect("our own URL");
    let refused = guest().get(&key(1)).await.expect_err("there is no table");
    assert_eq!(refused.kind(), StoreErrorKind::Failed);
    for _ in 0..2 {
        server.run(POSTGRES_SCHEMA).await;
    }
    server
        .run("GRANT SELECT, INSERT, UPDATE, DELETE ON upload_records TO guest")
        .await;
    let version = put(&guest(), 1, Expect::Absent).await;
    guest()
        .delete(&key(1), Expect::Version(version))
        .await
        .expect("delete");
}

/// What the application does with a record commits with its own rows, or not at all.
#[tokio::test]
async fn records_change_within_transactions_of_the_application() {
    let server = Server::start();
    let pool = pool(&server, PgPoolOptions::new()).await;
    let store = PostgresStore::with_pool(pool.clone());
    store.set_up().await.expect("set up");
    server.run("CREATE TABLE mine (name text)").await;
    let version = put(&store, 1, Expect::Absent).await;
    for commits in [false, true] {
        let mut transaction = pool.begin().await.expect("begins");
        sqlx::query("INSERT INTO mine VALUES ('taken')")
            .execute(&mut *transaction)
            .await
            .expect("inserted");
        store
            .delete_in(&mut transaction, &key(1), Expect::Version(version))
            .await
            .expect("deleted");
        let kept = Put::new(b"kept", Expect::Absent, HOUR)
            .counted(Facts::waiting(1))
            .limited(OwnerLimit::NONE);
        store
            .put_in(&mut transaction, &key(2), kept)
            .await
            .expect("put");
        let late = store
            .delete_in(&mut transaction, &key(1), Expect::Version(version))
            .await;
        assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");
        assert!(store.get(&key(1)).await.expect("get").is_some(), "not yet");
        if commits {
            transaction.commit().await.expect("commits");
        } else {
            transaction.rollback().await.expect("rolls back");
        }
        let mine = sqlx::query("SELECT count(*) FROM mine")
            .fetch_one(&pool)
            .await;
        let mine: i64 = mine.expect("counted").get(0);
        assert_eq!(mine == 1, commits);
        assert_eq!(store.get(&key(1)).await.expect("get").is_none(), commits);
        assert_eq!(store.get(&key(2)).await.expect("get").is_some(), commits);
    }
}

/// RESUME-8: a sweep drops what expired, more than one step of it, and nothing else.
#[tokio::test]
async fn a_sweep_reaches_every_record() {
    let server = Server::start();
    let store = store(&server);
    put(&store, 1, Expect::Absent).await;
    server
        .run(
            "INSERT INTO upload_records \
             SELECT 'gone', decode(md5(n::text), 'hex'), n, now() - interval '1 second', 1, 5, '' \
             FROM generate_series(1, 2500) AS n",
        )
        .await;
    let counts = store.count(None).await.expect("count");
    assert_eq!((counts.all.records, counts.unfinished.records), (1, 0));
    assert_eq!(store.sweep().await.expect("sweep"), 2500);
    assert_eq!(store.sweep().await.expect("sweep"), 0);
    assert!(store.get(&key(1)).await.expect("get").is_some());
}

/// RESUME-9: a store can be made while its server is away, and works once it is there.
#[tokio::test]
async fn the_server_may_start_late() {
    let mut server = Server::start();
    server.kill();
    let store = store(&server);
    assert_unavailable(store.get(&key(1)).await);
    assert_unavailable(store.put(&key(1), b"1", Expect::Absent, HOUR).await);
    assert_unavailable(store.delete(&key(1), Expect::Absent).await);
    server.restart();
    put(&store, 1, Expect::Absent).await;
}

/// RESUME-2, RESUME-9: after a killed server is back, every acknowledged record is there, and every call works.
#[tokio::test]
async fn the_server_may_be_killed() {
    let mut server = Server::start();
    let store = store(&server);
    for round in 0..3 {
        let version = put(&store, round, Expect::Absent).await;
        server.kill();
        assert_unavailable(store.get(&key(round)).await);
        server.restart();
        // A connection that was not used for a while is asked first; others find out.
        tokio::time::sleep(Duration::from_millis(600)).await;
        let found = store.get(&key(round)).await.expect("get");
        let found = found.expect("in the log");
        assert_eq!((found.record, found.version), (vec![round], version));
        let version = put(&store, round, Expect::Version(version)).await;
        store
            .delete(&key(round), Expect::Version(version))
            .await
            .expect("delete");
    }
}

/// RESUME-9: what waits for a lock of somebody else is given up after a while, and can only happen under its
/// condition.
#[tokio::test]
async fn a_lock_is_not_waited_for_for_ever() {
    let server = Server::start();
    let store = store(&server);
    let version = put(&store, 1, Expect::Absent).await;
    let mut other = server.connect().await;
    let mut transaction = other.begin().await.expect("begins");
    sqlx::raw_sql("LOCK TABLE upload_records")
        .execute(&mut *transaction)
        .await
        .expect("locked");
    let name = key(1);
    let (read, write) = tokio::join!(
        store.get(&name),
        store.put(&name, b"late", Expect::Version(version), HOUR),
    );
    assert_unavailable(read);
    assert_unavailable(write);
    transaction.rollback().await.expect("rolls back");
    let found = store.get(&name).await.expect("get").expect("either record");
    put(&store, 1, Expect::Version(found.version)).await;
}

/// RESUME-9: the address of a primary leads to another server after a failover, while the old one stays up and
/// says that it is read-only now: the next put finds the new one.
#[tokio::test]
async fn a_failover_to_another_server_is_followed() {
    let (old, new) = (Server::start(), Server::start());
    store(&new).set_up().await.expect("set up");
    let forwarder = Forwarder::start(old.port()).await;
    let store = PostgresStore::connect(&server::url(forwarder.port)).expect("our own URL");
    put(&store, 1, Expect::Absent).await;

    old.set_read_only(true).await;
    for ask in 0.. {
        // The server reads its configuration some moments later.
        assert!(ask < 100, "the server takes writes");
        if store
            .put(&key(100 + ask), b"1", Expect::Absent, HOUR)
            .await
            .is_err()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_unavailable(store.put(&key(200), b"1", Expect::Absent, HOUR).await);
    assert!(store.get(&key(1)).await.expect("reads go on").is_some());

    forwarder.lead_to(new.port());
    let version = put(&store, 201, Expect::Absent).await;
    let there = self::store(&new).get(&key(201)).await.expect("get");
    assert_eq!(there.expect("on the new one").version, version);
    assert!(forwarder.connections() > 1);
}

/// Addresses that cannot work are refused before anything is sent, and passwords are told to nobody.
#[tokio::test]
async fn addresses_and_passwords() {
    for url in ["http://127.0.0.1/", "", "postgres://a:secret@host:port/"] {
        let refused = PostgresStore::connect(url).expect_err("it cannot work");
        assert_eq!(refused.kind(), StoreErrorKind::Failed, "{url}");
        assert!(!format!("{refused:?} {refused}").contains("secret"));
    }
    let server = Server::start();
    let url = server.url().replace("/postgres", "/nowhere");
    let store = PostgresStore::connect(&url).expect("our own URL");
    let refused = store.get(&key(1)).await.expect_err("no such database");
    assert_eq!(refused.kind(), StoreErrorKind::Failed);
    let secret = "postgres://a:secret@127.0.0.1:1/";
    let store = PostgresStore::connect(secret).expect("a good URL");
    let refused = store.get(&key(1)).await.expect_err("nobody is there");
    assert!(!format!("{store:?} {refused:?} {refused}").contains("secret"));
}
