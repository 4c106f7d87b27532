//! Finished uploads wait for their application (PROTOCOL CTRL-6, COMPLETE-7), over real servers.

#[path = "../integration/support/client.rs"]
#[expect(dead_code, reason = "shared with the tests of the binary")]
#[allow(unreachable_pub, reason = "shared with the tests of the binary")]
mod client;
mod dropped;
mod expired;
mod interrupted;
mod limits;
mod moving;
mod nodes;
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
mod stores;
mod taking;
mod transactions;
mod world;
