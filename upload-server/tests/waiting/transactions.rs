//! Taken within a transaction of the application's, together with its own rows (PROTOCOL CTRL-6).

use std::{sync::Arc, time::Duration};

use serde_json::json;
use sqlx::{PgPool, Row};
use upload_server::{
    Limits, SessionLimits, TakeError,
    stores::{PostgresStore, UploadStateStore},
};
use uuid::Uuid;

use crate::{
    postgres_server::PostgresServer,
    world::{ALICE, World, as_ref, bytes, fire, until, upload},
};

/// A database with a table of the application's, and two nodes that keep their records in it.
struct Site {
    _server: PostgresServer,
    db: PgPool,
    one: World,
    two: World,
}

impl Site {
    async fn start() -> Self {
        let server = PostgresServer::start();
        let url = format!("postgres://uploads@127.0.0.1:{}/postgres", server.port);
        let db = PgPool::connect(&url).await.expect("it takes connections");
        let table = "CREATE TABLE avatars (take_id text PRIMARY KEY, name text NOT NULL)";
        sqlx::query(table).execute(&db).await.expect("a table");
        let dir = Arc::new(tempfile::TempDir::new().expect("a directory"));
        let limits = Limits {
            session: SessionLimits {
                lease_ttl: Duration::from_secs(1),
                ..SessionLimits::default()
            },
            ..Limits::default()
        };
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let store: Arc<dyn UploadStateStore> = Arc::new(PostgresStore::with_pool(db.clone()));
            let limits = limits.clone();
            let node = World::on(Arc::clone(&dir), |it| it.store(store).limits(limits)).await;
            nodes.push(node);
        }
        let two = nodes.pop().expect("two nodes");
        let one = nodes.pop().expect("two nodes");
        Self {
            _server: server,
            db,
            one,
            two,
        }
    }

    async fn rows(&self) -> Vec<String> {
        let rows = sqlx::query("SELECT name FROM avatars ORDER BY name");
        let rows = rows.fetch_all(&self.db).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

async fn insert(transaction: &mut sqlx::PgConnection, take_id: &str, name: &str) {
    let row = sqlx::query("INSERT INTO avatars VALUES ($1, $2)");
    let row = row.bind(take_id).bind(name).execute(transaction).await;
    row.expect("a row");
}

/// CTRL-6: the row and the upload are committed together; its place is free then, and no one is lent it.
#[tokio::test]
async fn ctrl_6_a_transaction_takes_the_upload_with_its_rows() {
    let site = Site::start().await;
    let mut client = site.one.client(ALICE).await;
    let avatar = upload(&mut client, "one", "me.txt", &bytes(5000)).await;
    let lent = site.one.uploads.lend("alice", as_ref(avatar)).await;
    let lent = lent.expect("it waits");
    let mut transaction = site.db.begin().await.expect("a transaction");
    insert(&mut transaction, lent.take_id(), "me").await;
    let entry = lent.take_in(&mut transaction).await.expect("lent");
    assert_eq!(entry.client_name(), "me.txt");
    // Longer than its lease: another node waits for the transaction.
    let uploads = site.two.uploads.clone();
    let other = tokio::spawn(async move { uploads.lend("alice", as_ref(avatar)).await.err() });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!other.is_finished(), "it is neither lent nor taken yet");
    transaction.commit().await.expect("committed");
    assert_eq!(other.await.expect("no panic"), Some(TakeError::Taken));
    assert_eq!(site.rows().await, ["me"]);
    for node in [&site.one, &site.two] {
        let listed = node.uploads.list("alice").await.expect("listed");
        assert!(listed.is_empty());
    }
    let again = fire(&mut client, "save", Some(&[avatar])).await;
    assert_eq!(again["taken"], json!([avatar.to_string()]));
    // Its place in the slot of one is free, once the node that lent it knows.
    for tries in 0.. {
        let next = client.register(Uuid::new_v4(), "one", "b.txt", 4).await;
        if next["type"] == "upload_registered" {
            break;
        }
        assert!(tries < 200, "{next}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// CTRL-6: what was rolled back was not taken, whatever was written, and is lent again under the same take id.
#[tokio::test]
async fn ctrl_6_a_transaction_that_is_rolled_back_takes_nothing() {
    let site = Site::start().await;
    let mut client = site.one.client(ALICE).await;
    let avatar = upload(&mut client, "one", "me.txt", b"mine").await;
    let mut last = None::<(String, u32)>;
    for round in 0..4 {
        let node = [&site.one, &site.two][round % 2];
        let lent = node.uploads.lend("alice", as_ref(avatar)).await;
        let lent = lent.expect("it waits");
        if let Some((take_id, attempt)) = last {
            assert_eq!((lent.take_id(), lent.attempt()), (&*take_id, attempt + 1));
        }
        last = Some((lent.take_id().to_owned(), lent.attempt()));
        let mut transaction = site.db.begin().await.expect("a transaction");
        insert(&mut transaction, lent.take_id(), "me").await;
        lent.take_in(&mut transaction).await.expect("lent");
        match round {
            0 => transaction.rollback().await.expect("rolled back"),
            1 => drop(transaction),
            // The server refuses the rest of it.
            2 => {
                let row = sqlx::query("INSERT INTO avatars VALUES (NULL, NULL)");
                row.execute(&mut *transaction).await.expect_err("no row");
                drop(transaction.commit().await);
            }
            _ => transaction.commit().await.expect("committed"),
        }
    }
    assert_eq!(site.rows().await, ["me"]);
    let again = site.two.uploads.lend("alice", as_ref(avatar)).await;
    assert_eq!(again.err(), Some(TakeError::Taken));
}

/// CTRL-6: a loan that is over takes nothing, and neither does one whose record is somewhere else.
#[tokio::test]
async fn ctrl_6_a_transaction_takes_only_what_is_lent_in_its_database() {
    let site = Site::start().await;
    let elsewhere = World::start().await;
    let mut client = elsewhere.client(ALICE).await;
    let avatar = upload(&mut client, "one", "me.txt", b"mine").await;
    let lent = elsewhere.uploads.lend("alice", as_ref(avatar)).await;
    let mut transaction = site.db.begin().await.expect("a transaction");
    let taken = lent.expect("it waits").take_in(&mut transaction).await;
    assert_eq!(taken.err(), Some(TakeError::NotInPostgres));
    transaction.rollback().await.expect("rolled back");
    until("it waits again", || elsewhere.files("one") == 1).await;

    let mut client = site.one.client(ALICE).await;
    let avatar = upload(&mut client, "one", "me.txt", b"mine").await;
    let lent = site.one.uploads.lend("alice", as_ref(avatar)).await;
    let lent = lent.expect("it waits");
    // Somebody removed its record.
    let gone = sqlx::query("DELETE FROM upload_records").execute(&site.db);
    gone.await.expect("deleted");
    let mut transaction = site.db.begin().await.expect("a transaction");
    let taken = lent.take_in(&mut transaction).await;
    assert_eq!(taken.err(), Some(TakeError::Lost));
}
