//! The head of a server's answer, as it came: the library of WebSockets keeps one field of each name, and an answer may
//! set several cookies.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncRead;
use tokio_util::io::InspectReader;

/// Most bytes of a head that are kept.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The head, once it was read; clones are the same.
#[derive(Clone, Default)]
pub(super) struct AnswerHead(Arc<Mutex<Vec<u8>>>);

impl AnswerHead {
    /// Returns a stream of which the first bytes are heard.
    pub(super) fn of<S: AsyncRead>(
        &self,
        stream: S,
    ) -> InspectReader<S, impl FnMut(&[u8]) + use<S>> {
        let head = self.clone();
        let mut is_wanted = true;
        InspectReader::new(stream, move |bytes: &[u8]| {
            is_wanted = is_wanted && head.take(bytes);
        })
    }

    /// Returns the values of all fields of this name, in order.
    pub(super) fn fields(&self, name: &str) -> Vec<String> {
        let head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&head);
        let fields = text.split("\r\n").filter_map(|line| line.split_once(':'));
        let named = fields.filter(|(field, _)| field.trim().eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// Takes what came next; returns whether more is wanted.
    fn take(&self, bytes: &[u8]) -> bool {
        let mut head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        head.extend_from_slice(bytes);
        let end = head.windows(4).position(|four| four == b"\r\n\r\n");
        head.truncate(end.unwrap_or(HEAD_BYTES_MAX));
        end.is_none() && head.len() < HEAD_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fields_of_a_name_are_there_however_they_come() {
        let answer = b"HTTP/1.1 101 Hi\r\nset-cookie: a=1\r\nX: y\r\nSet-Cookie:b=2; Path=/\r\n\r\n\x81\x01c";
        for step in [1, 7, answer.len()] {
            let head = AnswerHead::default();
            let mut wants = true;
            for bytes in answer.chunks(step) {
                wants = wants && head.take(bytes);
            }
            assert!(!wants);
            assert_eq!(head.fields("set-cookie"), ["a=1", "b=2; Path=/"]);
        }
    }

    #[test]
    fn a_head_without_end_is_not_kept() {
        let head = AnswerHead::default();
        assert!(head.take(&[b'a'; 100]));
        assert!(!head.take(&[b'a'; 2 * HEAD_BYTES_MAX]));
        assert!(head.fields("set-cookie").is_empty());
    }
}
