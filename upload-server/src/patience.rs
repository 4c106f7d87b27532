//! How long the server waits for what it calls: stores, and the application's handlers.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;

/// Longest time a store may take for one call.
pub(crate) const STORE_CALL: Duration = Duration::from_secs(5);
/// Longest time a handler of an event, or of a created object, may take.
pub(crate) const HANDLER_CALL: Duration = Duration::from_secs(30);

/// Returns what a store answered in time; a store that panics did not answer.
pub(crate) async fn of_store<T>(call: impl Future<Output = T>) -> Option<T> {
    let guarded = AssertUnwindSafe(call).catch_unwind();
    timeout(STORE_CALL, guarded).await.ok()?.ok()
}
