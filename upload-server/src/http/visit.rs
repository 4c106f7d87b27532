//! The carrier of HTTP requests: one visit for each upload that a request is about.
//!
//! A visit outlives its requests by a moment, so that the next one finds its upload as it was, with the
//! writer open and the lease held. The request whose content is read polls the visit, and what comes goes
//! straight to the writer, without a task, channel or copy for a piece of it.
//! Not polling is what slows a client down. The modules next to this one: `carrier` (what one visit does),
//! `driven` (who polls it), `content` (what it reads), `check` (its checksum), `rest` (what is read of a
//! request that was refused).

mod carrier;
pub(crate) mod check;
mod content;
mod driven;
pub(crate) mod rest;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use upload_core::{Reply, Request};
use upload_proto::UploadRef;

use self::{
    carrier::Carrier,
    check::{Checking, Unfit},
    driven::Driven,
};
use crate::{
    connection::ConnectionConfig,
    server::{
        shared::Shared,
        shares::{self, Shares},
    },
};

/// Requests about one upload that wait for its visit; the newest is served, so there are few.
const ASKS_MAX: usize = 8;

/// Which upload, of whom, as which slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    owner: String,
    slot: String,
    upload: UploadRef,
}

/// Which upload a request is about, and as whom it comes.
pub(crate) struct Place<'a> {
    pub(crate) slot: &'a str,
    pub(crate) upload: UploadRef,
    pub(crate) client_id: String,
}

/// A request on its way to its visit.
struct Ask {
    /// As whom it comes, and what it may do: the newest of a visit's requests decides for all of it.
    config: ConnectionConfig,
    request: Request,
    content: Body,
    check: Checking,
    answer: oneshot::Sender<Answered>,
    /// Who drives the visit from now on, where that is to be the request.
    successor: Option<oneshot::Sender<Driven>>,
}

/// How a request ended.
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    /// Why its content was not appended, where that was so.
    pub(crate) unfit: Option<Unfit>,
    /// What was not read of its content.
    pub(crate) rest: Rest,
}

/// What is left of a request's content.
pub(crate) enum Rest {
    /// Nothing.
    Nothing,
    /// All of it: the client may not have begun to send it.
    Unread(Body),
    /// It was read in part.
    Begun(Body),
}

/// There is no place for another visit, or it met a panic.
#[derive(Debug)]
struct NoPlace;

/// A visit's place among all, and among those of its address.
type Held = (OwnedSemaphorePermit, Option<shares::Place>);

/// Every visit of a server.
pub(crate) struct Visits {
    places: Arc<Semaphore>,
    /// What each address has of them.
    shares: Arc<Shares>,
    open: Mutex<HashMap<Key, mpsc::Sender<Box<Ask>>>>,
}

impl Visits {
    /// Makes room for `places` of them.
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            shares: Shares::of(places),
            open: Mutex::default(),
        }
    }

    /// Has a request served by the visit of its upload, which begins where there is none.
    ///
    /// The slots of `config` are those that the request may use; `place` has the one it names.
    ///
    /// # Errors
    ///
    /// There are as many visits as there may be, or as one address may have, or too many requests about this
    /// upload; this is left of the content.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        config: ConnectionConfig,
        place: Place<'_>,
        request: Request,
        (content, check): (Body, Checking),
    ) -> Result<Answered, Rest> {
        let key = Key {
            owner: config.owner.clone(),
            slot: place.slot.to_owned(),
            upload: place.upload,
        };
        let has_content = match &request {
            Request::Create(_, content) => content.is_some(),
            Request::Append(_) => true,
            Request::Offset(_) | Request::Delete => false,
        };
        let (answer, answered) = oneshot::channel();
        let (successor, handed_over) = has_content.then(oneshot::channel).unzip();
        let ask = Box::new(Ask {
            config,
            request,
            content,
            check,
            answer,
            successor,
        });
        let driven = self.send(shared, (key, place.client_id), ask);
        let driven = driven.map_err(|ask| Rest::Unread(ask.content))?;
        let answered = driven::until_answered(driven, handed_over, answered).await;
        answered.map_err(|NoPlace| Rest::Nothing)
    }

    /// Sends a request to its visit; returns the visit if it begins with this request.
    ///
    /// # Errors
    ///
    /// There is no place for this request.
    fn send(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        (key, client_id): (Key, String),
        ask: Box<Ask>,
    ) -> Result<Option<Driven>, Box<Ask>> {
        let mut open = self.lock();
        let mut ask = match open.get(&key) {
            Some(visit) => match visit.try_send(ask) {
                Ok(()) => return Ok(None),
                Err(mpsc::error::TrySendError::Full(ask)) => return Err(ask),
                Err(mpsc::error::TrySendError::Closed(ask)) => ask,
            },
            None => ask,
        };
        let Ok(held) = self.place(shared, ask.config.address) else {
            return Err(ask);
        };
        // The first request drives its visit as it is.
        ask.successor = None;
        let config = ask.config.clone();
        let (asks, inbox) = mpsc::channel(ASKS_MAX);
        // There is room for the first.
        let _ = asks.try_send(ask);
        open.insert(key.clone(), asks);
        drop(open);
        let visits = Arc::clone(self);
        let carrier = Carrier::new(shared, config, (key, client_id), (inbox, visits, held));
        Ok(Some(Driven::new(carrier)))
    }

    /// Takes a place for a visit from this address. Where there is none for anyone, slow uploads leave.
    fn place(&self, shared: &Shared, address: Option<IpAddr>) -> Result<Held, NoPlace> {
        let share = self.shares.take(address).map_err(|_| NoPlace)?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| {
            shared.owner_counts.refuse();
            NoPlace
        })?;
        Ok((place, share))
    }

    /// Takes a visit out, unless a request has come meanwhile, which is returned.
    fn close(&self, key: &Key, inbox: &mut mpsc::Receiver<Box<Ask>>) -> Option<Box<Ask>> {
        let mut open = self.lock();
        let next = inbox.try_recv().ok();
        if next.is_none() {
            inbox.close();
            open.remove(key);
        }
        next
    }

    /// The map is whole after every step, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, mpsc::Sender<Box<Ask>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
