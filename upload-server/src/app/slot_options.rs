//! What an application says about a slot, and how a [`Slot`] comes of it.

mod defaults;
mod rules;
mod screen;
#[cfg(test)]
mod tests;

use std::{fmt, future::Future, sync::Arc};

use thiserror::Error;
use upload_core::SlotRules;
use upload_proto::limits;
use upload_stores::UploadStateStore;
use upload_validate::{Accept, AcceptError, ActiveContent, Rules, Validator};
use upload_writers::{UploadFacts, WriterFactory};

pub(crate) use self::defaults::SlotDefaults;
use self::screen::NameScreen;
use crate::slots::{
    answer::{Authorization, asked},
    handlers::{Authorize, FolderOf, OnComplete, both, one_after_the_other},
    slot::{AuthorizeRequest, CompletedEntry, Slot},
};

/// Longest name of a slot, in bytes.
pub const SLOT_NAME_BYTES_MAX: usize = 64;

/// Largest chunk a slot may ask for, in bytes.
pub const CHUNK_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// The rules of a slot, where its bytes go, and whom it asks.
///
/// ```
/// use upload_server::SlotOptions;
///
/// let photos = SlotOptions::new()
///     .accept(".jpg,.jpeg,.png,.webp")
///     .max_entries(10)
///     .max_file_size(20_000_000)
///     .resumable(true);
/// ```
#[derive(Clone)]
#[must_use]
pub struct SlotOptions {
    rules: SlotRules,
    active_content: ActiveContent,
    any_picture: bool,
    validators: Vec<Arc<dyn Validator>>,
    writers: Option<Arc<dyn WriterFactory>>,
    store: Option<Arc<dyn UploadStateStore>>,
    authorize: Option<Authorize>,
    on_complete: Option<OnComplete>,
    consume_on_complete: Option<bool>,
    delete_untaken: bool,
    #[cfg(feature = "doors")]
    pub(super) doors: Option<Vec<crate::http::doors::refusal::Door>>,
    folder: Option<FolderOf>,
    #[cfg(feature = "presign")]
    presigner: Option<crate::presign::Presigner>,
}

impl SlotOptions {
    /// Takes one file of at most 10,000,000 bytes, any type but active content.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().max_entries(3);
    /// ```
    pub fn new() -> Self {
        Self {
            rules: SlotRules::new(""),
            active_content: ActiveContent::None,
            any_picture: false,
            validators: Vec::new(),
            writers: None,
            store: None,
            authorize: None,
            on_complete: None,
            consume_on_complete: None,
            delete_untaken: false,
            #[cfg(feature = "doors")]
            doors: None,
            folder: None,
            #[cfg(feature = "presign")]
            presigner: None,
        }
    }

    /// Keeps bytes with writers of this factory; by default they go to files below `data_dir`.
    ///
    /// ```
    /// use upload_server::{SlotOptions, writers::DiscardWriterFactory};
    /// let slot = SlotOptions::new().writer(DiscardWriterFactory);
    /// ```
    pub fn writer(mut self, factory: impl WriterFactory + 'static) -> Self {
        self.writers = Some(Arc::new(factory));
        self
    }

    /// Keeps each file below `data_dir` in a folder that `folder` chooses from its owner and what is known of
    /// it: as `<data_dir>/<folder>/<slot>/<uuid>-<safe name>`.
    ///
    /// A folder is one or more names separated by `/`, at most 512 bytes, and none begins with a dot; a
    /// file whose folder is anything else ends with `storage_failed`. What clients send is theirs to
    /// choose: of a name, use [`safe_client_name`](UploadFacts::safe_client_name) only.
    ///
    /// ```
    /// use upload_server::SlotOptions;
    ///
    /// // Owners are ids of users here, so they can name a directory.
    /// let documents = SlotOptions::new().folder(|owner, _facts| format!("users/{owner}"));
    /// ```
    pub fn folder<F>(mut self, folder: F) -> Self
    where
        F: Fn(&str, &UploadFacts) -> String + Send + Sync + 'static,
    {
        self.folder = Some(Arc::new(folder));
        self
    }

    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn shared_writer(mut self, factory: Arc<dyn WriterFactory>) -> Self {
        self.writers = Some(factory);
        self
    }

