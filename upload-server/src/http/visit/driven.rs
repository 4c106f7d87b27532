//! Who polls a visit: the request whose content it reads, or else a separate task.
//!
//! A request is polled by the task of its connection. So content goes from the socket to the writer
//! without waking another task for each piece.
//! A request can be dropped at any time, and its visit continues: what drives a visit owns it, and gives it
//! to a task when dropped, or to the next request with content.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    Answered, NoPlace,
    carrier::{Carrier, Outcome},
};

/// A visit that is polled here; dropped, it continues in a task.
pub(super) struct Driven {
    carrier: Option<Box<Carrier>>,
    runtime: Handle,
}

impl Driven {
    /// Begins to drive a visit; to be called within a runtime.
    pub(super) fn new(carrier: Carrier) -> Self {
        Self::of(Box::new(carrier), Handle::current())
    }

    fn of(carrier: Box<Carrier>, runtime: Handle) -> Self {
        Self {
            carrier: Some(carrier),
            runtime,
        }
    }

    /// Does one round; ready when the visit is over, or is driven by another.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        poll(&mut self.carrier, &self.runtime, cx)
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        if let Some(carrier) = self.carrier.take() {
            let runtime = self.runtime.clone();
            let mut carrier = Some(carrier);
            // What the task holds is no `Driven`, or a runtime that ends would begin another for it.
            self.runtime
                .spawn(poll_fn(move |cx| poll(&mut carrier, &runtime, cx)));
        }
    }
}

/// Does one round of the visit, which is taken out when it is over, given on or in panic.
fn poll(place: &mut Option<Box<Carrier>>, runtime: &Handle, cx: &mut Context<'_>) -> Poll<()> {
    let Some(mut carrier) = place.take() else {
        return Poll::Ready(());
    };
    match carrier.poll(cx) {
        Poll::Pending => {
            *place = Some(carrier);
            Poll::Pending
        }
        Poll::Ready(Outcome::Over) => Poll::Ready(()),
        Poll::Ready(Outcome::HandOver(successor)) => {
            let Err(mut driven) = successor.send(Driven::of(carrier, runtime.clone())) else {
                return Poll::Ready(());
            };
            // That request is gone already.
            *place = driven.carrier.take();
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

/// Drives the visit, from now on or once it is handed over, until the request is answered.
///
/// # Errors
///
/// The visit has met a panic.
pub(super) async fn until_answered(
    mut driven: Option<Driven>,
    mut handed_over: Option<oneshot::Receiver<Driven>>,
    mut answered: oneshot::Receiver<Answered>,
) -> Result<Answered, NoPlace> {
    poll_fn(|cx| {
        if let Some(receiver) = &mut handed_over
            && let Poll::Ready(given) = Pin::new(receiver).poll(cx)
        {
            handed_over = None;
            // Nothing is given to the request that its visit began with: it has it.
            driven = given.ok().or(driven.take());
        }
        if let Some(visit) = &mut driven {
            let polled = catch_unwind(AssertUnwindSafe(|| visit.poll(cx)));
            if !matches!(polled, Ok(Poll::Pending)) {
                driven = None;
            }
        }
        Pin::new(&mut answered).poll(cx)
    })
    .await
    .map_err(|_| NoPlace)
}
