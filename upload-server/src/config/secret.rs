//! Text that is never shown: neither by debug output nor by errors of a configuration.

use std::{fmt, path::Path};

use figment::{Figment, providers::Env, providers::Serialized, value::Value};
use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use super::ConfigError;
use crate::http::identity::SECRET_BYTES_MIN;

/// Keys that are text whatever it looks like, as variables can name them.
const KEYS: [&str; 6] = [
    "deciding_hook.secret",
    "secret",
    "auth.jwt.secret",
    "webhook.secret",
    "state.redis_url",
    "state.postgres_url",
];

/// Text that stays out of debug output.
///
/// A number is read as its digits: a secret need not have letters.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    /// Returns the text.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Checks that a secret that signs something is long enough.
    ///
    /// # Errors
    ///
    /// It has fewer than 32 bytes; the error names the key.
    pub(super) fn check(&self, key: &str) -> Result<(), ConfigError> {
        if self.expose().len() < SECRET_BYTES_MIN {
            let why = format!("needs at least {SECRET_BYTES_MIN} bytes");
            return Err(ConfigError::invalid(key, why));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(Text)?;
        Ok(Self(text.into()))
    }
}

/// Reads text and whole numbers; the errors of anything else do not say what it is.
struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text between quotation marks")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<String, E> {
        Err(not_text())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<String, E> {
        Err(not_text())
    }
}

fn not_text<E: de::Error>() -> E {
    E::custom("must be text between quotation marks")
}

/// Adds the secrets among the variables once more, as the text they are: figment reads `0012` as a
/// number, which has forgotten its zeros.
pub(super) fn with_text_of(figment: Figment, env: &Env) -> Figment {
    let secrets = env.iter().filter(|(key, _)| KEYS.contains(&key.as_str()));
    secrets.fold(figment, |figment, (key, text)| match text_of(&text) {
        Some(text) => figment.merge(Serialized::global(key.as_str(), text)),
        None => figment,
    })
}

/// Returns the text of a value that was read as something else.
fn text_of(variable: &str) -> Option<&str> {
    match variable.parse() {
        Ok(Value::String(..)) | Err(_) => None,
        Ok(_) => Some(variable.trim()),
    }
}

/// Returns whether the value at this key, or below it, may be secret.
pub(super) fn is_secret(key: &[String]) -> bool {
    match key.first().map(String::as_str) {
        Some("secret" | "previous_secrets" | "webhook" | "hooks" | "deciding_hook") => true,
        Some("auth") => key.last().is_some_and(|key| key == "secret"),
        Some("state") => key
            .get(1)
            .is_some_and(|key| key == "redis_url" || key == "postgres_url"),
        _ => false,
    }
}

/// Keys of the file whose values are secrets, or hold some.
const SECRETS: &[&str] = &[
    "secret",
    "previous_secrets",
    "webhook",
    "hooks",
    "state.redis_url",
    "state.postgres_url",
    "auth.jwt.secret",
    "deciding_hook",
];

/// The bit of a file's mode that lets every user read it.
#[cfg(unix)]
const OTHERS_READ: u32 = 0o004;

/// Returns a warning if the file holds secrets and every user of the machine can read it.
#[cfg(unix)]
pub(super) fn exposed(file: &Path, figment: &Figment) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file.metadata().ok()?.permissions().mode();
    let key = SECRETS.iter().find(|key| figment.contains(key))?;
    (mode & OTHERS_READ != 0).then(|| {
        format!(
            "{key}: every user can read {}; chmod 640, with the server's group, keeps it secret",
            file.display()
        )
    })
}

/// Modes of files are those of Unix.
#[cfg(not(unix))]
pub(super) fn exposed(_: &Path, _: &Figment) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_look_like_something_else_are_text() {
        for (variable, text) in [
            ("123456", Some("123456")),
            (" 0012 ", Some("0012")),
            ("-5", Some("-5")),
            ("1.50", Some("1.50")),
            ("true", Some("true")),
            ("[1,2]", Some("[1,2]")),
            ("{a=b}", Some("{a=b}")),
            ("words, and more", None),
            ("\"quoted\"", None),
        ] {
            assert_eq!(text_of(variable), text, "{variable}");
        }
        // More digits than any number has.
        assert_eq!(text_of(&"1".repeat(64)), None);
    }
}
