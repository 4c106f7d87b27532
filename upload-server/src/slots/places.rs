//! Which connections of this process count finished uploads among the entries of their slots.

use std::{collections::HashMap, sync::PoisonError};

use tokio::sync::mpsc;
use upload_proto::UploadRef;

use super::{events::Command, unclaimed::Unclaimed};

/// Which connection of this process counts a finished upload among the entries of its slot.
#[derive(Default)]
pub(super) struct Places {
    held: HashMap<(String, UploadRef), mpsc::Sender<Command>>,
    /// When to look for connections that are gone.
    prune_at: usize,
}

impl Unclaimed {
    /// Notes that a connection counts a finished upload among the entries of its slot.
    pub(crate) fn hold_place(
        &self,
        owner: &str,
        upload: UploadRef,
        connection: mpsc::Sender<Command>,
    ) {
        // The map is whole after every step, so a panic elsewhere does not spoil it.
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.held.len() >= places.prune_at {
            places.held.retain(|_, connection| !connection.is_closed());
            places.prune_at = places.held.len().saturating_mul(2).max(1024);
        }
        places.held.insert((owner.to_owned(), upload), connection);
    }

    /// Has the connection that counts a finished upload free its place.
    pub(super) fn free(&self, owner: &str, upload: UploadRef) {
        let place = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.held.remove(&(owner.to_owned(), upload))
        };
        let Some(connection) = place else {
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(command)) =
            connection.try_send(Command::Free { upload })
        {
            self.spawn(async move {
                let _ = connection.send(command).await;
            });
        }
    }
}
