//! `[webhook]` and `[[hooks]]`: who tells the server, and whom it tells.

use serde::Deserialize;

use super::{ConfigError, Secret};
use crate::hooks::{HOOKS_MAX, Hook};

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
        check_secret("webhook.secret", &self.secret)
    }
}

/// One of `[[hooks]]`: an address that is told of stored files and created objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HookConfig {
    /// Where to; kept out of debug output, since it may hold a password.
    pub url: Secret,
    /// What is sent is signed with this.
    pub secret: Secret,
}

impl HookConfig {
    /// Returns where to, without what of it may be secret: who calls, and the query.
    pub fn address(&self) -> String {
        let Ok(url) = self.url.0.parse::<http::Uri>() else {
            return String::new();
        };
        let host = url.authority().map_or("", |authority| authority.as_str());
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let scheme = url.scheme_str().unwrap_or_default();
        format!("{scheme}://{host}{}", url.path())
    }

    /// Makes the hook with this number in the list.
    pub(super) fn hook(&self, number: usize) -> Result<Hook, ConfigError> {
        check_secret(&format!("hooks.{number}.secret"), &self.secret)?;
        Hook::new(&self.url.0, self.secret.0.as_bytes()).map_err(|error| {
            ConfigError::invalid(&format!("hooks.{number}.url"), error.to_string())
        })
    }
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
            .any(|other| other.url.0 == hook.url.0);
        if is_twice {
            let key = format!("hooks.{number}.url");
            return Err(ConfigError::invalid(&key, "is there twice"));
        }
    }
    Ok(())
}

/// An empty secret would let anybody sign.
fn check_secret(key: &str, secret: &Secret) -> Result<(), ConfigError> {
    if secret.0.is_empty() {
        return Err(ConfigError::invalid(key, "is empty"));
    }
    Ok(())
}
