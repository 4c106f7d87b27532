//! What is wrong with a configuration, by key.

use std::{fmt, path::PathBuf};

use figment::error::Kind;
use thiserror::Error;

use super::secret::is_secret;
use crate::app::build_error::BuildError;

/// A configuration cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not there.
    #[error("there is no file {}", .0.display())]
    NoFile(PathBuf),
    /// Keys are unknown or have values that cannot be read; one line for each.
    #[error("{0}")]
    Read(Problems),
    /// A key's value was read and cannot be.
    #[error("{key}: {why}")]
    Invalid {
        /// The key, with dots for each step down.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// What the configuration asks for cannot be made here.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A store cannot be opened.
    #[error("state.store: {0}")]
    Store(#[from] upload_stores::StoreError),
}

impl ConfigError {
    pub(crate) fn invalid(key: &str, why: impl Into<String>) -> Self {
        Self::Invalid {
            key: key.to_owned(),
            why: why.into(),
        }
    }
}

impl From<figment::Error> for ConfigError {
    fn from(error: figment::Error) -> Self {
        Self::Read(Problems(
            error.into_iter().map(|error| line(&error)).collect(),
        ))
    }
}

/// One line for each key that is wrong.
#[derive(Debug)]
pub struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Returns the known name that an unknown one is probably meant as.
fn nearest(name: &str, known: &'static [&'static str]) -> Option<&'static str> {
    /// Below it, two names have little in common.
    const LIKENESS_MIN: f64 = 0.85;

    let likeness = |known: &&'static str| (strsim::jaro_winkler(name, known), *known);
    let best = known
        .iter()
        .map(likeness)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .map(|(_, known)| known)
}

fn line(error: &figment::Error) -> String {
    let mut key = error.path.clone();
    let what = match &error.kind {
        Kind::UnknownField(name, known) => {
            // Some readers put the field into the path, others do not.
            if key.last() != Some(name) {
                key.push(name.clone());
            }
            match nearest(name, known) {
                Some(meant) => format!("unknown key; did you mean {meant}?"),
                None => format!("unknown key; known here: {}", known.join(", ")),
            }
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) if is_secret(&key) => {
            format!("must be {expected}")
        }
        kind => kind.to_string(),
    };
    let place = error
        .metadata
        .as_ref()
        .map(|metadata| match &metadata.source {
            Some(source) => format!(" (in {source})"),
            None => format!(" (in {})", metadata.name),
        });
    let place = place.unwrap_or_default();
    if key.is_empty() {
        return format!("{what}{place}");
    }
    format!("{}: {what}{place}", key.join("."))
}
