//! Resumable uploads for axum over WebSocket: a router to mount, a browser client, a ready binary.

mod app;
mod assets;
mod budget;
mod driver;
mod entries;
mod events;
mod hub;
mod identity;
mod metrics;
mod mount;
mod options;
mod origin;
mod pace;
mod reaper;
mod router;
mod secret;
mod session;
mod shared;
mod shutdown;
mod slot;
mod socket;
mod status;
mod upgrade;
mod uploads;

pub use entries::UploadedEntry;
pub use events::{EventContext, HandlerError, UploadsHandle};
pub use identity::Unauthenticated;
pub use metrics::Prometheus;
pub use mount::Mount;
pub use options::{CHUNK_BYTES_MAX, SLOT_NAME_BYTES_MAX, SlotError, SlotOptions};
pub use origin::BadOrigin;
pub use reaper::Swept;
pub use shared::Limits;
pub use slot::{AuthorizeRequest, BoxFuture, CompletedEntry, Slot};
pub use uploads::{BuildError, Uploads, UploadsBuilder};
