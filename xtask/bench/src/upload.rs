//! What a client knows of one upload: how far it was sent, and what the server said of it.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::frames::{self, Ref, Template};

/// Names this program, so that it may take over from its own cut connection.
pub(crate) const CLIENT_ID: &str = "bench";

/// One upload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upload {
    pub(crate) name: Ref,
    /// How far it was sent.
    pub(crate) offset: u64,
    index: u32,
    credit: u64,
    /// Bytes the server said it received.
    pub(crate) received: u64,
    status: Status,
}

/// What the server said last of the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Nothing yet.
    Asked,
    /// It was registered, and is not complete.
    Uploading,
    /// It is stored.
    Complete,
}

impl Upload {
    /// Makes one whose ref has this number in it.
    pub(crate) fn new(number: u32) -> Self {
        let mut name = [0; 16];
        name[..4].copy_from_slice(&number.to_be_bytes());
        name[6..].copy_from_slice(&[0x40, 1, 0x80, 2, 3, 4, 5, 6, 7, 8]);
        Self::named(name)
    }

    /// Makes one of this ref.
    pub(crate) fn named(name: Ref) -> Self {
        Self {
            name,
            offset: 0,
            index: 0,
            credit: 0,
            received: 0,
            status: Status::Asked,
        }
    }

    /// Returns the message that registers it.
    pub(crate) fn registration(&self, slot: &str, size: u64) -> Value {
        json!({
            "type": "upload_register", "client_id": CLIENT_ID,
            "upload_name": slot,
            "ref": frames::hyphenated(&self.name),
            "client_name": "load.bin",
            "client_type": "application/octet-stream",
            "client_size": size,
        })
    }

    /// Returns the message that resumes it.
    pub(crate) fn resumption(&self) -> Value {
        let name = frames::hyphenated(&self.name);
        json!({"type": "upload_resume", "ref": name, "client_id": CLIENT_ID})
    }

    /// Tells whether bytes may be sent.
    pub(crate) fn has_credit(&self) -> bool {
        self.credit > 0
    }

    /// Tells whether the server stored it.
    pub(crate) fn is_complete(&self) -> bool {
        self.status == Status::Complete
    }

    /// Begins the next chunk before `end`, if there is credit for it: writes its head and returns its length.
    pub(crate) fn next_chunk(
        &mut self,
        template: &Template,
        end: u64,
        head: &mut Vec<u8>,
    ) -> Option<usize> {
        let len = template.chunk_len(self.offset);
        let next = self.offset + len as u64;
        if self.offset >= end || len == 0 || next > self.credit {
            return None;
        }
        Template::chunk_head(&self.name, self.index, len, head);
        self.index += 1;
        self.offset = next;
        Some(len)
    }

    /// Takes from a message about it what matters here, without reading all of its JSON.
    pub(crate) fn hear(&mut self, text: &str) -> Result<()> {
        if text.contains("\"upload_configs\"") {
            return Ok(());
        }
        if text.contains("\"status\":\"complete\"") {
            self.status = Status::Complete;
        } else if ["error", "draining", "code", "not_found", "locked"]
            .iter()
            .any(|word| text.contains(&format!("\"{word}\"")))
        {
            bail!("the server said {text}");
        } else {
            self.status = Status::Uploading;
        }
        self.credit = number(text, "credit").unwrap_or(0).max(self.credit);
        self.received = number(text, "bytes_received")
            .unwrap_or(0)
            .max(self.received);
        if text.contains("\"upload_resumed\"") {
            let next = number(text, "next_index").context("no next_index")?;
            self.index = u32::try_from(next)?;
        }
        Ok(())
    }
}

/// Returns the first number with this key in a JSON text.
fn number(text: &str, key: &str) -> Option<u64> {
    let (_, rest) = text.split_once(&format!("\"{key}\":"))?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found() {
        assert_eq!(number("{\"credit\":42,", "credit"), Some(42));
        assert_eq!(number("{\"credit\":42,", "other"), None);
    }

    #[test]
    fn chunks_end_where_credit_or_the_file_does() {
        let template = Template::new(100, 250);
        let mut upload = Upload::new(7);
        let mut head = Vec::new();
        assert_eq!(upload.next_chunk(&template, 250, &mut head), None);
        upload
            .hear("{\"type\":\"upload_registered\",\"credit\":200}")
            .unwrap();
        let mut lens = |upload: &mut Upload| -> Vec<_> {
            std::iter::from_fn(|| upload.next_chunk(&template, 250, &mut head)).collect()
        };
        assert_eq!(lens(&mut upload), [100, 100]);
        upload.hear("{\"credit\":1000}").unwrap();
        assert_eq!((lens(&mut upload), upload.offset), (vec![50], 250));
    }
}
