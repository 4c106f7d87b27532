//! The rules of one slot, put together.

use std::{fmt, sync::Arc};

use crate::{
    accept::Accept,
    active::{self, is_active},
    signatures::Fit,
    sniff::{Expected, FileFacts, Head, Validator},
    verdict::{Refusal, Verdict},
};

/// What a slot demands of a file.
///
/// Cheap to clone: custom validators are shared.
#[derive(Clone, Default)]
pub struct Rules {
    /// The extensions and types that may enter.
    pub accept: Accept,
    /// Whether files that a browser would run may enter; off by default.
    pub allow_active_content: bool,
    validators: Vec<Arc<dyn Validator>>,
}

impl Rules {
    /// Creates rules that refuse active content and what is not on the list.
    pub fn new(accept: Accept) -> Self {
        Rules {
            accept,
            ..Rules::default()
        }
    }

    /// Sets whether files that a browser would run may enter.
    #[must_use]
    pub fn allow_active_content(mut self, allow: bool) -> Self {
        self.allow_active_content = allow;
        self
    }

    /// Adds a check of the application's own; checks run in the order they were added.
    #[must_use]
    pub fn with_validator(mut self, validator: Arc<dyn Validator>) -> Self {
        self.validators.push(validator);
        self
    }

    /// Judges a file by its raw name and declared type, before any byte came.
    ///
    /// # Errors
    ///
    /// [`Refusal::ActiveContent`] first (independent of the accept list), then [`Refusal::TypeNotAccepted`];
    /// the order is that of PROTOCOL MSG-1a.
    pub fn screen(&self, name: &str, media_type: &str) -> Result<(), Refusal> {
        if !self.allow_active_content && is_active(name, media_type) {
            return Err(Refusal::ActiveContent);
        }
        if !self.accept.permits(name, media_type) {
            return Err(Refusal::TypeNotAccepted);
        }
        Ok(())
    }

    /// Judges a file by its first bytes.
    ///
    /// The checks, in order: [`screen`](Self::screen) once more, so that no path around registration leads to
    /// storage; bytes against declared type and extension; active content by its bytes; custom validators.
    /// A check is reached only when those before it are certain, and none of ours changes its mind when more
    /// bytes come, so the verdict does not depend on how the file was cut into chunks.
    pub fn inspect(&self, facts: &FileFacts<'_>, head: &Head<'_>) -> Verdict {
        if let Err(refusal) = self.screen(facts.name, facts.media_type) {
            return Verdict::Refuse(refusal);
        }
        let head = head.cut();
        let expected = Expected::new(facts);
        match expected.fit(&head) {
            Fit::Yes => {}
            Fit::No => return Verdict::Refuse(Refusal::ContentMismatch),
            Fit::Open => return Verdict::NeedMore,
        }
        if !self.allow_active_content {
            match active::fit_bytes(&head, expected.is_text()) {
                Fit::No => {}
                Fit::Yes => return Verdict::Refuse(Refusal::ActiveContent),
                Fit::Open => return Verdict::NeedMore,
            }
        }
        for validator in &self.validators {
            match validator.check(facts, &head) {
                Verdict::Accept => {}
                // Nothing more will come: a validator that still waits has not been convinced.
                Verdict::NeedMore if head.is_complete() => {
                    return Verdict::Refuse(Refusal::ContentMismatch);
                }
                verdict => return verdict,
            }
        }
        Verdict::Accept
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("accept", &self.accept)
            .field("allow_active_content", &self.allow_active_content)
            .field("validators", &self.validators.len())
            .finish()
    }
}
