//! What a failed request to a backend means to a writer.

use std::{error::Error, fmt};

use crate::error::{WriteError, WriteErrorKind};

/// A failed request of a [`MultipartBackend`](super::MultipartBackend).
#[derive(Debug)]
pub struct BackendError {
    /// What the client learns, should it be final.
    pub(crate) kind: WriteErrorKind,
    /// Whether trying again may help.
    pub(crate) transient: bool,
    /// Whether it may have taken effect although it failed.
    pub(crate) uncertain: bool,
    /// What it says about the thing it was about.
    pub(crate) meaning: Meaning,
    pub(crate) source: Box<dyn Error + Send + Sync>,
}

/// What a failure says about an object, a part or an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Meaning {
    /// It is not there, and the storage itself says so: an answer of a proxy before it is no reason to think that.
    Missing,
    /// It is there already.
    Exists,
    /// One of the parts named is not the one that is there.
    OtherPart,
    /// Nothing in particular.
    None,
}

impl BackendError {
    /// Makes an error that trying again does not change, and that had no effect.
    pub fn lasting(kind: WriteErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            transient: false,
            uncertain: false,
            meaning: Meaning::None,
            source: source.into(),
        }
    }

    /// Makes an error of trouble that costs nothing of what is stored, should it outlast all tries: the
    /// upload can be resumed once it is over.
    pub fn passing(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            transient: true,
            ..Self::lasting(WriteErrorKind::Throttled, source)
        }
    }

    /// Says what it means for the thing it was about.
    #[must_use]
    pub fn meaning(self, meaning: Meaning) -> Self {
        Self { meaning, ..self }
    }

    /// Says that the request may have taken effect.
    #[must_use]
    pub fn uncertain(self) -> Self {
        Self {
            uncertain: true,
            ..self
        }
    }

    /// Says that it may be the doing of an earlier try, whatever it is; asking again may tell.
    #[must_use]
    pub fn in_doubt(self) -> Self {
        let kind = match self.kind {
            WriteErrorKind::Failed => WriteErrorKind::Throttled,
            kind => kind,
        };
        Self {
            kind,
            transient: true,
            uncertain: true,
            ..self
        }
    }

    /// No answer in time.
    pub fn timeout() -> Self {
        Self::doubtful("no answer in time")
    }

    /// An answer that leaves open whether the request took effect; asking again may tell.
    pub(crate) fn doubtful(what: &'static str) -> Self {
        Self::passing(what).in_doubt()
    }

    /// An answer that makes no sense; asking again would not change it.
    pub(crate) fn unusable(what: &'static str) -> Self {
        Self::lasting(WriteErrorKind::Failed, what)
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        let mut source = self.source.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl From<BackendError> for WriteError {
    fn from(error: BackendError) -> Self {
        Self::new(error.kind, error.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RESUME-10: no answer, and none that can be understood, costs a resumable upload nothing.
    #[test]
    fn silence_passes() {
        for error in [
            BackendError::timeout(),
            BackendError::doubtful("nothing in it"),
        ] {
            assert!(error.transient && error.uncertain);
            assert_eq!(error.kind, WriteErrorKind::Throttled);
        }
        let gone = BackendError::unusable("gone").meaning(Meaning::Missing);
        let gone = WriteError::from(gone.in_doubt());
        assert_eq!(gone.kind, WriteErrorKind::Throttled);
        let error = BackendError::unusable("nonsense");
        assert!(!error.transient && error.kind == WriteErrorKind::Failed);
    }
}
