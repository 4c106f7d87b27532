//! What a slot is: its rules, its files, and what its application is asked and told.

pub(crate) mod answer;
pub(crate) mod entry;
pub(crate) mod events;
mod expired;
pub(crate) mod handlers;
pub(crate) mod lent;
mod listing;
mod mounted;
pub(crate) mod named;
pub(crate) mod overdue;
mod persist;
mod place;
mod places;
mod removals;
mod reruns;
pub(crate) mod slot;
mod stuck;
#[cfg(feature = "postgres")]
mod take_in;
pub(crate) mod timeouts;
pub(crate) mod unclaimed;
pub(crate) mod waiting;
