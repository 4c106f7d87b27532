//! Where the key that signs comes from.

use std::{env, fmt, fs, path::PathBuf};

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
    /// Finds credentials as other AWS tools do: `AWS_ACCESS_KEY_ID` and its companions, else the
    /// profile `AWS_PROFILE` of the shared credentials file.
    pub fn find() -> Option<Self> {
        Self::from_env().or_else(Self::from_profile)
    }

    /// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub fn from_env() -> Option<Self> {
        Some(Self {
            access_key_id: variable("AWS_ACCESS_KEY_ID")?,
            secret: variable("AWS_SECRET_ACCESS_KEY")?,
            session_token: variable("AWS_SESSION_TOKEN"),
        })
    }

    /// Reads the profile `AWS_PROFILE` (or `default`) of `AWS_SHARED_CREDENTIALS_FILE` (or
    /// `~/.aws/credentials`).
    pub fn from_profile() -> Option<Self> {
        let file = match variable("AWS_SHARED_CREDENTIALS_FILE") {
            Some(file) => PathBuf::from(file),
            None => dirs::home_dir()?.join(".aws").join("credentials"),
        };
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        Self::parse(&fs::read_to_string(file).ok()?, &profile)
    }

    fn parse(text: &str, profile: &str) -> Option<Self> {
        let mut is_here = false;
        let (mut id, mut secret, mut token) = (None, None, None);
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[') {
                is_here = name.split(']').next().map(str::trim) == Some(profile);
            } else if is_here
                && !line.starts_with(['#', ';'])
                && let Some((name, value)) = line.split_once('=')
            {
                let value = Some(value.trim().to_owned());
                match name.trim() {
                    "aws_access_key_id" => id = value,
                    "aws_secret_access_key" => secret = value,
                    "aws_session_token" => token = value,
                    _ => {}
                }
            }
        }
        Some(Self {
            access_key_id: id?,
            secret: secret?,
            session_token: token,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_told_apart() {
        let text = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=S=1\n\n\
            [ other ] ; note\n; aws_access_key_id = X\naws_access_key_id=B\n\
            aws_secret_access_key = T\naws_session_token = U\nregion = x\n[half]\n\
            aws_access_key_id = C\n";
        let default = AwsCredentials::parse(text, "default").expect("there");
        assert_eq!((&*default.access_key_id, &*default.secret), ("A", "S=1"));
        assert_eq!(default.session_token, None);
        let other = AwsCredentials::parse(text, "other").expect("there");
        assert_eq!((&*other.access_key_id, &*other.secret), ("B", "T"));
        assert_eq!(other.session_token.as_deref(), Some("U"));
        assert_eq!(AwsCredentials::parse(text, "half"), None);
        assert_eq!(AwsCredentials::parse(text, "none"), None);
    }
}
