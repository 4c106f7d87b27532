//! Sign-in of the ready server: signed tokens, or the word of your own server.
//!
//! A layer around the routes finds out who sent a request before any of them sees it, and leaves the answer in
//! the request's extensions ([`SignIn`](crate::SignIn)). Routes decide what comes of a request that belongs to no one,
//! or of which nothing can be found out at present. One whose sender may not is answered 403: here, or by the door that
//! it is for.

mod claims;
mod crypto;
mod forward;
mod gate;
mod jwks;
mod jwt;
#[cfg(test)]
mod tests;
mod tickets;

use std::{fmt, sync::Arc};

use http::{HeaderName, header, request::Parts};

use self::tickets::Tickets;
pub(crate) use self::{
    claims::ClaimNames,
    forward::{Forward, ForwardParts, REMEMBER_MAX},
    jwks::Source,
    jwt::{Jwt, JwtParts},
};
use crate::{http::visitor::Visitor, text::query_value};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Why a request is let through without an owner, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It carries no sign-in that holds.
    Unauthenticated,
    /// The sender may not.
    Forbidden,
    /// Who sent it cannot be found out at present.
    Unavailable,
}

/// How visitors sign in.
pub(crate) struct Auth {
    way: Way,
    tickets: Tickets,
}

enum Way {
    Jwt(Box<Jwt>),
    Forward(Arc<Forward>),
}

impl Auth {
    pub(crate) fn with_tokens(jwt: Jwt) -> Arc<Self> {
        Self::new(Way::Jwt(Box::new(jwt)))
    }

    pub(crate) fn forwarding(forward: Forward) -> Arc<Self> {
        Self::new(Way::Forward(Arc::new(forward)))
    }

    fn new(way: Way) -> Arc<Self> {
        let tickets = Tickets::default();
        Arc::new(Self { way, tickets })
    }

    /// Finds out who sent a request.
    ///
    /// # Errors
    ///
    /// No one who may, or it cannot be found out.
    async fn admit(&self, parts: &Parts) -> Result<Arc<Visitor>, Refusal> {
        match &self.way {
            Way::Jwt(jwt) => jwt.admit(parts).await,
            Way::Forward(forward) => forward.admit(parts).await,
        }
    }

    /// Finds out who sent the handshake of a socket, which may bring a ticket.
    async fn admit_socket(&self, parts: &Parts) -> Result<Arc<Visitor>, Refusal> {
        match ticket_of(parts) {
            Some(ticket) => self.tickets.take(&ticket).ok_or(Refusal::Unauthenticated),
            None => self.admit(parts).await,
        }
    }
}

/// Returns the ticket in a request's address: the one place where a browser's script can put something.
fn ticket_of(parts: &Parts) -> Option<String> {
    let query = parts.uri.query()?;
    query_value(query, "token").or_else(|| query_value(query, "ticket"))
}

/// Returns the bearer token of a request.
fn bearer(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    // Of two, the one that counts would be another one's choice.
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start())
}

/// Returns the values of a header in one line, as a request has them.
fn lines_of<'a>(parts: &'a Parts, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    parts
        .headers
        .get_all(name)
        .into_iter()
        .map(|value| value.as_bytes())
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}
