//! The check of a file's name and declared type.

use std::sync::Arc;

use upload_core::Screen;
use upload_proto::Code;
use upload_validate::Rules;

use crate::{
    server::{error_links::link, log_limit::LogLimit},
    slots::slot::refusal_of,
};

/// Longest type or extension that the log repeats, in bytes.
const LOGGED_BYTES_MAX: usize = 80;

/// Asks the slot's rules about names and declared types.
pub(super) struct NameScreen {
    slot: String,
    rules: Arc<Rules>,
    log_limit: LogLimit,
}

impl NameScreen {
    pub(super) fn new(slot: &str, rules: Arc<Rules>) -> Self {
        Self {
            slot: slot.to_owned(),
            rules,
            log_limit: LogLimit::default(),
        }
    }

    /// Tells what came and what was expected, once a minute and slot.
    fn log(&self, client_name: &str, client_type: &str, code: Code) {
        let Some(left_out) = self.log_limit.pass() else {
            return;
        };
        let extension = client_name.rsplit_once('.').map(|(_, extension)| extension);
        let accept = match self.rules.accept.is_any() {
            true => "anything but active content",
            false => self.rules.accept.as_str(),
        };
        tracing::warn!(
            slot = self.slot,
            code = code.as_str(),
            declared = plain(client_type),
            extension = plain(extension.unwrap_or_default()),
            accept,
            left_out,
            see = link(code),
            "a file is refused by its name or type"
        );
    }
}

impl Screen for NameScreen {
    fn screen(&self, client_name: &str, client_type: &str) -> Result<(), Code> {
        let screened = self.rules.screen(client_name, client_type);
        screened
            .map_err(|refusal| refusal_of(refusal).code)
            .inspect_err(|code| self.log(client_name, client_type, *code))
    }
}

/// Returns a word that the log may repeat: what a client writes can be anything.
fn plain(word: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-./;=_".contains(&byte);
    match word.len() <= LOGGED_BYTES_MAX && word.bytes().all(is_plain) {
        true => word,
        false => "(unusual)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_are_repeated() {
        for word in ["", "image/png", "png", "application/x-a+b;charset=utf-8"] {
            assert_eq!(plain(word), word);
        }
        for word in ["a b", "\u{1b}[31m", "a\nERROR", "\u{e4}", &"x".repeat(81)] {
            assert_eq!(plain(word), "(unusual)");
        }
    }
}
