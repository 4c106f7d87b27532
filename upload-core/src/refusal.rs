//! Why an upload is refused, in the wire's code and in words of the application.

use std::sync::Arc;

use upload_proto::Code;

/// Why something about an upload is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the protocol.
    pub code: Code,
    /// What the application says, in place of the code's fixed text (MSG-4).
    pub words: Option<OwnWords>,
}

/// What an application says about a refusal. The host bounds both texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnWords {
    /// The application's own code, for programs.
    pub reason: Arc<str>,
    /// The text for people.
    pub text: Arc<str>,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, words: None }
    }
}
