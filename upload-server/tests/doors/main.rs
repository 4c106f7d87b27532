//! Uploads over HTTP, by requests over real connections.

mod around;
#[path = "../integration/support/client.rs"]
#[expect(dead_code, reason = "shared with the tests of the binary")]
#[allow(unreachable_pub, reason = "shared with the tests of the binary")]
mod client;
mod ietf;
mod page;
mod plain;
mod tus;
mod tus_extensions;
mod wire;
