//! What a request is answered.

use serde_json::{Map, Value};
use upload_proto::{Code, Register, UploadRef};

use crate::{Record, Refusal, Subject};

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The upload is registered, and has come so far.
    Created(Box<Subject>),
    /// It has come so far.
    At(Box<Subject>),
    /// The content does not belong where the upload ends; nothing changed.
    Mismatch(Box<Subject>),
    /// More came than was declared; nothing past that was appended.
    Excess(Box<Subject>),
    /// The file should end here, and bytes are missing.
    Incomplete(Box<Subject>),
    /// The request says that the file has another length than before, or fewer bytes than came.
    BadLength(Box<Subject>),
    /// The content was not appended, as the host said.
    Discarded(Box<Subject>),
    /// Nothing came for too long; what came is kept.
    TimedOut,
    /// The file is stored.
    Done(Box<Receipt>),
    /// The content belongs elsewhere, since the file is complete.
    PastEnd(Box<Receipt>),
    /// More came than was declared, all of which is stored.
    DoneInExcess(Box<Receipt>),
    /// The upload was ended without a file.
    Deleted,
    /// The file is complete, so it is not deleted.
    Kept,
    /// This request ended the upload, or could not be served, for this reason.
    Refused(Refusal),
    /// The upload left for this reason before the request was served. What came is kept, and the client may
    /// come again.
    Left(Refusal),
    /// The upload ended earlier, for this reason.
    Gone(Code),
    /// There is no such upload: unknown, foreign and expired look alike.
    NotFound,
    /// Another connection holds the upload, or nothing can be said at present.
    Locked,
    /// A newer request took its place.
    Superseded,
    /// It is not decided in time; the same request may be sent again.
    Later,
}

/// What is known of a complete upload.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The upload.
    pub upload: UploadRef,
    /// Its slot.
    pub slot: String,
    /// The file's name as the client gave it.
    pub client_name: String,
    /// The declared MIME type.
    pub client_type: String,
    /// How many bytes the file has.
    pub size: u64,
    /// What the writer returned.
    pub result: Value,
    /// CRC32C of the file, where it is computed.
    pub crc32c: Option<u32>,
    /// What the client sent along.
    pub meta: Map<String, Value>,
}

impl Receipt {
    /// Returns whether a registration asks for the very same.
    pub(super) fn is_of(&self, register: &Register) -> bool {
        self.slot == register.upload_name
            && self.client_name == register.client_name
            && self.client_type == register.client_type
            && register.client_size.is_none_or(|size| size == self.size)
    }

    pub(super) fn of_subject(subject: Subject) -> Self {
        let entry = subject.entry;
        Self {
            upload: entry.upload,
            slot: entry.slot.to_string(),
            client_name: entry.client_name,
            client_type: entry.client_type,
            size: entry.length.max(),
            result: entry.result.unwrap_or_default(),
            crc32c: entry.crc32c,
            meta: entry.meta,
        }
    }

    pub(super) fn of_record(upload: UploadRef, record: Record) -> Self {
        Self {
            upload,
            slot: record.slot,
            client_name: record.client_name,
            client_type: record.client_type,
            size: record.length.max(),
            result: record.result,
            crc32c: record.file_crc32c,
            meta: record.meta,
        }
    }
}
