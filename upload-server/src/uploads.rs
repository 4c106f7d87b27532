//! The face applications use: [`Uploads`] and its builder.

use std::{collections::BTreeMap, fmt, io, path::PathBuf, sync::Arc};

use axum_extra::extract::cookie::Key;
use http::request::Parts;
use serde_json::Value;
use thiserror::Error;
use upload_stores::{MemoryStore, UploadStateStore};
use upload_writers::{
    DiscardWriterFactory, Durability, FileSetupError, FileWriterConfig, FileWriterFactory,
    WriterFactory,
};

use crate::{
    app::App,
    events::{EventContext, Handler, HandlerError},
    hooks::{
        Hook, Hooks,
        journal::{Journal, JournalOpenError},
    },
    identity::{Identity, OwnerOf, SECRET_BYTES_MIN, Unauthenticated},
    mount::{Mount, MountFn},
    options::{SlotDefaults, SlotError, SlotOptions},
    origin::{BadOrigin, Origins},
    s3_events::{self, ObjectCreated, OnObject, S3Events},
    secret,
    shared::{Limits, Parts as SharedParts, Shared},
    signature::Signer,
    slot::{Authorize, AuthorizeRequest, CompletedEntry, OnComplete},
};

/// A ready upload server to nest in an axum app; cheap to clone.
#[derive(Clone)]
pub struct Uploads {
    pub(crate) app: Arc<App>,
}

impl Uploads {
    /// Starts with defaults: files below `./uploads`, records in memory, pages of the same host.
    pub fn builder() -> UploadsBuilder {
        UploadsBuilder {
            slots: Vec::new(),
            mount: None,
            authorize: None,
            handlers: Vec::new(),
            on_upload_complete: None,
            on_object_created: Vec::new(),
            webhook: None,
            hooks: Vec::new(),
            state_dir: None,
            owner_of: None,
            trust_proxy: false,
            secure_cookie: false,
            secret: None,
            allowed_origins: Vec::new(),
            require_origin: false,
            data_dir: PathBuf::from("uploads"),
            temp_dir: None,
            durability: Durability::default(),
            store: None,
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads").finish_non_exhaustive()
    }
}

/// Collects what [`Uploads`] is made of.
#[must_use]
pub struct UploadsBuilder {
    slots: Vec<(String, SlotOptions)>,
    mount: Option<MountFn>,
    authorize: Option<Authorize>,
    handlers: Vec<(String, Handler)>,
    on_upload_complete: Option<OnComplete>,
    on_object_created: Vec<OnObject>,
    webhook: Option<Signer>,
    hooks: Vec<Hook>,
    state_dir: Option<PathBuf>,
    owner_of: Option<OwnerOf>,
    trust_proxy: bool,
    secure_cookie: bool,
    secret: Option<Vec<u8>>,
    allowed_origins: Vec<String>,
    require_origin: bool,
    data_dir: PathBuf,
    temp_dir: Option<PathBuf>,
    durability: Durability,
    store: Option<Arc<dyn UploadStateStore>>,
    limits: Limits,
}

impl UploadsBuilder {
    /// Adds a slot that every connection has.
    pub fn allow_upload(mut self, name: impl Into<String>, options: SlotOptions) -> Self {
        self.slots.push((name.into(), options));
        self
    }

    /// Decides the slots of each connection from its request and owner, before the upgrade.
    ///
    /// The [`Mount`] starts with the slots of [`allow_upload`](Self::allow_upload); an error is
    /// logged and answered with 500.
    pub fn mount<F>(mut self, mount: F) -> Self
    where
        F: Fn(&mut Mount<'_>) -> Result<(), BuildError> + Send + Sync + 'static,
    {
        self.mount = Some(Arc::new(mount));
        self
    }

    /// Asks `authorize` about every upload of any slot, besides what the slot itself asks; `false`
    /// is answered with `forbidden`.
    ///
    /// It is asked before an upload begins, before it goes on over another connection, and once
    /// more when every byte is here, before the file gets its name: a right that was withdrawn
    /// meanwhile stores nothing. Without one, nothing is asked and nothing waits. An answer that
    /// takes longer than ten seconds is a no.
    pub fn authorize<F, R>(mut self, authorize: F) -> Self
    where
        F: Fn(AuthorizeRequest) -> R + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        self.authorize = Some(Arc::new(move |request| Box::pin(authorize(request))));
        self
    }

