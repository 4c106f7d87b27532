//! The configuration of the ready server: a TOML file, overridden by `UPLOAD_*` variables.
//!
//! Variables name keys in upper case, with two underscores for each step down:
//! `UPLOAD_SLOTS__VIDEO__MAX_FILE_SIZE=1GiB`.
//! Without a file everything has a default, and the slots are those of the demo page.

mod auth;
mod deciding;
mod doors;
mod error;
mod hooks;
mod limits;
mod listen;
mod open;
mod s3;
mod secret;
mod size;
mod slots;
mod state;
mod sweep;
#[cfg(test)]
mod tests;
mod time;
mod variables;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    slice,
};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde::Deserialize;
use upload_core::SessionLimits;

pub use auth::{AuthConfig, ForwardConfig, JwtConfig};
pub use deciding::{DecidingHookConfig, Moments, WithoutAnswer};
pub use doors::DoorKind;
pub use error::ConfigError;
pub use hooks::{HookConfig, WebhookConfig};
pub use limits::LimitsConfig;
pub use listen::{Bound, Listeners, TlsConfig};
pub use open::Server;
pub use s3::{ObjectStoreConfig, S3Config};
pub use secret::Secret;
pub use size::Size;
pub use slots::{ActiveContentKind, SlotConfig, WriterKind};
pub use state::{StateConfig, StoreKind};
pub use time::Time;

use crate::{
    http::{allowed_hosts::AllowedHosts, demo::DemoSlot, forwarded::Proxies, origin::Origins},
    server::limits::Limits,
};

/// What is left free by default, for files that have begun: 16 MiB.
const MIN_FREE: u64 = 16 * 1024 * 1024;

/// Everything the ready server can be told; unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// A socket of the file system as a second listener, for a proxy on this machine; its `X-Forwarded-*` are believed if `trusted_proxies` names any.
    pub listen_socket: Option<PathBuf>,
    /// Where `/metrics` and `/healthz` are, if not next to the other routes.
    pub admin_listen: Option<SocketAddr>,
    /// Finished files, as `<slot>/<uuid>-<safe name>`.
    pub data_dir: PathBuf,
    /// Unfinished files; by default `<data_dir>/.tmp`.
    pub temp_dir: Option<PathBuf>,
    /// What has to be free on the file system of unfinished files before a file begins; uploads receive `storage_full` below it, and wait where they can be resumed.
    pub min_free: Size,
    /// The space that all unfinished files may take together, even while their clients are away; beyond it no file begins or grows, and uploads receive `storage_full`. No limit by default.
    pub max_unfinished_bytes: Option<Size>,
    /// Where the embedded store and the calls of hooks are, one server's alone; by default `<data_dir>/.state`.
    pub state_dir: Option<PathBuf>,
    /// Pages that may connect: none for the same host, `"*"` for any (PROTOCOL CONN-1).
    pub allowed_origins: Vec<String>,
    /// Whether a request without `Origin` is refused.
    pub require_origin: bool,
    /// Whether `X-Forwarded-Proto` comes from a single proxy and may be believed.
    pub trust_proxy: bool,
    /// Addresses and networks of proxies whose `X-Forwarded-*` are believed, however many follow each other; replaces `trust_proxy`.
    pub trusted_proxies: Vec<String>,
    /// Names the server answers to, besides IP addresses and `localhost`, others get 421; by default any, but none on loopback without `allowed_origins`, `trust_proxy` and `trusted_proxies` (PROTOCOL CONN-1).
    pub allowed_hosts: Vec<String>,
    /// Where clients find the routes, such as `https://example.org/uploads`, for those that need whole addresses of HTTP uploads; by default they are paths.
    pub public_url: Option<String>,
    /// Where browsers go whose form is stored, such as `/thanks`; by default they receive JSON.
    pub form_redirect: Option<String>,
    /// Whether an HTTP upload without an owner belongs to all who know its address; by default exactly where no one signs in.
    pub capability_urls: Option<bool>,
    /// What cookies are signed with, at least 32 bytes; made and kept in `data_dir` when absent.
    pub secret: Option<Secret>,
    /// Earlier secrets: cookies that were signed with them are still accepted, and issued again with the new one.
    pub previous_secrets: Vec<Secret>,
    /// Whether the demo page is at `/`; by default exactly when no slots are named.
    pub demo: Option<bool>,
    /// Payload bytes of all connections that may wait for writers.
    pub buffer_budget: Size,
    /// What it takes until bytes count as durable.
    pub durability: DurabilityKind,
    /// Where resume records live.
    pub state: StateConfig,
    /// Times and bounds.
    pub limits: LimitsConfig,
    /// Certificate and key of a server that speaks TLS itself; absent: a proxy does, or none.
    pub tls: Option<TlsConfig>,
    /// How visitors sign in; absent: every visitor has an identity, by a signed cookie.
    pub auth: Option<AuthConfig>,
    /// S3's events; absent: they are not taken.
    pub webhook: Option<WebhookConfig>,
    /// Who decides about uploads before they begin and before they are complete.
    pub deciding_hook: Option<DecidingHookConfig>,
    /// Who is notified of stored files and created objects.
    pub hooks: Vec<HookConfig>,
    /// The slots by name; none for those of the demo page.
    pub slots: BTreeMap<String, SlotConfig>,
    /// A warning about the file itself.
    #[serde(skip)]
    file_warning: Option<String>,
    /// Whether neither slots nor the demo were asked for.
    #[serde(skip)]
    is_unnamed: bool,
    /// Ports that were inherited for pages and clients; where there are any, they replace `listen`.
    #[serde(skip)]
    inherited: Vec<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            listen_socket: None,
            admin_listen: None,
            data_dir: PathBuf::from("./uploads"),
            temp_dir: None,
            min_free: Size(MIN_FREE),
            max_unfinished_bytes: None,
            state_dir: None,
            allowed_origins: Vec::new(),
            require_origin: false,
            trust_proxy: false,
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            public_url: None,
            form_redirect: None,
            capability_urls: None,
            secret: None,
            previous_secrets: Vec::new(),
            demo: None,
            buffer_budget: Size(Limits::default().buffer_budget),
            durability: DurabilityKind::Process,
            state: StateConfig::default(),
            limits: LimitsConfig::default(),
            tls: None,
            auth: None,
            webhook: None,
            deciding_hook: None,
            hooks: Vec::new(),
            slots: BTreeMap::new(),
            file_warning: None,
            is_unnamed: false,
            inherited: Vec::new(),
        }
    }
}

