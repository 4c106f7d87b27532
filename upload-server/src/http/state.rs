//! Everything a request needs: what connections share, and how they are let in.

use std::sync::{Arc, Once};

use axum::{
    Router,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use tokio::time::Instant;
use upload_writers::WriterFactory;

#[cfg(any(feature = "doors", feature = "presign"))]
use super::bodies::{Bodies, REGISTRATION_BYTES_MAX};
#[cfg(feature = "doors")]
use super::doors::refusal::Door;
use super::{
    allowed_hosts::AllowedHosts, identity::OwnerResolver, origin::Origins, s3_events::S3Events,
    visitor::SignIn,
};
use crate::{
    connection::ConnectionConfig,
    metrics,
    server::{reaper, shared::Shared},
    slots::{
        handlers::BoxFuture,
        slot::{Slot, Slots},
        timeouts,
    },
};

/// With it in the address of a socket, leaving is any other loss (PROTOCOL RESUME-7).
const KEEP_ON_LEAVE: &str = "keep_on_leave=1";

/// Decides the slots of a request from its owner, the request, and the slots of all; the error is the
/// answer.
pub(crate) type SlotsOf = Box<dyn Fn(String, Parts, Slots) -> BoxFuture<Mounted> + Send + Sync>;

/// What was decided, and the request, to which extractors may have added something.
pub(crate) type Mounted = (Parts, Result<Slots, Box<Response>>);

/// The state of the router.
pub(crate) struct App {
    pub(crate) shared: Arc<Shared>,
    pub(crate) identity: OwnerResolver,
    pub(crate) origins: Origins,
    /// `None` where any host is answered.
    pub(crate) hosts: Option<AllowedHosts>,
    /// `None` where every request has the slots of all.
    pub(crate) slots_of: Option<SlotsOf>,
    /// Whether handlers ask for the request that opened their connection.
    pub(crate) keeps_requests: bool,
    /// Where a slot keeps bytes that says nothing else.
    pub(crate) writers: Arc<dyn WriterFactory>,
    /// `None` where there is neither a webhook nor a hook.
    pub(crate) s3_events: Option<Arc<S3Events>>,
    /// Uploads between HTTP requests.
    #[cfg(feature = "doors")]
    pub(crate) visits: Arc<super::visit::Visits>,
    #[cfg(feature = "doors")]
    pub(crate) doors: super::doors::DoorOptions,
    /// Registrations that come as the bodies of requests.
    #[cfg(any(feature = "doors", feature = "presign"))]
    pub(crate) bodies: Bodies,
    tasks: Once,
}

/// The last handle is gone, and with it the router: tasks end, and files are free for the next server of
/// this process.
impl Drop for App {
    fn drop(&mut self) {
        self.shared.draining.cancel();
        if let Some(events) = &self.s3_events {
            events.journal.close_soon();
        }
    }
}

/// Shows a slot in the metrics before anything is uploaded.
fn show(name: &str, slot: &Slot) {
    if slot.rules.direct {
        #[cfg(feature = "presign")]
        metrics::show_direct_slot(name);
        return;
    }
    metrics::show_slot(name, metrics::SOCKET);
    #[cfg(feature = "doors")]
    for door in Door::ALL.map(Door::as_str) {
        if slot.has_door(door) {
            metrics::show_slot(name, door);
        }
    }
}

impl App {
    pub(crate) fn new(
        shared: Arc<Shared>,
        identity: OwnerResolver,
        origins: Origins,
        hosts: Option<AllowedHosts>,
        slots_of: Option<SlotsOf>,
        writers: Arc<dyn WriterFactory>,
        s3_events: Option<Arc<S3Events>>,
    ) -> Self {
        for (name, slot) in &*shared.slots {
            show(name, slot);
        }
        Self {
            #[cfg(feature = "doors")]
            visits: Arc::new(super::visit::Visits::new(shared.limits.max_visits)),
            #[cfg(feature = "doors")]
            doors: Default::default(),
            shared,
            identity,
            origins,
            hosts,
            slots_of,
            keeps_requests: false,
            writers,
            s3_events,
            #[cfg(any(feature = "doors", feature = "presign"))]
            bodies: Bodies::new(REGISTRATION_BYTES_MAX),
            tasks: Once::new(),
        }
    }

    /// Decides about the HTTP doors.
    #[cfg(feature = "doors")]
    pub(crate) fn set_doors(&mut self, doors: super::doors::DoorOptions) {
        self.doors = doors;
    }

    /// Returns the slots a request may use, as the application decides.
    ///
    /// # Errors
    ///
    /// The application's `mount` failed, which the log tells; this is the answer.
    pub(crate) async fn slots_of(
        &self,
        owner: &str,
        parts: &mut Parts,
    ) -> Result<Slots, Box<Response>> {
        let slots = Arc::clone(&self.shared.slots);
        let slots = match &self.slots_of {
            None => slots,
            Some(slots_of) => {
                let asked = std::mem::replace(parts, http::Request::new(()).into_parts().0);
                // The closure itself may panic before there is a future.
                let deciding = async { slots_of(owner.to_owned(), asked, slots).await };
                let (asked, slots) = timeouts::of_authorize(deciding).await.map_err(|why| {
                    tracing::error!(why, "mount did not answer");
                    Box::new(StatusCode::SERVICE_UNAVAILABLE.into_response())
                })?;
                *parts = asked;
                slots?
            }
        };
        Ok(match SignIn::visitor(parts) {
            Some(visitor) => visitor.narrow(slots),
            None => slots,
        })
    }

    /// Returns what a connection of `owner` receives before it begins.
    pub(crate) fn connection_of(
        &self,
        owner: String,
        slots: Slots,
        parts: &Parts,
    ) -> ConnectionConfig {
        let visitor = SignIn::visitor(parts);
        let lasts = visitor.and_then(|visitor| visitor.lasts());
        let limits = self.shared.limits.session.clone();
        let address = self.identity.transport.address(parts);
        ConnectionConfig {
            rates: self.shared.rates.of(&owner, address),
            owner,
            door: metrics::SOCKET,
            plain: false,
            slots,
            request: None,
            address,
            limits: match visitor {
                Some(visitor) => visitor.limits(limits),
                None => limits,
            },
            until: lasts.and_then(|lasts| Instant::now().checked_add(lasts)),
            keeps_on_leave: parts.uri.query().is_some_and(keeps_on_leave),
        }
    }

    /// Has a router answer to the allowed hosts only, where there is such a rule.
    /// Tells of a page that may not come in, once a minute.
    pub(crate) fn log_origin(&self, parts: &Parts) {
        let Some(left_out) = self.shared.log_limits.origins.pass() else {
            return;
        };
        let address = self.identity.transport.address(parts);
        tracing::warn!(
            origin = ?parts.headers.get(http::header::ORIGIN),
            host = ?parts.headers.get(http::header::HOST),
            address = address.map(tracing::field::display),
            expected = self.origins.expected(),
            left_out,
            "a request of another origin is refused"
        );
    }

    pub(crate) fn guard(&self, router: Router) -> Router {
        match &self.hosts {
            Some(hosts) => hosts.guard(router, &self.identity.transport),
            None => router,
        }
    }

    /// Starts the reaper and the delivery of hooks with the first call inside a runtime.
    pub(crate) fn start_tasks(&self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tasks.call_once(|| {
                let shared = Arc::clone(&self.shared);
                let mut sweepers = reaper::Sweepers::of(&shared, &self.writers);
                if let Some(events) = &self.s3_events {
                    sweepers.add_journal(events.journal.clone());
                    events
                        .hooks
                        .start(shared.stops(), &shared.tracker, &runtime);
                }
                runtime.spawn(reaper::run(shared, sweepers));
            });
        }
    }
}

/// Returns whether the address of a socket asks that a page which leaves keeps its uploads.
fn keeps_on_leave(query: &str) -> bool {
    query.split('&').any(|field| field == KEEP_ON_LEAVE)
}
