//! The codes of the protocol: one for each trouble, with what the client may do about it (PROTOCOL section 9).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::NameError;

/// What a client may do about a code (PROTOCOL MSG-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retry {
    /// Continue from `next_index`.
    Resend,
    /// Try the same upload again, after `retry_after_ms`.
    Later,
    /// Register again.
    Restart,
    /// The same request will not succeed.
    Never,
}

impl Retry {
    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Later => "later",
            Self::Restart => "restart",
            Self::Never => "never",
        }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Makes the enum and its table in one place, so that neither can lack a row.
macro_rules! codes {
    ($($variant:ident $name:literal $retry:ident $text:literal $description:literal $advice:literal;)*) => {
        /// A reason, closed and the same for every message of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $description] #[serde(rename = $name)] $variant,)*
        }

        impl Code {
            /// Every code, in the order of PROTOCOL section 9.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns what a client may do about it, where the situation says nothing else.
            pub fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)* }
            }

            /// Returns the fixed text that people see (PROTOCOL MSG-4).
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Returns one line for the documentation.
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }

            /// Returns what a developer or an operator may do, in one line for the documentation.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

codes! {
    BadMessage "bad_message" Never "Invalid message format"
        "A text message has more than 64 KiB, is not a JSON object with a string `type`, nests too deep, or has a known field of the wrong form."
        "A fault of the client: compare the message with section 5 of the protocol.";
    UnknownType "unknown_type" Never "Unknown message type"
        "The `type` of a text message is none this server knows."
        "A fault of the client, or a client that is newer than the server.";
    BadFrame "bad_frame" Never "Invalid upload frame"
        "A binary message has an unknown type, is too short, or has bytes past its end."
        "A fault of the client: compare the frame with section 2 of the protocol, and send no chunk longer than `chunk_size`.";
    BadRef "bad_ref" Never "Invalid upload reference"
        "The ref is missing, not a canonical UUID, or nil."
        "A fault of the client: make a random UUID, in lower case.";
    BadName "bad_name" Never "Invalid file name"
        "`client_name` is missing, not a string, or longer than 4 KiB."
        "Rename the file, or cut the name in the client.";
    BadSize "bad_size" Never "Invalid file size"
        "`client_size` is not an integer from 0 to 2^53-1, or null in a slot that has to know it."
        "Send the size in bytes as an integer; set `unknown_size` for a slot whose sizes are not known before.";
    BadMeta "bad_meta" Never "Invalid file metadata"
        "`meta` is not an object, or larger than 4 KiB."
        "Send less `meta`, or keep it in the form of the page.";
    UnknownSlot "unknown_slot" Never "Unknown upload slot"
        "The connection has no slot of that name."
        "Compare the name in the page with `allow_upload`, `mount` or `[slots.NAME]`; `upload_configs` lists the slots of a connection.";
    RefInUse "ref_in_use" Never "Upload reference already in use"
        "The ref names another upload that is running."
        "Make a new ref for each file; resume an upload in place of registering it again.";
    UnknownRef "unknown_ref" Restart "Unknown upload"
        "The connection holds no upload of that ref."
        "Register the file again; the client does so by itself.";
    TooManyEntries "too_many_entries" Never "Too many files"
        "The slot or the owner has as many uploads, or as many bytes, as allowed."
        "Raise `max_entries` or the owner's limits, or take finished files in a handler: they count until then.";
    TooLarge "too_large" Never "File too large"
        "The declared size is more than the slot takes."
        "Raise `max_file_size`, or the owner's `max_bytes_per_owner` or `max_stored_bytes_per_owner`.";
    TypeNotAccepted "type_not_accepted" Never "File type not accepted"
        "The slot's `accept` rules do not allow this name and type."
        "Add the extension to `accept`; a list of types takes only the extensions that have this type.";
    ActiveContent "active_content" Never "Files that can run code are not accepted"
        "The name, type or content is one that a browser would run, and the slot does not allow that."
        "Refuse it, or see `active_content` of the slot.";
    ContentMismatch "content_mismatch" Never "File content does not match its type"
        "The first bytes are not what the name and type promised."
        "The file is named wrongly or damaged; for pictures see `any_picture`.";
    ChunkOutOfOrder "chunk_out_of_order" Resend "Chunk out of order"
        "A chunk arrived before the one it should follow."
        "The client continues from `next_index` by itself; if it repeats, chunks are lost on the way.";
    SizeExceeded "size_exceeded" Never "More data than declared"
        "More bytes came than were declared, or than the slot takes."
        "The file grew while it was sent: choose it again when it is finished.";
    Incomplete "incomplete" Resend "Upload incomplete"
        "Complete was sent before every byte was."
        "The client sends the missing bytes by itself.";
    ChecksumMismatch "checksum_mismatch" Restart "Checksum mismatch"
        "The bytes received do not have the checksum the client sent."
        "The client sends the file once more; if it repeats, look for a proxy that changes content, or bad memory.";
    StorageFailed "storage_failed" Never "Storage failed"
        "The writer failed for good."
        "Look for the ref in the server's log: it has the error of the disk, the bucket or the writer.";
    StorageFull "storage_full" Later "Storage is full"
        "There is no room at present."
        "Free space in `data_dir`, or lower `min_free`; resumable uploads continue by themselves.";
    StorageDenied "storage_denied" Never "Storage refused the upload"
        "The writer was not allowed to store this."
        "Check the permissions of `data_dir` or of the bucket's credentials; a scanner that finds a virus answers this too.";
    StorageThrottled "storage_throttled" Later "Storage is busy"
        "The storage asked to slow down, or did not answer, for longer than the writer waits."
        "Nothing, if it passes; otherwise look at `upload_part_seconds`, and at the store.";
    Cancelled "cancelled" Never "Upload cancelled"
        "The client or the application cancelled it."
        "Nothing.";
    SessionClosed "session_closed" Restart "Session closed"
        "The connection ended, and the upload could not outlive it."
        "Make the slot `resumable` if uploads should survive this.";
    Superseded "superseded" Never "Upload continued on another connection"
        "The same client resumed this upload on a newer connection."
        "Nothing: the upload continues on the newer connection.";
    Locked "locked" Later "Upload is in use elsewhere"
        "Another connection holds the upload."
        "Close the other tab, or wait until its lease ends; the client retries by itself.";
    Expired "expired" Restart "Upload expired"
        "There was no progress for longer than the server keeps an upload."
        "Raise `state.ttl_seconds` if clients stay away longer.";
    IdleTimeout "idle_timeout" Restart "No data for too long"
        "No chunk came for too long although there was credit."
        "The line or the client is stalled; raise `idle_upload_seconds`, or make the slot `resumable`.";
    NotResumable "not_resumable" Never "Upload cannot be resumed"
        "Resuming is off for this upload, at least for now; the upload itself continues."
        "Look for the ref in the server's log: the store does not answer, or the record is too large.";
    Forbidden "forbidden" Never "Not allowed"
        "The application does not let this owner upload here."
        "`authorize`, a token or the deciding hook refused it: look there.";
    RateLimited "rate_limited" Later "Too many requests"
        "Too much was asked in too short a time, or the server has as many uploads as it takes at once."
        "The client retries by itself; if it repeats, raise `max_uploads`, or look for a client that sends too much.";
    Draining "draining" Later "Server is restarting"
        "The server takes nothing new, it is about to restart."
        "Nothing: the client continues with the next process.";
    UnknownEvent "unknown_event" Never "Unknown event"
        "The application has no handler of that name."
        "Compare `dj-submit` or `dj-click` in the page with `handle_event`.";
    EventFailed "event_failed" Never "Event failed"
        "The application's handler failed."
        "Look at the server's log: the handler returned an error, panicked, or took longer than 30 seconds.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Code {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut all = Self::ALL.iter().copied();
        all.find(|code| code.as_str() == text).ok_or(NameError)
    }
}

