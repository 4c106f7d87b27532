//! What every store must do, as functions that panic where one does not.
//!
//! Call [`all`] on your store, or the parts one by one. Each part uses keys that were never used before, so
//! the store may hold other records and several suites may run on it at once. Expiry is waited for
//! by asking again and again; under a paused tokio clock, a store that goes by that clock is done
//! at once.

use crate::store::UploadStateStore;

mod conditions;
mod expiry;
mod keys;
mod limits;
mod lists;
mod races;
mod steps;
mod values;

pub use conditions::{
    delete_expectations, delete_is_idempotent, put_expectations, stale_versions_conflict,
    versions_are_never_reused,
};
pub use expiry::{
    any_time_to_live, expired_is_missing, put_renews_the_time_to_live, sweep_leaves_the_living,
};
pub use keys::{odd_owners, owners_are_apart, uploads_are_apart};
pub use limits::{
    counts_follow_the_records, expired_is_not_counted, limits_are_per_owner_and_kind,
    many_records_of_an_owner_leave_its_places, racing_creators_stop_at_the_limit,
    receipts_are_records, what_is_stored_is_limited_over_both_kinds,
};
pub use lists::{lists_give_every_record, lists_of_an_owner_give_its_records};
pub use races::{one_racer_wins, racers_lose_no_update};
pub use values::{
    get_returns_what_was_put, records_of_any_bytes, records_of_every_size, too_large_is_refused,
};

/// Runs the whole suite.
///
/// # Panics
///
/// Panics, as every function of this module does, where the store breaks its contract.
pub async fn all(store: &dyn UploadStateStore) {
    get_returns_what_was_put(store).await;
    records_of_any_bytes(store).await;
    records_of_every_size(store).await;
    too_large_is_refused(store).await;
    put_expectations(store).await;
    delete_expectations(store).await;
    delete_is_idempotent(store).await;
    stale_versions_conflict(store).await;
    versions_are_never_reused(store).await;
    owners_are_apart(store).await;
    uploads_are_apart(store).await;
    odd_owners(store).await;
    one_racer_wins(store).await;
    racers_lose_no_update(store).await;
    expired_is_missing(store).await;
    put_renews_the_time_to_live(store).await;
    any_time_to_live(store).await;
    sweep_leaves_the_living(store).await;
    lists_of_an_owner_give_its_records(store).await;
    lists_give_every_record(store).await;
    counts_follow_the_records(store).await;
    limits_are_per_owner_and_kind(store).await;
    what_is_stored_is_limited_over_both_kinds(store).await;
    racing_creators_stop_at_the_limit(store).await;
    expired_is_not_counted(store).await;
    many_records_of_an_owner_leave_its_places(store).await;
    receipts_are_records(store).await;
}
