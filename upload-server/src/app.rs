//! What an application writes against: the builder, the options of slots, and the server it gets.

pub(crate) mod argument;
pub(crate) mod build_error;
pub(crate) mod builder;
#[cfg(feature = "doors")]
mod doors;
pub(crate) mod entries;
pub(crate) mod handler;
pub(crate) mod mount;
pub(crate) mod owner;
mod params;
pub(crate) mod reply;
pub(crate) mod slot_options;
pub(crate) mod uploads;
