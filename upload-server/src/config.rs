//! The configuration of the ready server: a TOML file, overridden by `UPLOAD_*` variables.
//!
//! Variables name keys in upper case, with two underscores for each step down:
//! `UPLOAD_SLOTS__VIDEO__MAX_FILE_SIZE=1GiB`.
//! Without a file everything has a default, and the slots are those of the demo page.

mod error;
mod hooks;
mod open;
mod s3;
mod secret;
mod size;
mod slots;
mod sweep;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::Deserialize;
use upload_core::SessionLimits;

pub use error::ConfigError;
pub use hooks::{HookConfig, WebhookConfig};
pub use open::Server;
#[cfg(feature = "presign")]
pub(crate) use s3::is_prefix;
pub use s3::{ObjectStoreConfig, S3Config};
pub use secret::Secret;
pub use size::Size;
pub use slots::{SlotConfig, WriterKind};

use crate::{identity::SECRET_BYTES_MIN, origin::Origins, shared::Limits};

/// Beginning of the variables that override the file.
const ENV_PREFIX: &str = "UPLOAD_";

/// The variable of the command line that is no key.
const ENV_CONFIG: &str = "config";

/// Beginnings of variables that are not ours: Kubernetes sets such ones in every container beside a
/// service named `upload` or `upload-server`.
const ENV_FOREIGN: &[&str] = &["service_", "port", "server_"];

/// Everything the ready server can be told; unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Where `/metrics` and `/healthz` are, if not beside everything else.
    pub admin_listen: Option<SocketAddr>,
    /// Finished files, as `<slot>/<uuid>-<safe name>`.
    pub data_dir: PathBuf,
    /// Files under way; by default `<data_dir>/.tmp`.
    pub temp_dir: Option<PathBuf>,
    /// Where the embedded store and the calls of hooks are, one server's alone; by default `<data_dir>/.state`.
    pub state_dir: Option<PathBuf>,
    /// Pages that may connect: none for the same host, `"*"` for any (PROTOCOL CONN-1).
    pub allowed_origins: Vec<String>,
    /// Whether a request without `Origin` is refused.
    pub require_origin: bool,
    /// Whether `X-Forwarded-Proto` comes from a proxy and may be believed.
    pub trust_proxy: bool,
    /// What cookies are signed with, at least 32 bytes; made and kept in `data_dir` when absent.
    pub secret: Option<Secret>,
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
    /// S3's events; absent: they are not taken.
    pub webhook: Option<WebhookConfig>,
    /// Who is told of stored files and created objects.
    pub hooks: Vec<HookConfig>,
    /// The slots by name; none for those of the demo page.
    pub slots: BTreeMap<String, SlotConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin_listen: None,
            data_dir: PathBuf::from("./uploads"),
            temp_dir: None,
            state_dir: None,
            allowed_origins: Vec::new(),
            require_origin: false,
            trust_proxy: false,
            secret: None,
            demo: None,
            buffer_budget: Size(Limits::default().buffer_budget),
            durability: DurabilityKind::Process,
            state: StateConfig::default(),
            limits: LimitsConfig::default(),
            webhook: None,
            hooks: Vec::new(),
            slots: BTreeMap::new(),
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
    /// The file cannot be read, or a key is unknown or has a value that cannot be; the error names
    /// the key.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError::NoFile(file.to_owned()));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let env = Env::prefixed(ENV_PREFIX)
            .filter(|name| is_key(name.as_str()))
            .split("__");
        Self::read(&secret::with_text_of(figment.merge(&env), &env))
    }

    fn read(figment: &Figment) -> Result<Self, ConfigError> {
        let mut config: Self = figment.extract()?;
        config.fill();
        config.check()?;
        Ok(config)
    }

    /// Returns whether the demo page is at `/`.
    pub fn has_demo(&self) -> bool {
        self.demo.unwrap_or(false)
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
        if self
            .secret
            .as_ref()
            .is_some_and(|secret| secret.0.len() < SECRET_BYTES_MIN)
        {
            let why = format!("needs at least {SECRET_BYTES_MIN} bytes");
            return Err(invalid("secret", &why));
        }
        if self.admin_listen == Some(self.listen) {
            return Err(invalid("admin_listen", &"is the same as listen"));
        }
        self.limits.check()?;
        if let Some(webhook) = &self.webhook {
            webhook.check()?;
        }
        hooks::check(&self.hooks)?;
        for (name, slot) in &self.slots {
            slot.check(name)?;
            let store = slot.store.unwrap_or(self.state.store);
            if store == StoreKind::Redis {
                self.state.check_redis()?;
            }
        }
        if self.state.store == StoreKind::Redis {
            self.state.check_redis()?;
        }
        if self.state.ttl_seconds == 0 {
            return Err(invalid("state.ttl_seconds", &"must be at least 1"));
        }
        Ok(())
    }

    /// Returns the times and bounds of the server.
    pub fn limits(&self) -> Limits {
        let limits = &self.limits;
        let defaults = Limits::default();
        let ttl = Duration::from_secs(self.state.ttl_seconds);
        Limits {
            session: SessionLimits {
                max_uploads_per_owner: limits.max_uploads_per_owner,
                max_bytes_per_owner: limits.max_bytes_per_owner.map(|bytes| bytes.0),
                idle_upload: Duration::from_secs(limits.idle_upload_seconds),
                first_message: Duration::from_secs(limits.first_message_seconds),
                ping_interval: Duration::from_secs(limits.ping_seconds),
                max_refused_per_minute: limits.max_refused_per_minute,
                record_ttl: ttl,
                ..defaults.session
            },
            max_connections: limits.max_connections,
            max_uploads: limits.max_uploads.unwrap_or(defaults.max_uploads),
            handshake: Duration::from_secs(limits.handshake_seconds),
            checksum: limits.checksum,
            buffer_budget: self.buffer_budget.0,
            parked_for: defaults.parked_for.min(ttl),
            sweep_interval: Duration::from_secs(limits.sweep_seconds),
            ..defaults
        }
    }
}

