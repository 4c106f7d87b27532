//! Where the error reference explains a code: the first log line of each code in a minute says so.

use std::collections::HashMap;

use upload_proto::Code;

use crate::server::log_limit::LogLimit;

/// The error reference; the row of a code has its name as anchor.
const REFERENCE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/errors.md");

/// When each code's address was last written.
#[derive(Debug)]
pub(crate) struct ErrorLinks(HashMap<Code, LogLimit>);

impl Default for ErrorLinks {
    fn default() -> Self {
        let codes = Code::ALL.iter();
        Self(codes.map(|code| (*code, LogLimit::new())).collect())
    }
}

impl ErrorLinks {
    /// Returns the address of the code's row, unless a line of the last minute has it.
    pub(crate) fn first(&self, code: Code) -> Option<String> {
        let _left_out = self.0.get(&code)?.pass()?;
        Some(link(code))
    }
}

/// Returns the address of the code's row.
pub(crate) fn link(code: Code) -> String {
    format!("{REFERENCE}#{code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_code_is_explained_once_a_minute() {
        let links = ErrorLinks::default();
        let first = links.first(Code::TooLarge).unwrap();
        assert!(first.ends_with("/docs/errors.md#too_large"), "{first}");
        assert_eq!(links.first(Code::TooLarge), None);
        assert!(links.first(Code::StorageFull).is_some());
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        assert!(links.first(Code::TooLarge).is_some());
    }
}
