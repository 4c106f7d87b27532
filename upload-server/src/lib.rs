//! Resumable uploads for axum over WebSocket: a router to mount, a browser client, a ready binary.
//!
//! The smallest server, which keeps pictures in `./uploads/avatar`:
//!
//! ```no_run
//! use axum::Router;
//! use upload_server::{SlotOptions, Uploads};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let uploads = Uploads::builder()
//!     .allow_upload("avatar", SlotOptions::new().accept(".jpg,.png"))
//!     .build()?;
//! let app = Router::new().nest("/uploads", uploads.router());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! and the smallest page:
//!
//! ```html
//! <script type="module" src="/uploads/client/index.js"></script>
//! <input type="file" dj-upload="avatar">
//! <div dj-upload-progress="avatar"></div>
//! ```
//!
//! [`SlotOptions`] says what a slot takes and where it goes, [`UploadsBuilder::mount`] decides the
//! slots of a connection from its request, [`UploadsBuilder::owner`] who it belongs to, and
//! [`UploadsBuilder::on_event`] answers the page, with the files at hand as [`UploadedEntry`].
//! Before the program ends, [`Uploads::shutdown`] lets uploads come to rest, so that clients go on
//! after the restart.
//!
//! `axum::serve` waits for ever for a client's request; [`serve`] does not.
//! The ready binary is [`config`] and [`serve`] put together.

// What a peer sends reaches this code: nothing in it may be able to panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod app;
mod assets;
mod bodies;
mod budget;
pub mod config;
mod descriptors;
mod driver;
mod entries;
mod events;
mod guides;
#[cfg(test)]
mod held_up;
mod hooks;
mod http;
mod hub;
mod identity;
mod metrics;
mod mount;
mod options;
mod origin;
mod pace;
mod patience;
#[cfg(feature = "presign")]
mod presign;
mod reaper;
mod router;
mod s3_events;
mod secret;
mod session;
mod shared;
mod shutdown;
mod signature;
mod slot;
mod socket;
mod status;
#[cfg(all(feature = "testing", feature = "presign"))]
#[doc(hidden)]
pub mod testing;
mod upgrade;
mod uploads;

pub use descriptors::raise_open_files;
pub use entries::UploadedEntry;
pub use events::{EventContext, HandlerError, UploadsHandle};
pub use hooks::{HookError, journal::JournalOpenError};
pub use http::serve;
pub use identity::Unauthenticated;
pub use metrics::Prometheus;
pub use mount::Mount;
pub use options::{CHUNK_BYTES_MAX, SLOT_NAME_BYTES_MAX, SlotError, SlotOptions};
pub use origin::BadOrigin;
#[cfg(feature = "presign")]
pub use presign::{
    AwsCredentials, PRESIGNED_BYTES_MAX, PresignConfig, PresignError, PresignedPut, Presigner,
    SignError,
};
pub use reaper::Swept;
pub use s3_events::ObjectCreated;
pub use shared::Limits;
pub use shutdown::terminated;
pub use slot::{AuthorizeRequest, BoxFuture, CompletedEntry, Slot};
pub use upload_core::Moment;
pub use uploads::{BuildError, Uploads, UploadsBuilder};
