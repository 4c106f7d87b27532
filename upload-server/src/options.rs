//! What an application says about a slot, and how a [`Slot`] comes of it.

use std::{fmt, future::Future, path::PathBuf, sync::Arc};

use thiserror::Error;
use upload_core::{Screen, SlotRules};
use upload_proto::{Code, limits};
use upload_stores::UploadStateStore;
use upload_validate::{Accept, AcceptError, Refusal, Rules, Validator};
use upload_writers::WriterFactory;

use crate::slot::{Authorize, AuthorizeRequest, CompletedEntry, OnComplete, Slot, both};

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
///     .accept(".jpg,.png,.webp")
///     .max_entries(10)
///     .max_file_size(20_000_000)
///     .resumable(true);
/// ```
#[derive(Clone)]
#[must_use]
pub struct SlotOptions {
    rules: SlotRules,
    validators: Vec<Arc<dyn Validator>>,
    writers: Option<Arc<dyn WriterFactory>>,
    store: Option<Arc<dyn UploadStateStore>>,
    authorize: Option<Authorize>,
    on_complete: Option<OnComplete>,
    consume_on_complete: Option<bool>,
    #[cfg(feature = "presign")]
    presigner: Option<crate::Presigner>,
}

impl SlotOptions {
    /// Takes one file of at most 10,000,000 bytes, any type but active content.
    pub fn new() -> Self {
        Self {
            rules: SlotRules::new(""),
            validators: Vec::new(),
            writers: None,
            store: None,
            authorize: None,
            on_complete: None,
            consume_on_complete: None,
            #[cfg(feature = "presign")]
            presigner: None,
        }
    }

    /// Takes only these extensions and types, separated by commas, such as `.jpg,image/*`; empty
    /// for all.
    pub fn accept(mut self, accept: impl Into<String>) -> Self {
        self.rules.accept = accept.into();
        self
    }

    /// Takes this many files at a time per connection (PROTOCOL CTRL-3); 1 by default.
    pub fn max_entries(mut self, files: u32) -> Self {
        self.rules.max_entries = files;
        self
    }

    /// Takes files of at most this many bytes; 10,000,000 by default.
    pub fn max_file_size(mut self, bytes: u64) -> Self {
        self.rules.max_file_size = bytes;
        self
    }

    /// Asks for chunks of this many bytes; 65,536 by default, at most [`CHUNK_BYTES_MAX`].
    pub fn chunk_size(mut self, bytes: u32) -> Self {
        self.rules.chunk_size = bytes;
        self
    }

    /// Sets whether pages send a file as soon as it is picked; on by default.
    pub fn auto_upload(mut self, auto: bool) -> Self {
        self.rules.auto_upload = auto;
        self
    }

    /// Sets whether uploads outlive their connection (PROTOCOL section 8); off by default.
    pub fn resumable(mut self, resumable: bool) -> Self {
        self.rules.resumable = resumable;
        self
    }

    /// Sets whether a resumable upload outlives a closed tab (PROTOCOL RESUME-7); off by default.
    pub fn keep_on_leave(mut self, keep: bool) -> Self {
        self.rules.keep_on_leave = keep;
        self
    }

    /// Sets whether files that a browser would run are taken; off by default.
    ///
    /// Serve such files from another origin than your pages.
    pub fn allow_active_content(mut self, allow: bool) -> Self {
        self.rules.allow_active_content = allow;
        self
    }

    /// Adds a check of the first bytes; checks run in the order they were added.
    pub fn validator(mut self, validator: impl Validator + 'static) -> Self {
        self.validators.push(Arc::new(validator));
        self
    }

    /// Keeps bytes with writers of this factory; by default they go to files below `data_dir`.
    pub fn writer(mut self, factory: impl WriterFactory + 'static) -> Self {
        self.writers = Some(Arc::new(factory));
        self
    }

    pub(crate) fn shared_writer(mut self, factory: Arc<dyn WriterFactory>) -> Self {
        self.writers = Some(factory);
        self
    }

    /// Keeps this slot's records in a store of its own.
    pub fn store(mut self, store: Arc<dyn UploadStateStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Asks `authorize` before each upload of this slot begins, goes on over another connection,
    /// and is stored; `false` is answered with `forbidden`.
    ///
    /// [`AuthorizeRequest::moment`] tells which. See also
    /// [`UploadsBuilder::authorize`](crate::UploadsBuilder::authorize).
    pub fn authorize<F, R>(mut self, authorize: F) -> Self
    where
        F: Fn(AuthorizeRequest) -> R + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        self.authorize = Some(Arc::new(move |request| Box::pin(authorize(request))));
        self
    }

