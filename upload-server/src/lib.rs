//! Resumable uploads for axum over WebSocket: a router to mount, a browser client, a ready binary.

mod budget;
mod driver;
mod entries;
mod events;
mod hub;
mod pace;
mod session;
mod shared;
mod slot;
mod socket;
