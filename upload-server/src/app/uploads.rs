//! The public API: [`Uploads`], a ready server.

use std::{fmt, path::PathBuf, sync::Arc};

use axum::Router;
use serde::Serialize;
use thiserror::Error;
use upload_proto::UploadRef;

use super::{build_error::BuildError, builder::UploadsBuilder};
#[cfg(feature = "cli")]
use crate::http::demo;
use crate::{
    http::{
        files, router,
        s3_events::{self, ObjectCreated},
        state::App,
    },
    server::{pages::Push, shutdown::ShutdownDeadline},
    slots::{
        entry::UploadedEntry,
        lent::LentUpload,
        waiting::{TakeError, WaitingUpload},
    },
};

/// Longest event that a page receives, in bytes of JSON.
const PUSH_BYTES_MAX: usize = 256 * 1024;

/// A page could not be told something.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// The value cannot be JSON.
    #[error("the value cannot be JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The event is too long.
    #[error("an event for a page has at most {PUSH_BYTES_MAX} bytes")]
    TooLarge,
}

/// A ready upload server to nest in an axum app; cheap to clone.
#[derive(Clone)]
pub struct Uploads {
    pub(crate) app: Arc<App>,
}

impl Uploads {
    /// Starts with defaults: files below `./uploads`, records in memory, pages of the same host.
    pub fn builder() -> UploadsBuilder {
        UploadsBuilder::new()
    }

    /// Returns the routes `/ws`, `/client/{file}`, `/session`, `/{ref}/status` and, with the feature
    /// `presign`, `/presign`.
    ///
    /// Pages expect them below `/uploads`: `.nest("/uploads", uploads.router())`.
    pub fn router(&self) -> Router {
        self.app.start_tasks();
        router::routes(&self.app)
    }

    /// Returns the routes of [`router`](Self::router) behind a layer, which no request reaches that names another
    /// host, or whose address asks too much.
    #[cfg(feature = "cli")]
    pub(crate) fn router_behind(&self, layer: impl FnOnce(Router) -> Router) -> Router {
        self.app.start_tasks();
        router::behind(&self.app, layer)
    }

    /// Has a router answer 421 to hosts that are not allowed, as the routers of this server do; all
    /// are where [`allowed_hosts`](crate::UploadsBuilder::allowed_hosts) was not called.
    pub fn guard_hosts(&self, router: Router) -> Router {
        self.app.guard(router)
    }

    /// Returns the demo page and its files, for `/`; it shows these slots in their order.
    #[cfg(feature = "cli")]
    pub fn demo_router(&self, slots: impl IntoIterator<Item = crate::DemoSlot>) -> Router {
        demo::routes(&self.app, slots.into_iter().collect())
    }

