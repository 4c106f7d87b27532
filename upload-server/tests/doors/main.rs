//! Uploads over HTTP, by requests over real connections.

mod around;
mod carriers;
#[path = "../integration/support/client.rs"]
#[expect(dead_code, reason = "shared with the tests of the binary")]
#[allow(unreachable_pub, reason = "shared with the tests of the binary")]
mod client;
mod clients;
#[path = "../integration/support/pattern.rs"]
#[allow(unreachable_pub, reason = "shared with the tests of the binary")]
mod dice;
mod ietf;
mod ietf_answers;
mod leaving;
mod page;
mod plain;
mod races;
mod shares;
mod sign_in;
mod slow;
mod splits;
mod tokens;
mod tus;
mod tus_extensions;
mod unread;
mod whole;
mod wire;
