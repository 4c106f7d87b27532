//! Finished uploads wait for their application (PROTOCOL CTRL-6, COMPLETE-7), over real servers.

#[path = "../integration/support/client.rs"]
#[expect(dead_code, reason = "shared with the tests of the binary")]
#[allow(unreachable_pub, reason = "shared with the tests of the binary")]
mod client;
mod creators;
mod dropped;
mod expired;
mod interrupted;
#[path = "../../../upload-writers/tests/s3/ledger.rs"]
#[expect(dead_code, reason = "shared with the tests of the writer")]
mod ledger;
mod limits;
mod moving;
mod nodes;
#[path = "../../../upload-writers/tests/object_store/store.rs"]
#[expect(dead_code, reason = "shared with the tests of the writer")]
mod objects;
mod overdue;
#[path = "../../../upload-stores/tests/postgres/cluster.rs"]
#[expect(dead_code, reason = "shared with the tests of the store")]
#[allow(unreachable_pub, reason = "shared with the tests of the store")]
mod postgres_server;
#[path = "../integration/support/redis_server.rs"]
#[expect(dead_code, reason = "shared with the tests of the binary")]
#[allow(unreachable_pub, reason = "shared with the tests of the binary")]
mod redis_server;
mod removing;
mod sending;
#[path = "../../../upload-writers/tests/s3/stage.rs"]
#[expect(dead_code, reason = "shared with the tests of the writer")]
mod stage;
mod stores;
mod taking;
mod transactions;
mod world;