    /// Keeps this slot's records in a store of its own.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use upload_server::{SlotOptions, stores::MemoryStore};
    /// let slot = SlotOptions::new().store(Arc::new(MemoryStore::new()));
    /// ```
    pub fn store(mut self, store: Arc<dyn UploadStateStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Asks `authorize` before each upload of this slot begins, goes on over another connection,
    /// and is stored; `false` is answered with `forbidden`, and an error in its own words: see
    /// [`Authorization`].
    ///
    /// [`AuthorizeRequest::stage`] tells which. See also
    /// [`UploadsBuilder::authorize`](crate::UploadsBuilder::authorize).
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().authorize(async |request| request.client_size != Some(0));
    /// ```
    pub fn authorize<F, R>(mut self, authorize: F) -> Self
    where
        F: FnOnce(AuthorizeRequest) -> R + Clone + Send + Sync + 'static,
        R: Future<Output: Authorization> + Send + 'static,
    {
        self.authorize = Some(asked(authorize));
        self
    }

    /// Runs `handler` for each file stored in this slot; after 30 seconds it is given up.
    ///
    /// It runs at least once: one that panics, takes too long or dies with its process runs again later,
    /// after a restart too, until [`SessionLimits::unclaimed_ttl`](crate::SessionLimits::unclaimed_ttl) is over.
    /// Of a slot that only [`mount`](crate::UploadsBuilder::mount) names, it runs again in the same process, and after a
    /// restart once an upload of the same owner is saved in that slot.
    ///
    /// Completion then consumes the entry (PROTOCOL CTRL-3), unless
    /// [`consume_on_complete`](Self::consume_on_complete) says otherwise.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().on_complete(async |done| {
    ///     println!("{:?}", done.entry.path());
    /// });
    /// ```
    pub fn on_complete<F, R>(mut self, handler: F) -> Self
    where
        F: FnOnce(CompletedEntry) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.on_complete = Some(Arc::new(move |entry| Box::pin(handler.clone()(entry))));
        self
    }

    /// Sets whether the file of a finished upload is deleted that no handler took within
    /// [`SessionLimits::unclaimed_ttl`](crate::SessionLimits::unclaimed_ttl); off by default.
    ///
    /// If not, the file stays where it is, and only its record is removed.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().delete_untaken(true);
    /// ```
    pub fn delete_untaken(mut self, delete: bool) -> Self {
        self.delete_untaken = delete;
        self
    }

    /// Sets whether a stored file frees its place in the slot at once (PROTOCOL CTRL-3).
    ///
    /// If not, an event handler consumes it. By default it does exactly where the slot has an
    /// [`on_complete`](Self::on_complete) handler.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().consume_on_complete(true);
    /// ```
    pub fn consume_on_complete(mut self, consume: bool) -> Self {
        self.consume_on_complete = Some(consume);
        self
    }

    /// Has clients put files straight into a bucket, with URLs that `POST …/presign` signs.
    ///
    /// The slot's checks come before the signature; content is not looked at, since it does not
    /// come by. [`UploadsBuilder::on_object_created`](crate::UploadsBuilder::on_object_created)
    /// tells what arrived. Connections cannot upload to such a slot.
    ///
    /// ```
    /// use upload_server::{AwsCredentials, PresignConfig, PresignError, Presigner, SlotOptions};
    ///
    /// # fn options(keys: AwsCredentials) -> Result<SlotOptions, PresignError> {
    /// let config = PresignConfig::new("videos", "eu-central-1");
    /// let presigner = Presigner::new(config, move || std::future::ready(Some(keys.clone())))?;
    /// let slot = SlotOptions::new().direct(presigner);
    /// # Ok(slot)
    /// # }
    /// ```
    #[cfg(feature = "presign")]
    pub fn direct(mut self, presigner: crate::presign::Presigner) -> Self {
        self.presigner = Some(presigner);
        self
    }

