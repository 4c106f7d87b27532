//! A request on its way to the visit of its upload.

use axum::body::Body;
use tokio::time::Instant;
use upload_core::Request as Ask;
use upload_proto::{Code, UploadRef};

use super::{
    Call,
    refusal::{Asked, Refusal},
    visitor::Visitor,
};
use crate::{
    connection::ConnectionConfig,
    http::visit::{Answered, Place, Rest, check::Checking},
    slots::slot::Slots,
};

impl Call {
    /// Has a request served by the visit of its upload.
    ///
    /// # Errors
    ///
    /// The slot is unknown, or there is no place.
    pub(crate) async fn ask(
        &mut self,
        visitor: &Visitor,
        upload: UploadRef,
        ask: Ask,
        check: Checking,
    ) -> Result<Answered, Refusal> {
        let takes_content = match &ask {
            Ask::Create(_, content) => content.is_some(),
            Ask::Append(_) => true,
            Ask::Offset(_) | Ask::Delete => false,
        };
        let asked = asked_of(&ask);
        let (_, slots) = self.slots(&visitor.owner).await?;
        // A refusal leaves the content where its rest is read.
        let config = self.admit(visitor, slots, &ask)?;
        let body = match takes_content {
            true => self.body.take().unwrap_or_default(),
            false => Body::empty(),
        };
        let visited = self.visit(config, upload, ask, (body, check)).await;
        let (answered, rest) = match visited {
            Ok(mut answered) => {
                let rest = std::mem::replace(&mut answered.rest, Rest::Nothing);
                (Ok(answered), rest)
            }
            Err(rest) => (Err(Refusal::busy(self.door, asked)), rest),
        };
        self.drain(rest);
        answered
    }

    /// As [`Call::ask`], with separate content, of which the rest is left.
    ///
    /// # Errors
    ///
    /// There is no place.
    pub(crate) async fn ask_with(
        &mut self,
        visitor: &Visitor,
        (upload, slots): (UploadRef, Slots),
        ask: Ask,
        content: (Body, Checking),
    ) -> Result<Answered, Refusal> {
        let asked = asked_of(&ask);
        let config = self.admit(visitor, slots, &ask)?;
        let visited = self.visit(config, upload, ask, content).await;
        visited.map_err(|_| Refusal::busy(self.door, asked))
    }

    /// Returns as whom, and with what, a request is served.
    ///
    /// # Errors
    ///
    /// The server restarts, or the owner asks too much.
    fn admit(
        &self,
        visitor: &Visitor,
        slots: Slots,
        ask: &Ask,
    ) -> Result<ConnectionConfig, Refusal> {
        let asked = asked_of(ask);
        if self.app.shared.draining.is_cancelled() {
            return Err(Refusal::of(Code::Draining, self.door, asked));
        }
        let owner = visitor.owner.clone();
        let config = ConnectionConfig {
            door: self.door.as_str(),
            ..self.app.connection_of(owner, slots, &self.parts)
        };
        let now = Instant::now();
        let is_new = matches!(ask, Ask::Create(..));
        if !config.rates.may_ask(now) || (is_new && !config.rates.may_register(now)) {
            return Err(Refusal::busy(self.door, asked));
        }
        Ok(config)
    }

    /// Has the visit of the upload serve a request.
    ///
    /// # Errors
    ///
    /// There is no place; this is left of the content.
    async fn visit(
        &mut self,
        config: ConnectionConfig,
        upload: UploadRef,
        ask: Ask,
        content: (Body, Checking),
    ) -> Result<Answered, Rest> {
        let (shared, visits) = (&self.app.shared, &self.app.visits);
        let named = match &ask {
            Ask::Create(register, _) => register.client_id.clone(),
            Ask::Append(_) | Ask::Offset(_) | Ask::Delete => None,
        };
        let place = Place {
            slot: &self.slot,
            upload,
            client_id: named.unwrap_or_else(|| self.client_id()),
        };
        visits.ask(shared, config, place, ask, content).await
    }
}

/// Returns what a request to a visit wants.
fn asked_of(ask: &Ask) -> Asked {
    match ask {
        Ask::Offset(_) => Asked::Offset,
        Ask::Create(..) | Ask::Append(_) | Ask::Delete => Asked::Change,
    }
}