    /// Returns `GET /{slot}/{file}` for the finished files of these slots, to everybody.
    ///
    /// `file` is the last part of [`UploadedEntry::path`](crate::UploadedEntry::path), and of the `path` in
    /// a result. Files that have been moved by [`persist`](crate::UploadedEntry::persist) are given out by
    /// your handlers, with [`StoredFile`](crate::StoredFile), which says how they are answered.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use upload_server::{SlotOptions, Uploads};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let pictures = SlotOptions::new().accept("image/*").max_entries(20);
    /// let uploads = Uploads::builder().data_dir(dir.path()).allow_upload("pictures", pictures);
    /// let uploads = uploads.build()?;
    /// let app: axum::Router = axum::Router::new()
    ///     .nest("/uploads", uploads.router())
    ///     .nest("/files", uploads.public_files(["pictures"])?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// There is no such slot, or its writer is not that of files.
    pub fn public_files<'a>(
        &self,
        slots: impl IntoIterator<Item = &'a str>,
    ) -> Result<Router, BuildError> {
        Ok(files::routes(&self.app, self.slots_of_files(slots)?, None))
    }

    /// Returns `GET /{slot}/{file}` for the finished files of these slots, each file to its owner only.
    ///
    /// `folder` is the folder of an owner, as [`SlotOptions::folder`](crate::SlotOptions::folder) of the
    /// slots chooses it; files that are not in it are not there. See also
    /// [`public_files`](Self::public_files).
    ///
    /// # Errors
    ///
    /// There is no such slot, its writer is not that of files, or it chooses no folder.
    pub fn owned_files<'a>(
        &self,
        slots: impl IntoIterator<Item = &'a str>,
        folder: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Result<Router, BuildError> {
        let slots = self.slots_of_files(slots)?;
        for (name, _) in &slots {
            let slot = self.app.shared.slots.get(name);
            if slot.is_none_or(|slot| slot.folder.is_none()) {
                return Err(BuildError::NoFolder(name.clone()));
            }
        }
        Ok(files::routes(&self.app, slots, Some(Box::new(folder))))
    }

    fn slots_of_files<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<(String, PathBuf)>, BuildError> {
        let dir_of = |name: &str| {
            let slot = self.app.shared.slots.get(name);
            let slot = slot.ok_or_else(|| BuildError::UnknownSlot(name.to_owned()))?;
            let dir = slot.files.clone();
            let dir = dir.ok_or_else(|| BuildError::NoFiles(name.to_owned()))?;
            Ok((name.to_owned(), dir))
        };
        names.into_iter().map(dir_of).collect()
    }

    /// Returns `/admin`, where what is in flight is listed and cancelled; where it `is_public`, for this
    /// machine only.
    #[cfg(feature = "cli")]
    pub fn admin_router(&self, is_public: bool) -> Router {
        crate::http::admin::routes(&self.app, is_public)
    }

    /// Returns `POST /webhooks/s3`, for `/`; without a secret of the
    /// [`webhook`](crate::UploadsBuilder::webhook) there is no route.
    pub fn webhook_router(&self) -> Router {
        self.app.start_tasks();
        s3_events::routes(&self.app)
    }

    /// Runs `handler` once, when S3 tells that the object of this upload was created.
    ///
    /// It is kept in memory, for the newest 10,000 uploads. See also
    /// [`UploadsBuilder::on_object_created`](crate::UploadsBuilder::on_object_created).
    pub fn on_object_created<F, R>(&self, upload_id: impl Into<String>, handler: F)
    where
        F: Fn(ObjectCreated) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        if let Some(events) = &self.app.s3_events {
            events.watch(upload_id.into(), s3_events::handler(handler));
        }
    }

    /// Returns the finished uploads of `owner` that wait to be taken, the newest first, at most 1,024.
    ///
    /// They are found whichever connection or node they came to.
    ///
    /// # Errors
    ///
    /// [`TakeError::Unavailable`] if the store does not answer.
    pub async fn list(&self, owner: &str) -> Result<Vec<WaitingUpload>, TakeError> {
        self.app.shared.unclaimed.list(owner).await
    }

    /// Lends a finished upload of `owner` to the caller, for example to an HTTP handler whose form names it.
    ///
    /// It is the caller's alone, over all nodes, until it is taken, refused or dropped; dropping gives it
    /// back. One that another handler has at this moment is awaited for 5 seconds.
    ///
    /// ```
    /// # async fn save(uploads: upload_server::Uploads, owner: String, avatar: upload_server::proto::UploadRef)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// let avatar = uploads.lend(&owner, avatar).await?;
    /// // Dropped before the next line was reached, it waits to be lent again.
    /// avatar.persist(format!("avatars/{owner}.png")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TakeError`] if there is no such upload, it was taken, another handler has it, or the store does not
    /// answer.
    pub async fn lend(&self, owner: &str, upload: UploadRef) -> Result<LentUpload, TakeError> {
        let unclaimed = &self.app.shared.unclaimed;
        let lent = unclaimed
            .lend(owner, upload, None, unclaimed.slots())
            .await?;
        lent.ok_or(TakeError::Unknown)
    }

    /// Takes a finished upload of `owner` for good: [`lend`](Self::lend) and [`LentUpload::take`] in one.
    ///
    /// An application that stores something on the way lends it instead, so that its failure gives
    /// the upload back.
    ///
    /// # Errors
    ///
    /// As of [`lend`](Self::lend).
    pub async fn take(&self, owner: &str, upload: UploadRef) -> Result<UploadedEntry, TakeError> {
        self.lend(owner, upload).await?.take().await
    }

    /// Removes a finished upload of `owner` that was not taken, and its file, as the page's *Remove* does
    /// (PROTOCOL COMPLETE-7).
    ///
    /// # Errors
    ///
    /// As of [`lend`](Self::lend); one that a handler has is not waited for.
    pub async fn delete(&self, owner: &str, upload: UploadRef) -> Result<(), TakeError> {
        let unclaimed = &self.app.shared.unclaimed;
        unclaimed
            .remove(owner, upload, unclaimed.slots())
            .await
            .map(drop)
    }

    /// Tells the open pages of an owner something: each page's client receives an event of this name with this
    /// value (PROTOCOL `event_push`). Returns how many pages that are.
    ///
    /// Pages that are connected to other processes are not reached, and one that is closed meanwhile hears
    /// nothing: what must not be missed belongs in the application's own records. For a page that is slow to
    /// receive, the newest 64 events wait, of at most 512 KiB together; older ones are dropped.
    ///
    /// ```
    /// # fn scanned(uploads: upload_server::Uploads) -> Result<(), upload_server::NotifyError> {
    /// uploads.notify("ann", "scanned", &serde_json::json!({ "clean": true }))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The value cannot be JSON, or is longer than 256 KiB with the event's name.
    pub fn notify(
        &self,
        owner: &str,
        event: &str,
        value: &impl Serialize,
    ) -> Result<usize, NotifyError> {
        let value = serde_json::to_value(value)?;
        let bytes = value.to_string().len().saturating_add(event.len());
        if bytes > PUSH_BYTES_MAX {
            return Err(NotifyError::TooLarge);
        }
        let (event, value) = (event.into(), Arc::new(value));
        let push = Push {
            event,
            value,
            bytes,
        };
        Ok(self.app.shared.pages.tell(owner, &push))
    }

    /// Waits for `SIGINT` or `SIGTERM`, then shuts down, for axum's
    /// `with_graceful_shutdown`.
    ///
    /// ```no_run
    /// # async fn run(uploads: upload_server::Uploads) -> std::io::Result<()> {
    /// let app = axum::Router::new().nest("/uploads", uploads.router());
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// let server = axum::serve(listener, app);
    /// server.with_graceful_shutdown(uploads.terminated()).await
    /// # }
    /// ```
    pub async fn terminated(self) {
        if let Err(error) = crate::terminated().await {
            tracing::error!(%error, "signals cannot be waited for");
            std::future::pending::<()>().await;
        }
        self.shutdown().await;
    }

    /// Drains: tells clients to come back later, has uploads flushed and their records saved, and
    /// closes what is left after [`Limits::drain`](crate::Limits::drain).
    ///
    /// New connections are answered with 503 from now on. Answers whether everything came to rest;
    /// with the default limits it takes 3 seconds at most. Call it before the program ends: a
    /// graceful shutdown of the HTTP server does not know upgraded connections.
    pub async fn shutdown(&self) -> bool {
        let shared = &self.app.shared;
        let deadline = ShutdownDeadline::begin(&shared.limits);
        let at_rest = shared.drain().await;
        if let Some(events) = &self.app.s3_events {
            deadline.close("journal", events.journal.close()).await;
        }
        at_rest
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::time::{Instant, timeout};
    use upload_writers::DiscardWriterFactory;

    use super::*;
    use crate::app::slot_options::SlotOptions;

    #[tokio::test(start_paused = true)]
    async fn a_journal_whose_disk_hangs_is_not_waited_for() {
        let slot = SlotOptions::new().writer(DiscardWriterFactory);
        let uploads = Uploads::builder().secret([7; 32]).webhook([7; 32]);
        let uploads = uploads.allow_upload("a", slot).build().expect("good");
        let events = uploads.app.s3_events.as_ref().expect("a webhook");
        let (answer, answered) = mpsc::channel::<()>();
        let journal = events.journal.clone();
        let hanging = tokio::spawn(async move {
            let work = move |_: &_| Ok(answered.recv().is_ok());
            journal.write(work).await
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        let ended = timeout(Duration::from_secs(60), uploads.shutdown()).await;
        assert_eq!(ended, Ok(true));
        assert!(begun.elapsed() <= Duration::from_secs(3));
        drop(answer);
        assert_eq!(hanging.await.expect("no panic"), Ok(false));
    }

    /// The last handle of a server gives its files back, so that another one of the process can have them.
    #[tokio::test]
    async fn a_dropped_server_makes_room_for_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        for _ in 0..3 {
            let slot = SlotOptions::new().writer(DiscardWriterFactory);
            let uploads = Uploads::builder().secret([7; 32]).webhook([7; 32]);
            let uploads = uploads.state_dir(dir.path()).allow_upload("a", slot);
            let uploads = uploads.build().expect("the journal is free");
            let shared = Arc::clone(&uploads.app.shared);
            let router = uploads.webhook_router();
            drop(uploads);
            assert!(!shared.draining.is_cancelled(), "the router still serves");
            drop(router);
            assert!(shared.draining.is_cancelled());
        }
    }
}