    /// Checks the options and makes the slot of this name.
    pub(crate) fn into_slot(self, name: &str, defaults: &SlotDefaults) -> Result<Slot, SlotError> {
        if self.folder.is_some() && self.has_writer() {
            return Err(SlotError::Folder);
        }
        let mut rules = self.rules;
        check(name, &rules)?;
        let accept = Accept::parse(&rules.accept)?;
        rules.accept = accept.as_str().to_owned();
        rules.allow_active_content = self.active_content != ActiveContent::None;
        let mut checks = Rules::new(accept)
            .active_content(self.active_content)
            .any_picture(self.any_picture);
        for validator in self.validators {
            checks = checks.with_validator(validator);
        }
        let checks = Arc::new(checks);
        rules.name = name.to_owned();
        #[cfg(feature = "presign")]
        {
            rules.direct = self.presigner.is_some();
        }
        let authorize = match &defaults.authorize {
            Some(everywhere) => Some(both(self.authorize, everywhere)),
            None => self.authorize,
        };
        // Asked about a direct slot, connections let nobody in.
        rules.authorize = authorize.is_some() || rules.direct;
        rules.shared_store = self
            .store
            .as_ref()
            .map_or(defaults.shared_store, |store| store.is_shared());
        rules.consume_on_complete = self
            .consume_on_complete
            .unwrap_or(self.on_complete.is_some());
        // A handler of stored files takes each as others do, so that it runs again after a crash.
        let on_complete = match &defaults.on_upload_complete {
            Some(everywhere) if rules.consume_on_complete => {
                Some(one_after_the_other(self.on_complete, everywhere))
            }
            _ => self.on_complete,
        };
        let is_taken = !rules.consume_on_complete || on_complete.is_some();
        rules.waits = is_taken && !rules.direct;
        rules.screen = Arc::new(NameScreen::new(name, Arc::clone(&checks)));
        let (writers, files) = match self.writers {
            Some(writers) => (writers, None),
            None => (
                Arc::clone(&defaults.writers),
                Some(defaults.data_dir.clone()),
            ),
        };
        #[cfg(feature = "doors")]
        let doors = self
            .doors
            .map(|doors| doors.iter().map(|door| door.as_str()).collect());
        Ok(Slot {
            #[cfg(feature = "doors")]
            doors,
            rules: Arc::new(rules),
            checks,
            writers,
            store: self.store,
            authorize,
            on_complete,
            delete_untaken: self.delete_untaken,
            #[cfg(feature = "presign")]
            presigner: self.presigner,
            files,
            folder: self.folder,
        })
    }

    /// Returns whether nothing of this slot goes to files below `data_dir`.
    pub(crate) fn has_writer(&self) -> bool {
        #[cfg(feature = "presign")]
        if self.presigner.is_some() {
            return true;
        }
        self.writers.is_some()
    }
}

impl Default for SlotOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SlotOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotOptions")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// A slot cannot be as its options say.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SlotError {
    /// The name would not serve as the name of a directory everywhere.
    #[error("a slot's name has 1 to {SLOT_NAME_BYTES_MAX} letters, digits, '-' or '_'")]
    Name,
    /// No file could ever be offered.
    #[error("max_entries must be at least 1")]
    MaxEntries,
    /// No client could declare such a size.
    #[error("max_file_size must be at most {}", limits::SIZE_MAX)]
    MaxFileSize,
    /// Chunks of that size cannot be.
    #[error("chunk_size must be 1 to {CHUNK_BYTES_MAX} bytes")]
    ChunkSize,
    /// The slot has its own writer, which knows no folders of `data_dir`.
    #[error("folder is for slots without a writer of their own")]
    Folder,
    /// The accept list cannot be read.
    #[error("accept: {0}")]
    Accept(#[from] AcceptError),
}

fn check(name: &str, rules: &SlotRules) -> Result<(), SlotError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > SLOT_NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(SlotError::Name);
    }
    if rules.max_entries == 0 {
        return Err(SlotError::MaxEntries);
    }
    if rules.max_file_size > limits::SIZE_MAX {
        return Err(SlotError::MaxFileSize);
    }
    if rules.chunk_size == 0 || rules.chunk_size > CHUNK_BYTES_MAX {
        return Err(SlotError::ChunkSize);
    }
    Ok(())
}
