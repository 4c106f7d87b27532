//! How long the server waits for what it calls: stores, and the application's closures.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;
use upload_stores::{StoreError, StoreErrorKind};

/// Longest time a store may take for one call.
const STORE_CALL: Duration = Duration::from_secs(5);
/// Longest time an `authorize` closure may take; then the upload is forbidden.
const AUTHORIZE_CALL: Duration = Duration::from_secs(10);
/// Longest time a handler of an event, a stored file or a created object may take; then it is
/// given up.
const HANDLER_CALL: Duration = Duration::from_secs(30);

/// Longest time storage or a store may take for one sweep; the next one is tried at its time.
const SWEEP_CALL: Duration = Duration::from_secs(600);

/// What was called did not answer; this is how the log says why.
pub(crate) type NoAnswer = &'static str;

/// Returns what a store answered; a store that panics did not answer.
pub(crate) async fn of_store<T>(call: impl Future<Output = T>) -> Option<T> {
    answered(STORE_CALL, call).await.ok()
}

/// Returns the error of a store that did not answer.
pub(crate) fn too_slow() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "no answer in time")
}

/// Returns what an `authorize` closure answered.
///
/// # Errors
///
/// It did not answer.
pub(crate) async fn of_authorize<T>(call: impl Future<Output = T>) -> Result<T, NoAnswer> {
    answered(AUTHORIZE_CALL, call).await
}

/// Returns what a handler answered.
///
/// # Errors
///
/// It did not answer.
pub(crate) async fn of_handler<T>(call: impl Future<Output = T>) -> Result<T, NoAnswer> {
    answered(HANDLER_CALL, call).await
}

/// Returns what a sweep found.
///
/// # Errors
///
/// It did not end.
pub(crate) async fn of_sweep<T>(call: impl Future<Output = T>) -> Result<T, NoAnswer> {
    answered(SWEEP_CALL, call).await
}

async fn answered<T>(limit: Duration, call: impl Future<Output = T>) -> Result<T, NoAnswer> {
    match timeout(limit, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err("it panicked"),
        Err(_) => Err("it took too long"),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_validator_that_panics_or_takes_too_long_did_not_answer() {
        assert_eq!(of_handler(async { 1 }).await, Ok(1));
        let panics = async { panic!("asked to panic") };
        assert_eq!(of_handler::<()>(panics).await, Err("it panicked"));
        let slow = of_handler(pending::<()>()).await;
        assert_eq!(slow, Err("it took too long"));
        assert_eq!(of_store(pending::<()>()).await, None);
    }
}
