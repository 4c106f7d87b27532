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
//!     .allow_upload("avatar", SlotOptions::new().accept(".jpg,.jpeg,.png"))
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
//! - [`SlotOptions`] says what a slot takes and where it goes.
//! - [`UploadsBuilder::mount`] decides the slots of a connection from its request.
//! - [`UploadsBuilder::owner`] says who it belongs to.
//! - [`UploadsBuilder::on_event`] answers the page, with the finished files as [`UploadedEntry`].
//! - [`Uploads::shutdown`] flushes running uploads before the program ends, so that clients resume after the
//!   restart.
//!
//! `axum::serve` waits for a client's request without a limit; [`serve`] does not.
//! The ready binary is [`config`] and [`serve`] put together, behind the default feature `cli`; an
//! application does without it: `default-features = false`.
//!
//! What the signatures name of the other crates comes along: [`proto`], [`stores`], [`validate`] and
//! [`writers`].

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
#[cfg(feature = "cli")]
mod auth;
#[cfg(feature = "cli")]
pub mod config;
mod connection;
mod driver;
mod http;
mod metrics;
mod outbox;
mod outgoing;
#[cfg(feature = "presign")]
mod presign;
mod server;
mod slots;
mod test_support;
mod text;

pub use self::app::{
    argument::{Argument, FromCall, Params, ViaCall, ViaParts},
    build_error::BuildError,
    builder::UploadsBuilder,
    entries::{Entries, LendError, Submitted},
    handler::{Arguments, Handler},
    mount::{ConnectionSlots, Mount},
    owner::{AsOwner, Owner},
    reply::EventReply,
    slot_options::{CHUNK_BYTES_MAX, SLOT_NAME_BYTES_MAX, SlotError, SlotOptions},
    uploads::{NotifyError, Uploads},
};
#[cfg(feature = "doors")]
pub use self::http::doors::refusal::Door;
pub use self::http::{
    allowed_hosts::BadHost,
    files::StoredFile,
    forwarded::BadProxy,
    identity::Unauthenticated,
    listener::serve,
    origin::BadOrigin,
    s3_events::ObjectCreated,
    visitor::{SignIn, Visitor},
};
#[cfg(feature = "cli")]
pub use self::http::{demo::DemoSlot, forwarded::is_local};
#[cfg(feature = "cli")]
pub use self::metrics::prometheus::Prometheus;
pub use self::outbox::journal::JournalOpenError;
#[cfg(feature = "presign")]
pub use self::presign::{
    AwsCredentials, PRESIGNED_BYTES_MAX, PresignConfig, PresignError, PresignedPut, Presigner,
    SignError,
};
#[cfg(feature = "cli")]
pub use self::server::reaper::SweepReport;
pub use self::server::{
    limits::Limits, open_files::raise_open_files, rates::RateLimits, shutdown::terminated,
};
pub use self::slots::{
    answer::{Authorization, HandlerError, IntoHandlerError},
    entry::UploadedEntry,
    events::{EventContext, UploadsHandle},
    lent::LentUpload,
    slot::{AuthorizeRequest, CompletedEntry},
    waiting::{TakeError, WaitingUpload},
};
#[cfg(feature = "testing")]
pub use self::test_support::testing;
pub use upload_core::{AuthorizeStage, SessionLimits};
pub use {
    upload_proto as proto, upload_stores as stores, upload_validate as validate,
    upload_writers as writers,
};
