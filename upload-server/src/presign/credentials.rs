//! Where the key that signs comes from.

use std::{
    env, fmt, fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long the shared credentials file is taken to say what it said; it is read in the middle of
/// requests.
const FILE_FRESH: Duration = Duration::from_secs(10);

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
    /// `~/.aws/credentials`); what it said is remembered for ten seconds.
    pub fn from_profile() -> Option<Self> {
        let file = match variable("AWS_SHARED_CREDENTIALS_FILE") {
            Some(file) => PathBuf::from(file),
            None => dirs::home_dir()?.join(".aws").join("credentials"),
        };
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let mut last = LAST_PROFILE.lock().unwrap_or_else(PoisonError::into_inner);
        Profile::look(&mut last, file, profile, Instant::now())
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

/// What was read last, for everybody who signs.
static LAST_PROFILE: Mutex<Option<Profile>> = Mutex::new(None);

/// A profile as it was read.
struct Profile {
    file: PathBuf,
    name: String,
    read_at: Instant,
    found: Option<AwsCredentials>,
}

impl Profile {
    /// Returns what the profile says, read anew if it was last read long ago or was another one.
    fn look(
        last: &mut Option<Self>,
        file: PathBuf,
        name: String,
        now: Instant,
    ) -> Option<AwsCredentials> {
        let is_good = |last: &Self| {
            let age = now.saturating_duration_since(last.read_at);
            last.file == file && last.name == name && age < FILE_FRESH
        };
        if let Some(last) = last.as_ref().filter(|last| is_good(last)) {
            return last.found.clone();
        }
        let text = fs::read_to_string(&file).ok();
        let found = text.and_then(|text| AwsCredentials::parse(&text, &name));
        *last = Some(Self {
            file,
            name,
            read_at: now,
            found: found.clone(),
        });
        found
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

    #[test]
    fn the_file_is_not_read_for_every_signature() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("credentials");
        let write = |id: &str| {
            let text = format!("[a]\naws_access_key_id={id}\naws_secret_access_key=S\n");
            fs::write(&file, text).expect("written");
        };
        let (mut last, begun) = (None, Instant::now());
        let mut look = |name: &str, after: Duration| {
            let now = begun + after;
            let found = Profile::look(&mut last, file.clone(), name.to_owned(), now);
            found.map(|found| found.access_key_id)
        };
        assert_eq!(look("a", Duration::ZERO), None, "there is no file yet");
        write("A");
        assert_eq!(look("a", FILE_FRESH / 2), None);
        assert_eq!(look("a", FILE_FRESH).as_deref(), Some("A"));
        write("B");
        let later = FILE_FRESH * 2 - Duration::from_nanos(1);
        assert_eq!(look("a", later).as_deref(), Some("A"));
        assert_eq!(look("b", later), None, "another profile");
        assert_eq!(look("a", later).as_deref(), Some("B"), "and back again");
    }
}
