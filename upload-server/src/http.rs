//! Everything before the upgrade: routes, who may connect, and who they are.

#[cfg(feature = "cli")]
pub(crate) mod admin;
pub(crate) mod allowed_hosts;
pub(crate) mod assets;
pub(crate) mod bodies;
pub(crate) mod cookie_key;
#[cfg(feature = "cli")]
pub(crate) mod demo;
#[cfg(feature = "doors")]
pub(crate) mod doors;
pub(crate) mod files;
pub(crate) mod forwarded;
pub(crate) mod handshake;
#[cfg(feature = "cli")]
pub(crate) mod http2;
pub(crate) mod identity;
#[cfg(feature = "doors")]
pub(crate) mod ietf;
pub(crate) mod listener;
#[cfg(any(feature = "doors", feature = "cli"))]
pub(crate) mod method;
pub(crate) mod origin;
#[cfg(feature = "doors")]
pub(crate) mod plain;
#[cfg(feature = "presign")]
pub(crate) mod presign;
mod reads;
pub(crate) mod router;
pub(crate) mod s3_events;
pub(crate) mod session_cookie;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod stream;
#[cfg(feature = "cli")]
pub(crate) mod tls;
#[cfg(feature = "doors")]
pub(crate) mod tus;
#[cfg(feature = "doors")]
pub(crate) mod visit;
pub(crate) mod visitor;
pub(crate) mod write_timeout;
