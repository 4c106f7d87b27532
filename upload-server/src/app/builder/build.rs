//! Makes the server that a builder describes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use upload_stores::MemoryStore;
use upload_writers::{DiscardWriterFactory, FileWriterConfig, FileWriterFactory, WriterFactory};

use super::{
    super::{
        build_error::BuildError, mount::decided_by, slot_options::SlotDefaults, uploads::Uploads,
    },
    UploadsBuilder,
};
use crate::{
    http::{
        allowed_hosts::AllowedHosts,
        cookie_key,
        forwarded::{Proxies, Transport},
        identity::{OwnerResolver, SECRET_BYTES_MIN},
        origin::Origins,
        s3_events::S3Events,
        session_cookie::CookieKeys,
        state::App,
    },
    outbox::{
        hooks::{Hooks, Uncallable},
        journal::Journal,
        signature::Signer,
    },
    server::shared::{Parts as SharedParts, Shared},
};
impl<S> UploadsBuilder<S> {
    /// Makes directories and the secret where they are missing, and checks everything.
    ///
    /// Blocks on the file system; meant for the start of a program.
    ///
    /// ```
    /// use upload_server::{SlotOptions, Uploads};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let uploads = Uploads::builder()
    ///     .data_dir(dir.path())
    ///     .allow_upload("photos", SlotOptions::new().accept("image/*"))
    ///     .build()?;
    /// let app: axum::Router = axum::Router::new().nest("/uploads", uploads.router());
    ///
    /// let twice = Uploads::builder()
    ///     .allow_upload("photos", SlotOptions::new())
    ///     .allow_upload("photos", SlotOptions::new());
    /// assert!(twice.build().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A slot, an origin or the secret is unusable, or a directory cannot be made or written.
    pub fn build(self) -> Result<Uploads, BuildError> {
        let settings = self.settings;
        let mut limits = settings.limits;
        limits.buffer_budget = settings.buffer_budget.unwrap_or(limits.buffer_budget);
        if let Some(text) = limits.contradiction() {
            return Err(BuildError::Limits(text));
        }
        let store = settings
            .store
            .unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let needs_files =
            settings.mount.is_some() || settings.slots.iter().any(|(_, slot)| !slot.has_writer());
        let (writers, data_dir): (Arc<dyn WriterFactory>, _) = if needs_files {
            let mut config = FileWriterConfig::new(&settings.data_dir);
            config.temp_dir = settings.temp_dir.unwrap_or(config.temp_dir);
            config.durability = settings.durability;
            config.min_free = settings.min_free;
            config.max_unfinished_bytes = settings.max_unfinished_bytes;
            let writers = FileWriterFactory::new(config).map_err(BuildError::Files)?;
            let data_dir = writers.config().data_dir.clone();
            (Arc::new(writers), data_dir)
        } else {
            // Every slot brings its own writer, and no connection can add others.
            (Arc::new(DiscardWriterFactory), settings.data_dir.clone())
        };
        let defaults = SlotDefaults {
            writers,
            data_dir,
            authorize: settings.authorize,
            on_upload_complete: settings.on_upload_complete.clone(),
            shared_store: store.is_shared(),
        };
        let mut slots = BTreeMap::new();
        for (name, options) in settings.slots {
            if slots.contains_key(&name) {
                return Err(BuildError::Duplicate { what: "slot", name });
            }
            let slot = options.into_slot(&name, &defaults);
            let slot = slot.map_err(|source| BuildError::slot(&name, source))?;
            slots.insert(name, slot);
        }
        let mut handlers = HashMap::new();
        for (name, handler) in settings.handlers {
            if handlers.contains_key(&name) {
                return Err(BuildError::Duplicate {
                    what: "event",
                    name,
                });
            }
            handlers.insert(name, handler);
        }
        let secret = match settings.secret {
            Some(secret) => secret,
            None => cookie_key::load_or_make(&settings.data_dir).map_err(BuildError::SecretFile)?,
        };
        let mut secrets = std::iter::once(&secret)
            .chain(&settings.previous_secrets)
            .chain(&settings.webhook);
        if secrets.any(|secret| secret.len() < SECRET_BYTES_MIN) {
            return Err(BuildError::Secret);
        }
        let previous = settings.previous_secrets.iter().map(Vec::as_slice);
        // An application without hooks has no journal.
        let s3_events = if settings.webhook.is_some() || !settings.hooks.is_empty() {
            let journal = Journal::open(settings.state_dir.as_deref())?;
            let hooks = Hooks::new(settings.hooks, journal.clone());
            let hooks = hooks
                .map_err(|Uncallable { number, source }| BuildError::Hook { number, source })?;
            let hooks = Arc::new(hooks);
            let handlers = settings.on_object_created;
            let signer = settings.webhook.as_deref().map(Signer::new);
            Some(S3Events::new(signer, handlers, journal, hooks))
        } else {
            None
        };
        let hooks = s3_events.as_ref().map(|events| Arc::clone(&events.hooks));
        let shared = Shared::new(SharedParts {
            slots: Arc::new(slots),
            store,
            limits,
            handlers,
            on_upload_complete: settings.on_upload_complete,
            hooks: hooks.filter(|hooks| hooks.are_there()),
        });
        let identity = OwnerResolver {
            keys: CookieKeys::new(&secret, previous),
            owner_of: settings.owner_of,
            transport: Transport {
                proxies: Proxies::new(&settings.trusted_proxies, settings.trust_proxy)?,
                is_secure: settings.secure_cookie,
            },
        };
        let hosts = settings.allowed_hosts.as_deref().map(AllowedHosts::new);
        let hosts = hosts.transpose()?;
        let origins = Origins::new(&settings.allowed_origins, settings.require_origin)?;
        let shared = Arc::new(shared);
        let writers = Arc::clone(&defaults.writers);
        #[cfg(feature = "doors")]
        let doors = settings.doors.build(identity.owner_of.is_none());
        let slots_of = settings.mount.map(|mount| decided_by(mount, defaults));
        let mut app = App::new(
            shared, identity, origins, hosts, slots_of, writers, s3_events,
        );
        #[cfg(feature = "doors")]
        app.set_doors(doors);
        app.keeps_requests = settings.keeps_requests;
        Ok(Uploads { app: Arc::new(app) })
    }
}
