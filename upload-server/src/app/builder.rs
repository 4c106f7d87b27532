//! The builder of [`Uploads`]: its settings; what it calls and how it builds are rooms of their own.

mod build;
mod calls;
mod network;
mod storage;

use std::{fmt, path::PathBuf, sync::Arc};

use upload_stores::UploadStateStore;
use upload_writers::Durability;

use super::{mount::MountFn, slot_options::SlotOptions};
use crate::{
    http::{
        identity::OwnerOf,
        s3_events::{self, ObjectCreated, OnObject},
    },
    outbox::hooks::Hook,
    server::limits::Limits,
    slots::{
        answer::{Authorization, asked},
        events::Handler,
        handlers::{Authorize, OnComplete},
        slot::{AuthorizeRequest, CompletedEntry},
    },
};

/// Collects what [`Uploads`](crate::Uploads) is made of.
///
/// `S` is the state of [`with_state`](Self::with_state), which handlers take.
///
/// ```
/// # fn main() -> Result<(), upload_server::BuildError> {
/// use upload_server::{SlotOptions, Uploads};
///
/// # let dir = tempfile::tempdir().expect("a directory");
/// let uploads = Uploads::builder()
///     .data_dir(dir.path())
///     .allow_upload("avatar", SlotOptions::new().accept("image/*"))
///     .on_event("hello", async |event| Ok(format!("Hello, {}", event.owner).into()))
///     .build()?;
/// let app: axum::Router = axum::Router::new().nest("/uploads", uploads.router());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct UploadsBuilder<S = ()> {
    state: S,
    pub(super) settings: Settings,
}

/// What a builder collects, apart from the state.
pub(super) struct Settings {
    slots: Vec<(String, SlotOptions)>,
    mount: Option<MountFn>,
    authorize: Option<Authorize>,
    handlers: Vec<(String, Handler)>,
    on_upload_complete: Option<OnComplete>,
    on_object_created: Vec<OnObject>,
    webhook: Option<Vec<u8>>,
    hooks: Vec<Hook>,
    state_dir: Option<PathBuf>,
    owner_of: Option<OwnerOf>,
    trust_proxy: bool,
    trusted_proxies: Vec<String>,
    secure_cookie: bool,
    secret: Option<Vec<u8>>,
    previous_secrets: Vec<Vec<u8>>,
    allowed_hosts: Option<Vec<String>>,
    allowed_origins: Vec<String>,
    require_origin: bool,
    data_dir: PathBuf,
    temp_dir: Option<PathBuf>,
    durability: Durability,
    min_free: u64,
    max_unfinished_bytes: Option<u64>,
    store: Option<Arc<dyn UploadStateStore>>,
    limits: Limits,
    #[cfg(feature = "doors")]
    pub(super) doors: super::doors::DoorsBuilder,
    /// The bytes of `buffer_budget`, which count over the limits.
    buffer_budget: Option<u64>,
    /// Whether a handler asks for the request that opened its connection.
    keeps_requests: bool,
}

impl UploadsBuilder {
    /// Returns the defaults of [`Uploads::builder`].
    pub(super) fn new() -> Self {
        Self {
            state: (),
            settings: Settings {
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
                trusted_proxies: Vec::new(),
                secure_cookie: false,
                secret: None,
                previous_secrets: Vec::new(),
                allowed_hosts: None,
                allowed_origins: Vec::new(),
                require_origin: false,
                data_dir: PathBuf::from("uploads"),
                temp_dir: None,
                durability: Durability::default(),
                min_free: 0,
                max_unfinished_bytes: None,
                store: None,
                limits: Limits::default(),
                buffer_budget: None,
                keeps_requests: false,
                #[cfg(feature = "doors")]
                doors: Default::default(),
            },
        }
    }
}

impl<S> UploadsBuilder<S> {
    /// Adds a slot that every connection has.
    ///
    /// ```
    /// use upload_server::{SlotOptions, Uploads};
    /// let photos = SlotOptions::new().accept("image/*").max_entries(20);
    /// let builder = Uploads::builder().allow_upload("photos", photos);
    /// ```
    pub fn allow_upload(mut self, name: impl Into<String>, options: SlotOptions) -> Self {
        self.settings.slots.push((name.into(), options));
        self
    }

    /// Asks `authorize` about every upload of any slot, besides what the slot itself asks; `false`
    /// is answered with `forbidden`, and an error in its own words: see [`Authorization`].
    ///
    /// It is asked before an upload begins, before it resumes over another connection, and once more when every
    /// byte is here, before the file gets its name. So nothing is stored if the right was withdrawn meanwhile.
    /// Without one, nothing is asked and nothing waits.
    /// After ten seconds without an answer the upload is refused.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().authorize(async |request| request.owner.starts_with("staff:"));
    /// ```
    pub fn authorize<F, R>(mut self, authorize: F) -> Self
    where
        F: FnOnce(AuthorizeRequest) -> R + Clone + Send + Sync + 'static,
        R: Future<Output: Authorization> + Send + 'static,
    {
        self.settings.authorize = Some(asked(authorize));
        self
    }

    /// Asks this about every upload of any slot, whose refusals may have any code.
    #[cfg(feature = "cli")]
    pub(crate) fn decided_by<F, R>(mut self, decide: F) -> Self
    where
        F: Fn(AuthorizeRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), upload_core::Refusal>> + Send + 'static,
    {
        self.settings.authorize = Some(crate::slots::handlers::question(move |request| {
            let answer = decide(request);
            async move { answer.await.map_err(crate::slots::answer::Denial::Refused) }
        }));
        self
    }

    /// Runs `handler` for each stored file of any slot, after the slot's own handler.
    ///
    /// Unlike the slot's own it does not consume the entry. After 30 seconds it is given up; what takes longer
    /// belongs into a task of its own.
    ///
    /// Where completion consumes, it runs at least once, as
    /// [`SlotOptions::on_complete`](crate::SlotOptions::on_complete) does: if it panics, takes too long or dies with
    /// its process, both handlers run again later. In slots whose files wait for an event handler it runs once.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().on_upload_complete(async |done| {
    ///     println!("{} stored {}", done.owner, done.entry.safe_client_name());
    /// });
    /// ```
    pub fn on_upload_complete<F, R>(mut self, handler: F) -> Self
    where
        F: FnOnce(CompletedEntry) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.settings.on_upload_complete =
            Some(Arc::new(move |entry| Box::pin(handler.clone()(entry))));
        self
    }

    /// Takes S3's events at [`Uploads::webhook_router`](crate::Uploads::webhook_router), signed with this secret of at
    /// least 32 bytes:
    /// `X-Upload-Signature: hex(HMAC-SHA256(secret, body))`.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().webhook("thirty-two bytes or more of chance");
    /// ```
    pub fn webhook(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.settings.webhook = Some(secret.as_ref().to_vec());
        self
    }

    /// Runs `handler` for each object that S3 says was created; several run one after another.
    ///
    /// Each event fires once, also when S3 repeats it. See also
    /// [`Uploads::on_object_created`](crate::Uploads::on_object_created).
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().on_object_created(async |object| {
    ///     println!("{} has {} bytes", object.key, object.size);
    /// });
    /// ```
    pub fn on_object_created<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(ObjectCreated) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.settings
            .on_object_created
            .push(s3_events::handler(handler));
        self
    }

    /// Calls this address for every stored file and created object.
    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn hook(mut self, hook: Hook) -> Self {
        self.settings.hooks.push(hook);
        self
    }
}

impl<S> fmt::Debug for UploadsBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadsBuilder").finish_non_exhaustive()
    }
}