impl Config {
    /// Reads the file, if there is one to read, and the environment, and checks what they say.
    ///
    /// Nothing is made on disk and nothing is connected to.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a key is unknown or has a value that cannot be; the error names the key. So
    /// does one about a variable for a slot that a file with slots does not have.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError::NoFile(file.to_owned()));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let file_warning = file.and_then(|file| secret::exposed(file, &figment));
        let env = variables::read(&figment)?;
        let config = Self::read(&secret::with_text_of(figment.merge(&env), &env))?;
        Ok(Self {
            file_warning,
            ..config
        })
    }

    fn read(figment: &Figment) -> Result<Self, ConfigError> {
        let mut config: Self = figment.extract()?;
        config.is_unnamed = config.slots.is_empty() && config.demo != Some(true);
        config.fill();
        config.check()?;
        Ok(config)
    }

    /// Returns the demo: its page and its slots, and nothing else that is not by default.
    pub fn demo() -> Self {
        let mut config = Self::default();
        config.fill();
        config
    }

    /// Listens there instead.
    ///
    /// # Errors
    ///
    /// No slot is named, and others than this machine could come in.
    pub fn listen_on(&mut self, address: SocketAddr) -> Result<(), ConfigError> {
        self.listen = address;
        self.check_openness()
    }

    /// Slots that were not named are for trying, on this machine.
    fn check_openness(&self) -> Result<(), ConfigError> {
        if self.is_unnamed && !self.is_local() {
            let why = "none is named, and others than this machine can connect; name one, or say \
                demo = true for those of the demo page";
            return Err(ConfigError::invalid("slots", why));
        }
        Ok(())
    }

    /// Returns whether all ports are of this machine only.
    fn is_local(&self) -> bool {
        let ports = match self.inherited.is_empty() {
            true => slice::from_ref(&self.listen),
            false => self.inherited.as_slice(),
        };
        ports
            .iter()
            .all(|port| port.ip().to_canonical().is_loopback())
    }

    /// Returns what the configuration says and probably does not mean, a line each that names the key.
    pub fn warnings(&self) -> Vec<String> {
        let slots = self.slots.iter();
        let file = self.file_warning.iter().cloned();
        file.chain(slots.flat_map(|(name, slot)| {
            let warnings = slot.warnings().into_iter();
            warnings.map(move |(key, text)| format!("slots.{name}.{key}: {text}"))
        }))
        .collect()
    }

    /// Returns whether the demo page is at `/`.
    pub fn has_demo(&self) -> bool {
        self.demo.unwrap_or(false)
    }

    /// Returns what the demo page shows of each slot.
    pub fn demo_slots(&self) -> Vec<DemoSlot> {
        slots::shown(&self.slots)
    }

    /// Returns the names that the server answers to; `None` where it answers to any.
    ///
    /// On loopback, where no hosts, pages or proxies are configured, only this machine is meant to come
    /// in, so it answers to its own addresses.
    pub(crate) fn host_rule(&self) -> Option<&[String]> {
        let is_open = !self.allowed_origins.is_empty()
            || self.trust_proxy
            || !self.trusted_proxies.is_empty()
            || !self.is_local();
        let rules = !self.allowed_hosts.is_empty() || !is_open;
        rules.then_some(&self.allowed_hosts)
    }

    /// Settles what depends on other keys.
    fn fill(&mut self) {
        self.demo = Some(self.demo.unwrap_or(self.slots.is_empty()));
        if self.slots.is_empty() {
            self.slots = slots::demo();
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key: &str, why: &dyn ToString| ConfigError::invalid(key, why.to_string());
        Origins::new(&self.allowed_origins, self.require_origin)
            .map_err(|error| invalid("allowed_origins", &error))?;
        Proxies::new(&self.trusted_proxies, self.trust_proxy)
            .map_err(|error| invalid("trusted_proxies", &error))?;
        AllowedHosts::new(&self.allowed_hosts).map_err(|error| invalid("allowed_hosts", &error))?;
        if let Some(secret) = &self.secret {
            secret.check("secret")?;
        }
        for secret in &self.previous_secrets {
            secret.check("previous_secrets")?;
        }
        if self.admin_listen == Some(self.listen) {
            return Err(invalid("admin_listen", &"is the same as listen"));
        }
        self.check_openness()?;
        self.limits.check()?;
        if let Some(auth) = &self.auth {
            auth.check()?;
        }
        if let Some(webhook) = &self.webhook {
            webhook.check()?;
        }
        if let Some(hook) = &self.deciding_hook {
            hook.check()?;
        }
        hooks::check(&self.hooks)?;
        for (name, slot) in &self.slots {
            slot.check(name)?;
            let store = slot.store.unwrap_or(self.state.store);
            self.state.check(store)?;
        }
        self.state.check(self.state.store)?;
        if self.state.ttl_seconds.whole_seconds() == 0 {
            return Err(invalid("state.ttl_seconds", &"must be at least 1"));
        }
        Ok(())
    }

    /// Returns the times and bounds of the server.
    pub fn limits(&self) -> Limits {
        let limits = &self.limits;
        let defaults = Limits::default();
        let ttl = self.state.ttl_seconds.0;
        Limits {
            session: SessionLimits {
                max_uploads_per_owner: limits.max_uploads_per_owner,
                max_bytes_per_owner: limits.max_bytes_per_owner.map(|bytes| bytes.0),
                max_stored_bytes_per_owner: limits.max_stored_bytes_per_owner.map(|bytes| bytes.0),
                idle_upload: limits.idle_upload_seconds.0,
                bytes_per_second_min: limits.min_speed.0,
                unfinished_max: Some(limits.max_age.0),
                first_message: limits.first_message_seconds.0,
                ping_interval: limits.ping_seconds.0,
                max_refused_per_minute: limits.max_refused_per_minute,
                record_ttl: ttl,
                lease_ttl: defaults.session.lease_ttl.min(ttl),
                ..defaults.session
            },
            max_connections: limits.max_connections,
            max_visits: limits.max_visits,
            rates: limits.rates(),
            max_uploads: limits.max_uploads.unwrap_or(defaults.max_uploads),
            max_capability_uploads: limits.max_capability_uploads,
            max_capability_bytes: limits.max_capability_bytes.map(|bytes| bytes.0),
            handshake: limits.handshake_seconds.0,
            checksum: limits.checksum,
            buffer_budget: self.buffer_budget.0,
            parked_for: defaults.parked_for.min(ttl),
            sweep_interval: limits.sweep_seconds.0,
            ..defaults
        }
    }
}

/// What it takes until bytes count as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityKind {
    /// Bytes survive the death of the process.
    Process,
    /// Bytes survive the loss of power.
    Disk,
}
