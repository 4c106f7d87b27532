//! `[webhook]` and `[[hooks]]`: who tells the server, and whom it tells.

use serde::Deserialize;

use super::{ConfigError, Secret};
use crate::outbox::hooks::{HOOKS_MAX, Hook};

/// `[webhook]`: takes S3's events at `/webhooks/s3`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WebhookConfig {
    /// What the sender signs bodies with.
    pub secret: Secret,
}

impl WebhookConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.secret.check("webhook.secret")
    }
}

/// One of `[[hooks]]`: an address that is notified of stored files and created objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HookConfig {
    /// What the log and the metrics call it, and the calls that wait for it; by default something made of its address.
    pub name: Option<String>,
    /// The address to call; kept out of debug output, since it may hold a password.
    pub url: Secret,
    /// What is sent is signed with this.
    pub secret: Secret,
}

impl HookConfig {
    /// Returns where to, without what of it may be secret: who calls, the path, where chat services keep
    /// their key, and the query.
    pub fn address(&self) -> String {
        address_of(&self.url)
    }

    /// Makes the hook with this number in the list.
    pub(super) fn hook(&self, number: usize) -> Result<Hook, ConfigError> {
        self.secret.check(&format!("hooks.{number}.secret"))?;
        let name = self.name.as_deref();
        Hook::new(name, self.url.expose(), self.secret.expose().as_bytes()).map_err(|error| {
            ConfigError::invalid(&format!("hooks.{number}.url"), error.to_string())
        })
    }
}

/// Returns an address without what of it may be secret.
pub(super) fn address_of(url: &Secret) -> String {
    let Ok(url) = url.expose().parse::<http::Uri>() else {
        return String::new();
    };
    let host = url.authority().map_or("", |authority| authority.as_str());
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let scheme = url.scheme_str().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// Checks all hooks.
pub(super) fn check(hooks: &[HookConfig]) -> Result<(), ConfigError> {
    if hooks.len() > HOOKS_MAX {
        let why = format!("there may be at most {HOOKS_MAX}");
        return Err(ConfigError::invalid("hooks", why));
    }
    for (number, hook) in hooks.iter().enumerate() {
        hook.hook(number)?;
        let is_twice = hooks
            .iter()
            .take(number)
            .any(|other| other.url.expose() == hook.url.expose());
        if is_twice {
            let key = format!("hooks.{number}.url");
            return Err(ConfigError::invalid(&key, "is there twice"));
        }
        let mut before = hooks.iter().take(number);
        if hook.name.is_some() && before.any(|other| other.name == hook.name) {
            let key = format!("hooks.{number}.name");
            return Err(ConfigError::invalid(&key, "is there twice"));
        }
    }
    Ok(())
}
