//! What an owner with many records costs, over tables of any version.

use std::time::{Duration, Instant};

use sqlx::Row;
use upload_stores::{
    Expect, Facts, OwnerLimit, PostgresStore, Put, PutError, UploadKey, UploadStateStore,
};

use super::{HOUR, Server, store};

/// Receipts that one owner has.
const RECEIPTS: u64 = 5000;

/// Puts that are refused.
const REFUSED: u64 = 20;

const LIMIT: OwnerLimit = OwnerLimit {
    records: 1,
    ..OwnerLimit::NONE
};

async fn create(store: &PostgresStore, number: u8) -> Result<(), PutError> {
    let key = UploadKey::new("many", [number; 16]).expect("a short owner");
    let put = Put::new(b"record", Expect::Absent, HOUR).counted(Facts::unfinished(1));
    store.put_with(&key, put.limited(LIMIT)).await.map(drop)
}

async fn has_index(server: &Server) -> bool {
    let mut connection = server.connect().await;
    sqlx::query("SELECT to_regclass('upload_records_counted') IS NOT NULL")
        .fetch_one(&mut connection)
        .await
        .expect("asked")
        .get(0)
}

/// The rows of the table that statements have looked at.
async fn rows_seen(server: &Server) -> u64 {
    let mut connection = server.connect().await;
    let seen: i64 = sqlx::query(
        "SELECT (seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables \
         WHERE relname = 'upload_records'",
    )
    .fetch_one(&mut connection)
    .await
    .expect("asked")
    .get(0);
    seen.cast_unsigned()
}

/// A put within a limit looks at what counts, and not at its owner's receipts.
#[tokio::test]
async fn a_limited_put_looks_at_no_receipts() {
    let server = Server::start();
    let before = store(&server);
    create(&before, 1).await.expect("within");
    before.close().await;
    server
        .run(&format!(
            "INSERT INTO upload_records \
             SELECT 'many', decode(md5(n::text), 'hex'), n, now() + interval '1 hour', 0, 0, '' \
             FROM generate_series(1, {RECEIPTS}) AS n"
        ))
        .await;
    server.run("VACUUM ANALYZE upload_records").await;
    let seen = rows_seen(&server).await;

    let store = store(&server);
    for number in 0..REFUSED {
        let refused = create(&store, 100 + u8::try_from(number).expect("few")).await;
        assert!(matches!(refused, Err(PutError::OverLimit)), "{refused:?}");
    }
    let counts = store.count(Some("many")).await.expect("count");
    assert_eq!(counts.all.records, RECEIPTS + 1);
    // A connection that ends says what it did.
    store.close().await;
    let by = Instant::now() + Duration::from_secs(20);
    let mut looked = 0;
    // The count looked at every row.
    while looked < RECEIPTS {
        assert!(Instant::now() < by, "{looked} rows");
        tokio::time::sleep(Duration::from_millis(50)).await;
        looked = rows_seen(&server).await - seen;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    looked = rows_seen(&server).await - seen;
    assert!(looked < 3 * RECEIPTS, "{looked} rows for {REFUSED} puts");
}

/// A table of the version before is used as it is, and its index is made meanwhile.
#[tokio::test]
async fn a_table_without_the_index_gets_it() {
    let server = Server::start();
    let first = store(&server);
    first.set_up().await.expect("set up");
    assert!(has_index(&server).await);
    server.run("DROP INDEX upload_records_counted").await;
    create(&first, 1)
        .await
        .expect("the version before works on");

    let second = store(&server);
    let refused = create(&second, 2).await;
    assert!(matches!(refused, Err(PutError::OverLimit)), "{refused:?}");
    let by = Instant::now() + Duration::from_secs(20);
    while !has_index(&server).await {
        assert!(Instant::now() < by, "there is no index");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A user that may not make the index does without it.
#[tokio::test]
async fn a_guest_does_without_the_index() {
    let server = Server::start();
    store(&server).set_up().await.expect("set up");
    server
        .run(
            "DROP INDEX upload_records_counted; CREATE USER guest; \
             REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON upload_records TO guest; \
             GRANT USAGE ON SEQUENCE upload_record_version TO guest",
        )
        .await;
    let guest = server.url().replace("uploads@", "guest@");
    let guest = PostgresStore::connect(&guest).expect("our own URL");
    create(&guest, 1).await.expect("within");
    let refused = create(&guest, 2).await;
    assert!(matches!(refused, Err(PutError::OverLimit)), "{refused:?}");
    assert!(!has_index(&server).await);
}