/// Returns the Markdown table of all codes for the protocol's document.
pub fn code_table() -> String {
    let mut table = String::from("| code | retry | text | meaning |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let (retry, text, description) = (code.retry(), code.text(), code.description());
        table += &format!("| `{code}` | `{retry}` | {text} | {description} |\n");
    }
    table
}

/// Returns the Markdown table of all codes for the error reference.
///
/// `seen` returns what a page shows for a code; where it returns nothing, pages show the fixed text.
pub fn error_table(seen: impl Fn(Code) -> Option<String>) -> String {
    let mut table =
        String::from("| code | cause | the visitor sees | what to do |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let seen = seen(*code).unwrap_or_else(|| code.text().to_owned());
        let (cause, advice) = (code.description(), code.advice());
        table += &format!("| <a id=\"{code}\"></a>`{code}` | {cause} | {seen} | {advice} |\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-3: each code has one name, which text and JSON agree on, and one default retry.
    #[test]
    fn msg_3_names_agree_between_text_and_json() {
        for code in Code::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
            assert_eq!(code.as_str().parse(), Ok(*code));
            let retry = serde_json::to_string(&code.retry()).unwrap();
            assert_eq!(retry, format!("\"{}\"", code.retry()));
        }
        assert_eq!("BadMessage".parse::<Code>(), Err(NameError));
        assert_eq!("".parse::<Code>(), Err(NameError));
    }

    /// MSG-3: these are the codes a client may act on; all others are final.
    #[test]
    fn msg_3_default_retries() {
        let of = |retry| {
            let all = Code::ALL.iter().copied();
            all.filter(|code| code.retry() == retry)
                .map(Code::as_str)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Retry::Resend), ["chunk_out_of_order", "incomplete"]);
        assert_eq!(
            of(Retry::Later),
            [
                "storage_full",
                "storage_throttled",
                "locked",
                "rate_limited",
                "draining"
            ]
        );
        assert_eq!(
            of(Retry::Restart),
            [
                "unknown_ref",
                "checksum_mismatch",
                "session_closed",
                "expired",
                "idle_timeout"
            ]
        );
    }

    /// MSG-4: texts are distinct, short, and one line of a table.
    #[test]
    fn msg_4_texts_are_distinct_lines() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.text()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
        let table = code_table();
        assert_eq!(table.lines().count(), Code::ALL.len() + 2);
        assert!(table.lines().all(|line| line.matches('|').count() == 5));
        let errors = error_table(|code| (code == Code::BadRef).then(|| "Seen".to_owned()));
        assert_eq!(errors.lines().count(), Code::ALL.len() + 2);
        assert!(errors.lines().all(|line| line.matches('|').count() == 5));
        assert_eq!(errors.matches("| Seen |").count(), 1);
        assert!(errors.contains("| Invalid file name |"));
    }
}