    /// Runs `handler` for each file stored in this slot; after 30 seconds it is given up.
    ///
    /// Completion then consumes the entry (PROTOCOL CTRL-3), unless
    /// [`consume_on_complete`](Self::consume_on_complete) says otherwise.
    pub fn on_complete<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(CompletedEntry) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.on_complete = Some(Arc::new(move |entry| Box::pin(handler(entry))));
        self
    }

    /// Sets whether a stored file frees its place in the slot at once (PROTOCOL CTRL-3).
    ///
    /// If not, an event handler consumes it. By default it does exactly where the slot has an
    /// [`on_complete`](Self::on_complete) handler.
    pub fn consume_on_complete(mut self, consume: bool) -> Self {
        self.consume_on_complete = Some(consume);
        self
    }

    /// Has clients put files straight into a bucket, with URLs that `POST …/presign` signs.
    ///
    /// The slot's checks come before the signature; content is not looked at, since it does not
    /// come by. [`UploadsBuilder::on_object_created`](crate::UploadsBuilder::on_object_created)
    /// tells what arrived. Connections cannot upload to such a slot.
    #[cfg(feature = "presign")]
    pub fn direct(mut self, presigner: crate::Presigner) -> Self {
        self.presigner = Some(presigner);
        self
    }

    /// Checks the options and makes the slot of this name.
    pub(crate) fn into_slot(self, name: &str, defaults: &SlotDefaults) -> Result<Slot, SlotError> {
        let mut rules = self.rules;
        check(name, &rules)?;
        let accept = Accept::parse(&rules.accept)?;
        rules.accept = accept.as_str().to_owned();
        let mut checks = Rules::new(accept).allow_active_content(rules.allow_active_content);
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
        rules.screen = Arc::new(NameScreen(Arc::clone(&checks)));
        let (writers, files) = match self.writers {
            Some(writers) => (writers, None),
            None => (
                Arc::clone(&defaults.writers),
                Some(defaults.data_dir.clone()),
            ),
        };
        Ok(Slot {
            rules: Arc::new(rules),
            checks,
            writers,
            store: self.store,
            authorize,
            on_complete: self.on_complete,
            #[cfg(feature = "presign")]
            presigner: self.presigner,
            files,
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

/// What all slots have in common: where those without a writer of their own keep files, and whom
/// the server asks.
#[derive(Clone)]
pub(crate) struct SlotDefaults {
    pub(crate) writers: Arc<dyn WriterFactory>,
    pub(crate) data_dir: PathBuf,
    pub(crate) authorize: Option<Authorize>,
    /// Whether other processes see the server's store.
    pub(crate) shared_store: bool,
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

/// Asks the slot's rules about names and declared types.
struct NameScreen(Arc<Rules>);

impl Screen for NameScreen {
    fn screen(&self, client_name: &str, client_type: &str) -> Result<(), Code> {
        self.0
            .screen(client_name, client_type)
            .map_err(refusal_code)
    }
}

/// Returns the wire's code of a refusal.
pub(crate) fn refusal_code(refusal: Refusal) -> Code {
    match refusal {
        Refusal::TypeNotAccepted => Code::TypeNotAccepted,
        Refusal::ActiveContent => Code::ActiveContent,
        Refusal::ContentMismatch => Code::ContentMismatch,
    }
}

#[cfg(test)]
mod tests {
    use upload_writers::DiscardWriterFactory;

    use super::*;

    fn defaults() -> SlotDefaults {
        SlotDefaults {
            writers: Arc::new(DiscardWriterFactory),
            data_dir: "files".into(),
            authorize: None,
            shared_store: false,
        }
    }

    fn slot(options: SlotOptions) -> Slot {
        options
            .into_slot("avatar", &defaults())
            .expect("good options")
    }

    #[test]
    fn names_that_would_leave_a_directory_are_refused() {
        let name = |name: &str| SlotOptions::new().into_slot(name, &defaults()).map(|_| ());
        assert!(name("photo-album_2").is_ok());
        for bad in ["", "..", "a/b", "a.b", "a b", "ä", &"x".repeat(65)] {
            assert!(matches!(name(bad), Err(SlotError::Name)), "{bad}");
        }
    }

    #[test]
    fn bounds_are_checked() {
        let build = |options: SlotOptions| options.into_slot("s", &defaults()).map(|_| ());
        let options = SlotOptions::new;
        assert!(matches!(
            build(options().max_entries(0)),
            Err(SlotError::MaxEntries)
        ));
        assert!(matches!(
            build(options().chunk_size(0)),
            Err(SlotError::ChunkSize)
        ));
        let over = options().chunk_size(CHUNK_BYTES_MAX + 1);
        assert!(matches!(build(over), Err(SlotError::ChunkSize)));
        let over = options().max_file_size(limits::SIZE_MAX + 1);
        assert!(matches!(build(over), Err(SlotError::MaxFileSize)));
        assert!(build(options().max_file_size(limits::SIZE_MAX)).is_ok());
    }

    /// MSG-1a: active content is refused before the type is looked at.
    #[test]
    fn msg_1a_the_screen_asks_the_rules() {
        let screen = slot(SlotOptions::new().accept(".png")).rules.screen.clone();
        assert_eq!(screen.screen("a.png", "image/png"), Ok(()));
        assert_eq!(
            screen.screen("a.gif", "image/gif"),
            Err(Code::TypeNotAccepted)
        );
        assert_eq!(screen.screen("a.svg", ""), Err(Code::ActiveContent));
    }

    /// CTRL-3: completion consumes where the slot has a handler of it.
    #[test]
    fn ctrl_3_a_completion_handler_consumes() {
        assert!(!slot(SlotOptions::new()).rules.consume_on_complete);
        let handled = SlotOptions::new().on_complete(|_| async {});
        assert!(slot(handled.clone()).rules.consume_on_complete);
        assert!(
            !slot(handled.consume_on_complete(false))
                .rules
                .consume_on_complete
        );
    }

    #[test]
    fn only_files_below_data_dir_can_be_read_back() {
        assert_eq!(slot(SlotOptions::new()).files, Some("files".into()));
        let own = SlotOptions::new().writer(DiscardWriterFactory);
        assert_eq!(slot(own).files, None);
    }
}
