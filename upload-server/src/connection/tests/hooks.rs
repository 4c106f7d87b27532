//! Hooks learn of a stored file before anybody else does, also where the server ends meanwhile.

use std::sync::Arc;

use serde_json::json;
use upload_writers::Recorded;

use super::harness::*;
use crate::{
    outbox::{
        hooks::{Hook, Hooks},
        journal::{Journal, JournalError},
        queue,
    },
    server::shared::Shared,
};

fn shared(server: &mut Server) -> &mut Shared {
    Arc::get_mut(&mut server.shared).expect("no connection yet")
}

fn hooks(journal: &Journal) -> Option<Arc<Hooks>> {
    let hook = Hook::new(None, "http://127.0.0.1:1/uploaded", b"secret").expect("an address");
    let hooks = Hooks::new(vec![hook], journal.clone()).expect("it can be called");
    Some(Arc::new(hooks))
}

/// COMPLETE-3: a file whose writer closed when the journal was closed already gets no receipt; the
/// next server finds it finished, and tells its hooks before the client.
#[tokio::test]
async fn a_file_stored_while_the_server_ends_is_told_of_by_the_next() {
    let journal = Journal::open(None).expect("opened");
    let closed = journal.clone();
    the_next_server_tells(journal, async move { closed.close().await }).await;
}

/// COMPLETE-3: so it is where the journal fails for good.
#[tokio::test]
async fn a_file_that_the_outbox_does_not_take_is_told_of_by_the_next() {
    let journal = Journal::open(None).expect("opened");
    let broken = journal.clone();
    let fail = async move {
        let failed = broken.write::<(), _>(|_| panic!("asked to panic")).await;
        assert_eq!(failed, Err(JournalError::Failed));
    };
    the_next_server_tells(journal, fail).await;
}

async fn the_next_server_tells(outbox: Journal, spoil: impl Future<Output = ()>) {
    let mut server = Server::new();
    shared(&mut server).hooks = hooks(&outbox);
    let bytes = pattern(2 * CHUNK + 5);
    let mut client = server.connect().await;
    client.register("videos", upload(1), bytes.len()).await;
    client.chunks(upload(1), &bytes).await;
    spoil.await;
    client.complete(upload(1), &bytes).await;
    let id = upload(1).to_string();
    while server.storage.recorded.calls(&id).last() != Some(&Recorded::Close) {
        tokio::task::yield_now().await;
    }
    drain().await;
    client.session.abort();

    let journal = Journal::open(None).expect("opened");
    let mut next = Server::new();
    let state = shared(&mut next);
    state.slots = Arc::clone(&server.shared.slots);
    state.store = Arc::clone(&server.shared.store);
    state.hooks = hooks(&journal);
    let mut client = next.connect().await;
    let resume = json!({ "type": "upload_resume", "ref": upload(1), "client_id": "c" });
    client.text(resume).await;
    let ending = client.until(|m| m["type"] == "upload_progress").await;
    assert_eq!(ending["status"], "complete", "{ending}");
    let waiting = journal.read(queue::list).await.expect("listed");
    assert_eq!(waiting.len(), 1);
    let calls = server.storage.recorded.calls(&id);
    let closes = calls.iter().filter(|call| **call == Recorded::Close);
    assert_eq!(closes.count(), 1, "{calls:?}");
}