    /// Answers the page's events of this name; what it returns is the `result` the page sees.
    pub fn on_event<F, R>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(EventContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, HandlerError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |event| Box::pin(handler(event)));
        self.handlers.push((name.into(), handler));
        self
    }

    /// Runs `handler` for each stored file of any slot, after the slot's own handler.
    ///
    /// Unlike the slot's own it does not consume the entry. Each of the two is given up after 30
    /// seconds; what takes longer belongs into a task of its own.
    pub fn on_upload_complete<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(CompletedEntry) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.on_upload_complete = Some(Arc::new(move |entry| Box::pin(handler(entry))));
        self
    }

    /// Takes S3's events at [`Uploads::webhook_router`], signed with this secret:
    /// `X-Upload-Signature: hex(HMAC-SHA256(secret, body))`.
    pub fn webhook(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.webhook = Some(Signer::new(secret.as_ref()));
        self
    }

    /// Runs `handler` for each object that S3 says was created; several run one after another.
    ///
    /// Each event fires once, also when S3 repeats it. See also [`Uploads::on_object_created`].
    pub fn on_object_created<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(ObjectCreated) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.on_object_created.push(s3_events::handler(handler));
        self
    }

    /// Remembers in this directory which of S3's events were taken, so that repetitions after a
    /// restart fire nothing; in memory by default. One process at a time has it.
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(dir.into());
        self
    }

    /// Calls this address for every stored file and created object.
    pub(crate) fn hook(mut self, hook: Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// Tells from a request who it belongs to, at most 255 bytes.
    ///
    /// `Ok(None)` leaves it to the signed cookie. [`Unauthenticated`] is answered with 401, or, where
    /// a WebSocket was asked for, by opening it and closing it with 4401: a page's script sees that
    /// code and can come back with a new token (PROTOCOL CONN-2). What axum middleware found out stands in the parts' extensions.
    pub fn owner<F>(mut self, owner_of: F) -> Self
    where
        F: Fn(&Parts) -> Result<Option<String>, Unauthenticated> + Send + Sync + 'static,
    {
        self.owner_of = Some(Arc::new(owner_of));
        self
    }

    /// Signs cookies with this secret, at least 32 bytes of it.
    ///
    /// Without one, it is made once and kept in `data_dir`, readable by its owner only.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Believes `X-Forwarded-Proto`; only behind a proxy that sets it. Off by default.
    pub fn trust_proxy(mut self, trust: bool) -> Self {
        self.trust_proxy = trust;
        self
    }

    /// Makes cookies `Secure` however the request came, for servers that speak TLS themselves.
    pub fn secure_cookie(mut self, secure: bool) -> Self {
        self.secure_cookie = secure;
        self
    }

    /// Lets pages of these origins connect; none for the same host, `"*"` for any (PROTOCOL CONN-1).
    pub fn allowed_origins<S: Into<String>>(
        mut self,
        origins: impl IntoIterator<Item = S>,
    ) -> Self {
        self.allowed_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether requests without `Origin`, which are no browser's, are refused; off by default.
    pub fn require_origin(mut self, require: bool) -> Self {
        self.require_origin = require;
        self
    }

    /// Keeps finished files below this directory; `./uploads` by default.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = dir.into();
        self
    }

    /// Keeps files under way in this directory, on the file system of `data_dir`; by default
    /// `<data_dir>/.tmp`.
    pub fn temp_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.temp_dir = Some(dir.into());
        self
    }

    /// Sets what it takes until bytes of the file writer count as durable.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Keeps resume records in this store; in memory by default.
    pub fn store(mut self, store: Arc<dyn UploadStateStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Lets this many payload bytes of all connections wait for writers; 256 MiB by default.
    pub fn buffer_budget(mut self, bytes: u64) -> Self {
        self.limits.buffer_budget = bytes;
        self
    }

    /// Sets times and bounds; overwrites an earlier [`buffer_budget`](Self::buffer_budget).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Makes directories and the secret where they are missing, and checks everything.
    ///
    /// Blocks on the file system; meant for the start of a program.
    ///
    /// # Errors
    ///
    /// A slot, an origin or the secret is unusable, or a directory cannot be made or written.
    pub fn build(self) -> Result<Uploads, BuildError> {
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let needs_files =
            self.mount.is_some() || self.slots.iter().any(|(_, slot)| !slot.has_writer());
        let (writers, data_dir): (Arc<dyn WriterFactory>, _) = if needs_files {
            let mut config = FileWriterConfig::new(&self.data_dir);
            config.temp_dir = self.temp_dir.unwrap_or(config.temp_dir);
            config.durability = self.durability;
            let writers = FileWriterFactory::new(config).map_err(BuildError::Files)?;
            let data_dir = writers.config().data_dir.clone();
            (Arc::new(writers), data_dir)
        } else {
            // Every slot brings its own writer, and no connection can add others.
            (Arc::new(DiscardWriterFactory), self.data_dir.clone())
        };
        let defaults = SlotDefaults {
            writers,
            data_dir,
            authorize: self.authorize,
            shared_store: store.is_shared(),
        };
        let mut slots = BTreeMap::new();
        for (name, options) in self.slots {
            let slot = options.into_slot(&name, &defaults);
            let slot = slot.map_err(|source| BuildError::slot(&name, source))?;
            slots.insert(name, slot);
        }
        let key = match self.secret {
            Some(secret) if secret.len() < SECRET_BYTES_MIN => return Err(BuildError::Secret),
            Some(secret) => Key::derive_from(&secret),
            None => secret::load_or_make(&self.data_dir).map_err(BuildError::SecretFile)?,
        };
        // Whoever needs no journal gets none.
        let s3_events = if self.webhook.is_some() || !self.hooks.is_empty() {
            let journal = Journal::open(self.state_dir.as_deref())?;
            let hooks = Arc::new(Hooks::new(self.hooks, journal.clone()));
            let handlers = self.on_object_created;
            Some(S3Events::new(self.webhook, handlers, journal, hooks))
        } else {
            None
        };
        let hooks = s3_events.as_ref().map(|events| Arc::clone(&events.hooks));
        let shared = Shared::new(SharedParts {
            slots: Arc::new(slots),
            store,
            limits: self.limits,
            handlers: self.handlers.into_iter().collect(),
            on_upload_complete: self.on_upload_complete,
            hooks: hooks.filter(|hooks| hooks.are_there()),
        });
        let identity = Identity {
            key,
            owner_of: self.owner_of,
            trust_proxy: self.trust_proxy,
            secure_cookie: self.secure_cookie,
        };
        let origins = Origins::new(&self.allowed_origins, self.require_origin)?;
        let shared = Arc::new(shared);
        let app = App::new(shared, identity, origins, self.mount, defaults, s3_events);
        Ok(Uploads { app: Arc::new(app) })
    }
}

impl fmt::Debug for UploadsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadsBuilder").finish_non_exhaustive()
    }
}

/// An upload server cannot be as the builder says.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A slot's options cannot be.
    #[error("slot {slot:?}: {source}")]
    Slot {
        /// The slot's name.
        slot: String,
        /// What is wrong with it.
        source: SlotError,
    },
    /// The list of origins cannot be read.
    #[error(transparent)]
    Origin(#[from] BadOrigin),
    /// The secret is too short to sign with.
    #[error("the secret must have at least {SECRET_BYTES_MIN} bytes")]
    Secret,
    /// The secret could not be read from `data_dir` or kept there.
    #[error("the secret in data_dir: {0}")]
    SecretFile(#[source] io::Error),
    /// What is remembered of hooks and events cannot be opened.
    #[error("state_dir: {0}")]
    State(#[from] JournalOpenError),
    /// `data_dir` or `temp_dir` does not serve.
    #[error("data_dir or temp_dir: {0}")]
    Files(#[source] FileSetupError),
}

impl BuildError {
    pub(crate) fn slot(slot: &str, source: SlotError) -> Self {
        Self::Slot {
            slot: slot.to_owned(),
            source,
        }
    }
}
