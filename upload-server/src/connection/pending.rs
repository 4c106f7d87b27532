//! What a session waits for besides socket and writers: stores, the application, other sessions.
//!
//! Every operation comes back as one input for the core. Stores, handlers and other sessions have a
//! time limit; a receipt waits for its hooks for as long as the journal's disk takes, and for ever
//! where the server has closed the journal.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use upload_core::{
    Amendment, CallId, CallOutcome, EntryId, PassedOver, Removed, StoreEvent, Verdict, WriterEvent,
};
use upload_proto::UploadList;
use uuid::Uuid;

use super::websocket::OUTGOING_BYTES_MAX;

use crate::{
    server::{registry::Key, shared::Shared},
    slots::{
        answer::{Denial, HandlerError},
        events::{EventContext, Handler, Offer},
        handlers::{Authorize, BoxFuture, ask},
        slot::AuthorizeRequest,
        timeouts,
    },
};

/// Longest wait for another session to give an upload up.
pub(super) const EVICTION: Duration = Duration::from_secs(5);

/// Largest result of an event's handler, in bytes of JSON: half of what may wait for a client.
const RESULT_BYTES_MAX: usize = OUTGOING_BYTES_MAX / 2;

/// An answer for the core.
#[derive(Debug)]
pub(crate) enum Input {
    Authorized(EntryId, Result<Amendment, Denial>),
    Verdict(EntryId, Verdict),
    Writer(EntryId, WriterEvent),
    Store(EntryId, StoreEvent),
    Announced(EntryId),
    Called(CallId, CallOutcome, PassedOver),
    Removed(EntryId, Removed),
    Listed(CallId, Option<UploadList>),
}

/// Something that is waited for.
pub(super) type Operation = BoxFuture<Input>;

/// Has this process's other holder give an upload up.
pub(super) fn evict(entry: EntryId, shared: Arc<Shared>, key: Key, asker: u64) -> Operation {
    Box::pin(async move {
        shared.registry.evict(&key, asker, EVICTION).await;
        Input::Store(entry, StoreEvent::Evicted)
    })
}

/// Asks the application whether an upload is welcome.
pub(super) fn authorize(
    entry: EntryId,
    closure: Authorize,
    request: AuthorizeRequest,
) -> Operation {
    Box::pin(async move { Input::Authorized(entry, ask(closure, request).await) })
}

/// What a client hears of a handler without an answer that can be sent.
const GIVEN_UP: CallOutcome = CallOutcome::Failed {
    reason: None,
    text: None,
};

/// Runs an event's handler.
pub(super) fn call(
    id: CallId,
    handler: Handler,
    context: EventContext,
    offer: Arc<Offer>,
) -> Operation {
    Box::pin(async move {
        let event = context.event.clone();
        // The closure itself may panic before there is a future.
        let outcome = match timeouts::of_handler(async move { handler(context).await }).await {
            Ok(Ok(result)) if json_bytes(&result) <= RESULT_BYTES_MAX => CallOutcome::Done(result),
            Ok(Ok(_)) => {
                let limit = RESULT_BYTES_MAX;
                tracing::error!(
                    event,
                    limit,
                    "the result of a handler is too large to be sent"
                );
                GIVEN_UP
            }
            Ok(Err(error)) => {
                if let Some(source) = &error.source {
                    let (incident, error) = (Uuid::new_v4(), crate::text::chain(source.as_ref()));
                    tracing::warn!(%incident, event, error, "a handler failed");
                }
                let HandlerError { code, text, .. } = error;
                CallOutcome::Failed { reason: code, text }
            }
            Err(why) => {
                tracing::error!(event, why, "a handler is given up");
                GIVEN_UP
            }
        };
        let has_succeeded = matches!(outcome, CallOutcome::Done(_));
        let (is_whole, passed_over) = offer.settle(has_succeeded).await;
        let outcome = match outcome {
            CallOutcome::Done(_) if !is_whole => GIVEN_UP,
            outcome => outcome,
        };
        Input::Called(id, outcome, passed_over)
    })
}

/// Returns how long a value is as JSON.
fn json_bytes(value: &Value) -> usize {
    /// Counts what is written to it.
    struct Count(usize);

    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}
