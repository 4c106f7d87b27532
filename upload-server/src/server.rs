//! What all connections of a server share: limits, the budget, who holds what, and its end.

mod admission;
pub(crate) mod budget;
pub(crate) mod error_links;
pub(crate) mod limits;
pub(crate) mod log_limit;
pub(crate) mod open_files;
pub(crate) mod owner_counts;
pub(crate) mod pages;
pub(crate) mod parked;
pub(crate) mod rates;
pub(crate) mod reaper;
pub(crate) mod registry;
pub(crate) mod shared;
pub(crate) mod shares;
pub(crate) mod shutdown;
