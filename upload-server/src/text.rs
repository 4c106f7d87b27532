//! Small questions about texts that several rooms ask.

use std::error::Error;

#[cfg(feature = "cli")]
use percent_encoding::percent_decode_str;

/// Writes an error and what caused it in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Some errors say their source themselves.
        if !text.ends_with(&cause) {
            text += &format!(": {cause}");
        }
        source = error.source();
    }
    text
}

/// Tells whether keys of a bucket can begin like this.
#[cfg(any(feature = "cli", feature = "presign"))]
pub(crate) fn is_key_prefix(prefix: &str) -> bool {
    /// Leaves room for everything behind it.
    const BYTES_MAX: usize = 512;

    let is_plain = |c: char| !c.is_control() && c != '\\';
    let leads_elsewhere = |part: &str| part == "." || part == "..";
    prefix.len() <= BYTES_MAX
        && !prefix.starts_with('/')
        && !prefix.contains("//")
        && prefix.chars().all(is_plain)
        && !prefix.split('/').any(leads_elsewhere)
}

/// Returns the value of the first field of this name in a query.
#[cfg(feature = "cli")]
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    let mut fields = query.split('&').filter_map(|field| field.split_once('='));
    let (_, value) = fields.find(|(found, _)| *found == name)?;
    let value = percent_decode_str(value).decode_utf8().ok()?;
    Some(value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("the file: {0}")]
        SaysIt(#[source] std::io::Error),
        #[error("the file")]
        Leaves(#[source] std::io::Error),
    }

    #[test]
    fn each_cause_is_said_once() {
        let cause = || std::io::Error::other("no such key");
        for error in [Outer::SaysIt(cause()), Outer::Leaves(cause())] {
            assert_eq!(chain(&error), "the file: no such key");
        }
    }
}
