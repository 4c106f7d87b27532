//! Versions of records: no two are the same, whatever the server forgets and whichever node made them.

use upload_stores::{Expect, OwnerLimit, Put, PutError, UploadStateStore, Version};

use super::{HOUR, Server, key, put, store};

/// RESUME-4: a server that takes over after a failover may not know which versions were given out last.
#[tokio::test]
async fn versions_are_not_reused_when_the_sequence_goes_back() {
    const BACK: &str = "SELECT setval('upload_record_version', 1, false)";

    let server = Server::start();
    let store = store(&server);
    store.set_up().await.expect("set up");
    for limit in [None, Some(OwnerLimit::NONE)] {
        let name = key(1);
        let put = async |expect: Expect| {
            server.run(BACK).await;
            let put = Put::new(b"record", expect, HOUR);
            store.put_with(&name, Put { limit, ..put }).await
        };
        let first = put(Expect::Absent).await.expect("put");
        let deleted = store.delete(&name, Expect::Version(first)).await;
        deleted.expect("delete");
        let second = put(Expect::Absent).await.expect("put");
        assert_ne!(second, first);
        let late = put(Expect::Version(first)).await;
        assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");
        let third = put(Expect::Version(second)).await.expect("put");
        assert!(third != second && third != first);
        let deleted = store.delete(&name, Expect::Version(third)).await;
        deleted.expect("delete");
    }
}

/// Nodes of the version before, which take versions from the sequence, share the table while both run.
#[tokio::test]
async fn versions_of_the_sequence_are_taken_as_they_are() {
    let server = Server::start();
    let store = store(&server);
    store.set_up().await.expect("set up");
    server
        .run(
            "INSERT INTO upload_records \
             SELECT 'owner', decode(repeat('01', 16), 'hex'), nextval('upload_record_version'), \
                    now() + interval '1 hour', 0, 0, 'old'",
        )
        .await;
    let found = store.get(&key(1)).await.expect("get").expect("there");
    assert_eq!((found.record, found.version), (b"old".to_vec(), Version(1)));
    let ours = put(&store, 1, Expect::Version(found.version)).await;

    let change = format!(
        "DO $$ BEGIN \
         UPDATE upload_records SET version = nextval('upload_record_version') WHERE version = {}; \
         ASSERT FOUND; END $$",
        ours.0
    );
    server.run(&change).await;
    let found = store.get(&key(1)).await.expect("get").expect("there");
    assert_eq!(found.version, Version(2));
    let late = store.delete(&key(1), Expect::Version(ours)).await;
    assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");
}