/// Returns whether the rest of a variable's name is meant as a key.
fn is_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_foreign = ENV_FOREIGN.iter().any(|begin| name.starts_with(begin));
    name != ENV_CONFIG && !is_foreign
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

/// The kinds of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// In the process; a restart loses it.
    Memory,
    /// In a file in `state_dir`.
    Embedded,
    /// In Redis, shared by several servers.
    Redis,
}

/// `[state]`: where resume records live, and how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StateConfig {
    /// The store of slots that name none.
    pub store: StoreKind,
    /// Where Redis is; kept out of debug output, since it may hold a password.
    pub redis_url: Option<Secret>,
    /// Seconds a record lives without progress (PROTOCOL RESUME-8).
    pub ttl_seconds: u64,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            store: StoreKind::Embedded,
            redis_url: None,
            ttl_seconds: 3600,
        }
    }
}

impl StateConfig {
    fn check_redis(&self) -> Result<(), ConfigError> {
        if cfg!(not(feature = "redis")) {
            let why = "\"redis\" needs a build with the feature \"redis\"";
            return Err(ConfigError::invalid("state.store", why));
        }
        if self.redis_url.is_none() {
            let why = "is needed for the store \"redis\"";
            return Err(ConfigError::invalid("state.redis_url", why));
        }
        Ok(())
    }
}

/// `[limits]`: times and bounds (PROTOCOL section 10).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// WebSocket connections at a time.
    pub max_connections: usize,
    /// Uploads of all owners at a time, beyond which registrations are told to come later; by default three quarters of the files that the process may have open.
    pub max_uploads: Option<u32>,
    /// Uploads of one owner over all connections.
    pub max_uploads_per_owner: u32,
    /// Declared bytes of those uploads together; no limit by default.
    pub max_bytes_per_owner: Option<Size>,
    /// Seconds an upload may stand still while it has credit.
    pub idle_upload_seconds: u64,
    /// Seconds from connecting to the whole request.
    pub handshake_seconds: u64,
    /// Seconds from the upgrade to the first message.
    pub first_message_seconds: u64,
    /// Seconds between pings.
    pub ping_seconds: u64,
    /// Refused frames and messages in one minute before a connection is closed.
    pub max_refused_per_minute: u32,
    /// Seconds between removals of what expired.
    pub sweep_seconds: u64,
    /// Whether CRC32C of whole files is computed and checked (PROTOCOL COMPLETE-2).
    pub checksum: bool,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let limits = Limits::default();
        let session = limits.session;
        Self {
            max_connections: limits.max_connections,
            max_uploads: None,
            max_uploads_per_owner: session.max_uploads_per_owner,
            max_bytes_per_owner: None,
            idle_upload_seconds: session.idle_upload.as_secs(),
            handshake_seconds: limits.handshake.as_secs(),
            first_message_seconds: session.first_message.as_secs(),
            ping_seconds: session.ping_interval.as_secs(),
            max_refused_per_minute: session.max_refused_per_minute,
            sweep_seconds: limits.sweep_interval.as_secs(),
            checksum: limits.checksum,
        }
    }
}

impl LimitsConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let least_one = [
            ("max_connections", self.max_connections as u64),
            ("max_uploads", self.max_uploads.unwrap_or(1).into()),
            ("max_uploads_per_owner", self.max_uploads_per_owner.into()),
            ("idle_upload_seconds", self.idle_upload_seconds),
            ("handshake_seconds", self.handshake_seconds),
            ("first_message_seconds", self.first_message_seconds),
            ("ping_seconds", self.ping_seconds),
            ("max_refused_per_minute", self.max_refused_per_minute.into()),
            ("sweep_seconds", self.sweep_seconds),
        ];
        match least_one.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(ConfigError::invalid(
                &format!("limits.{key}"),
                "must be at least 1",
            )),
            None => Ok(()),
        }
    }
}
