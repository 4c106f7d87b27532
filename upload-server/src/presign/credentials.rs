//! Where the key that signs comes from.

use std::{env, fmt};

/// An access key, possibly one that lasts for a session only.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// The key's id.
    pub access_key_id: String,
    /// The key.
    pub secret: String,
    /// What goes with a key of a session.
    pub session_token: Option<String>,
}

impl AwsCredentials {
    /// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub fn from_env() -> Option<Self> {
        Some(Self {
            access_key_id: variable("AWS_ACCESS_KEY_ID")?,
            secret: variable("AWS_SECRET_ACCESS_KEY")?,
            session_token: variable("AWS_SESSION_TOKEN"),
        })
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsCredentials")
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
