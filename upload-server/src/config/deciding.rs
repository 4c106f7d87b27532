//! `[deciding_hook]`: who is asked about uploads.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, Secret, Time, hooks::address_of};
use crate::{
    outbox::deciding::{Decider, DeciderParts},
    outgoing,
};

/// Longest time that deciding or signing in may take: less than a server waits for any answer about an upload.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(8);

/// When the hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moments {
    /// Before an upload begins, and before it is complete.
    Both,
    /// Before an upload begins.
    Begin,
    /// Before an upload is complete.
    Complete,
}

/// What no answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutAnswer {
    /// A refusal.
    Refuse,
    /// A yes.
    Accept,
}

/// `[deciding_hook]`: an address that accepts or refuses uploads, and may give them another name and metadata.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DecidingHookConfig {
    /// The address; kept out of debug output, since it may hold a password.
    pub url: Secret,
    /// Questions are signed with this, at least 32 bytes.
    pub secret: Secret,
    /// When it is asked.
    #[serde(default = "both")]
    pub moments: Moments,
    /// How long an answer may take, 8 seconds at most.
    #[serde(default = "timeout")]
    pub timeout: Time,
    /// What counts where there is no answer in time, or none that can be read.
    #[serde(default = "refuse")]
    pub without_answer: WithoutAnswer,
}

fn both() -> Moments {
    Moments::Both
}

fn timeout() -> Time {
    Time(Duration::from_secs(3))
}

fn refuse() -> WithoutAnswer {
    WithoutAnswer::Refuse
}

impl DecidingHookConfig {
    /// Returns whom it asks, without what of it may be secret, as [`HookConfig::address`](super::HookConfig::address).
    pub fn address(&self) -> String {
        address_of(&self.url)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.secret.check("deciding_hook.secret")?;
        if self.timeout.0.is_zero() || self.timeout.0 > TIMEOUT_MAX {
            let why = "must be above 0 and at most 8s";
            return Err(ConfigError::invalid("deciding_hook.timeout", why));
        }
        self.uri().map(|_| ())
    }

    fn uri(&self) -> Result<http::Uri, ConfigError> {
        let uri = outgoing::address(self.url.expose());
        uri.map_err(|error| ConfigError::invalid("deciding_hook.url", error.to_string()))
    }

    pub(super) fn decider(&self) -> Result<Decider, ConfigError> {
        let parts = DeciderParts {
            uri: self.uri()?,
            secret: self.secret.expose().as_bytes(),
            limit: self.timeout.0,
            fails_open: self.without_answer == WithoutAnswer::Accept,
            begin: self.moments != Moments::Complete,
            complete: self.moments != Moments::Begin,
        };
        Decider::new(parts)
            .map_err(|error| ConfigError::invalid("deciding_hook", error.to_string()))
    }
}
