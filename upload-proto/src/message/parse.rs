//! How what a client says is read: strictly, and in the order of PROTOCOL MSG-1a.

use serde_json::{Map, Value};

use super::{
    client::{ClientMessage, EventCall, EventId, Register, Resume},
    list::ListCall,
    scan::{Field, Fields, is_too_deep, read},
};
use crate::{
    codes::Code,
    error::{MessageAbout, MessageError},
    ids::UploadRef,
    limits::{
        CLIENT_ID_BYTES_MAX, CLIENT_NAME_BYTES_MAX, CLIENT_TYPE_BYTES_MAX, DATE_MS_MAX,
        EVENT_ID_BYTES_MAX, EVENT_NAME_BYTES_MAX, EVENT_UPLOADS_MAX, META_BYTES_MAX, SIZE_MAX,
        TEXT_BYTES_MAX,
    },
};

impl ClientMessage {
    /// Reads one text message (PROTOCOL CTRL-1, CTRL-2).
    ///
    /// Each type of message looks at its own fields only; all others may hold any JSON.
    /// A null where a field is optional is the same as no field.
    /// Of a text of more than [`TEXT_BYTES_MAX`] bytes nothing is read (PROTOCOL FRAME-3).
    ///
    /// # Errors
    ///
    /// The first trouble in this order: the form of the message, its ref, name, size, meta.
    /// The ref is reported with every trouble that leaves it readable.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let is_short = text.len() <= TEXT_BYTES_MAX;
        let Some(fields) = is_short.then(|| Fields::read(text)).flatten() else {
            return Err(MessageError {
                code: Code::BadMessage,
                upload: None,
                about: MessageAbout::Unknown,
            });
        };
        let kind: Option<String> = fields.kind.value();
        let kind = kind.as_deref();
        let message = match kind {
            // Before any value is built, since building one recurses.
            _ if is_too_deep(text) => Err(Code::BadMessage),
            None => Err(Code::BadMessage),
            Some("upload_register") => register(&fields).map(Self::Register),
            Some("upload_resume") => resume(&fields).map(Self::Resume),
            Some("event") => event(&fields).map(Self::Event),
            Some("upload_list") => list(&fields).map(Self::List),
            Some("ping") => Ok(Self::Ping),
            Some(_) => Err(Code::UnknownType),
        };
        message.map_err(|code| {
            let (about, upload) = match kind {
                Some("upload_register") => (MessageAbout::Register, fields.upload.upload()),
                Some("upload_resume") => (MessageAbout::Resume, resumed(&fields)),
                Some("event") => (MessageAbout::Event, None),
                Some("ping" | "upload_list") => (MessageAbout::Unknown, None),
                _ => (MessageAbout::Unknown, fields.upload.upload()),
            };
            MessageError {
                code,
                upload,
                about,
            }
        })
    }
}

fn register(fields: &Fields<'_>) -> Result<Register, Code> {
    sound(&[
        fields.upload,
        fields.upload_name,
        fields.client_name,
        fields.client_type,
        fields.client_size,
        fields.client_id,
        fields.resumable,
        fields.last_modified,
        fields.relative_path,
        fields.meta,
    ])?;
    let upload_name = fields.upload_name.value().ok_or(Code::BadMessage)?;
    let client_type = optional(fields.client_type, text::<CLIENT_TYPE_BYTES_MAX>)?;
    let resumable = optional(fields.resumable, read)?;
    let client_id = optional(fields.client_id, text::<CLIENT_ID_BYTES_MAX>)?;
    let last_modified = optional(fields.last_modified, moment)?.flatten();
    let relative_path = optional(fields.relative_path, text::<CLIENT_NAME_BYTES_MAX>)?;

    let upload = fields.upload.upload().ok_or(Code::BadRef)?;
    let client_name = fields
        .client_name
        .raw()
        .and_then(text::<CLIENT_NAME_BYTES_MAX>);
    let client_name = client_name.ok_or(Code::BadName)?;
    let client_size = match fields.client_size.is_null() {
        true => None,
        false => {
            let size = fields.client_size.raw().and_then(integer);
            let size = size.filter(|size| *size <= SIZE_MAX);
            Some(size.ok_or(Code::BadSize)?)
        }
    };
    let meta = optional(fields.meta, |raw| {
        if raw.len() > META_BYTES_MAX {
            None
        } else {
            object(raw)
        }
    });

    Ok(Register {
        upload,
        upload_name,
        client_name,
        client_type: client_type.unwrap_or_default(),
        client_size,
        resumable,
        client_id,
        last_modified,
        relative_path,
        meta: meta.map_err(|_| Code::BadMeta)?,
    })
}

fn resume(fields: &Fields<'_>) -> Result<Resume, Code> {
    sound(&[
        fields.upload,
        fields.upload_id,
        fields.offset,
        fields.client_id,
    ])?;
    let offset = optional(fields.offset, integer)?;
    let client_id = optional(fields.client_id, text::<CLIENT_ID_BYTES_MAX>)?;
    Ok(Resume {
        upload: resumed(fields).ok_or(Code::BadRef)?,
        by_upload_id: fields.upload.raw().is_none(),
        offset,
        client_id,
    })
}

/// Returns which upload a resume means: `upload_id` counts only where there is no `ref`.
fn resumed(fields: &Fields<'_>) -> Option<UploadRef> {
    match fields.upload.raw() {
        Some(_) => fields.upload.upload(),
        None => fields.upload_id.upload(),
    }
}

fn event(fields: &Fields<'_>) -> Result<EventCall, Code> {
    sound(&[fields.event, fields.params, fields.id, fields.uploads])?;
    let event = fields.event.raw().and_then(text::<EVENT_NAME_BYTES_MAX>);
    Ok(EventCall {
        event: event.ok_or(Code::BadMessage)?,
        params: optional(fields.params, object)?.unwrap_or_default(),
        id: optional(fields.id, event_id)?,
        uploads: optional(fields.uploads, refs)?,
    })
}

fn list(fields: &Fields<'_>) -> Result<ListCall, Code> {
    sound(&[fields.upload_name, fields.id])?;
    Ok(ListCall {
        upload_name: optional(fields.upload_name, read)?,
        id: optional(fields.id, event_id)?,
    })
}

/// Checks that no known field is repeated or holds half a character.
fn sound(fields: &[Field<'_>]) -> Result<(), Code> {
    let all = fields.iter().all(|field| field.is_sound());
    if all { Ok(()) } else { Err(Code::BadMessage) }
}

/// Reads a field that may be absent or null; any other trouble with it is `bad_message`.
fn optional<T>(field: Field<'_>, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Code> {
    match field.raw() {
        None => Ok(None),
        Some(raw) => read(raw).map(Some).ok_or(Code::BadMessage),
    }
}

fn text<const BYTES_MAX: usize>(raw: &str) -> Option<String> {
    read::<String>(raw).filter(|text| text.len() <= BYTES_MAX)
}

/// Reads digits and nothing else: `-0`, `1e3` and `1.0` are not integers (PROTOCOL CTRL-2).
///
/// JSON has no `+5` and no `007`, so what is left to refuse is what an unsigned integer refuses.
fn integer(raw: &str) -> Option<u64> {
    raw.parse().ok()
}

/// Reads any JSON number as milliseconds since 1970 (PROTOCOL CTRL-2).
///
/// The inner value is `None` for a number that is no date from 1970 on: file systems and browsers
/// tell negative times for files from before, and for files whose time is not known.
fn moment(raw: &str) -> Option<Option<u64>> {
    // JSON text that begins so is a number; Rust's reader takes every number of JSON.
    if !raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return None;
    }
    let milliseconds: f64 = raw.parse().ok()?;
    let is_date = (0.0..=DATE_MS_MAX as f64).contains(&milliseconds);
    // A part of a millisecond is dropped.
    Some(is_date.then_some(milliseconds as u64))
}

fn object(raw: &str) -> Option<Map<String, Value>> {
    read(raw)
}

/// Reads a list of refs that can be uploads.
fn refs(raw: &str) -> Option<Vec<UploadRef>> {
    let refs: Vec<UploadRef> = read(raw)?;
    let is_sound = refs.len() <= EVENT_UPLOADS_MAX && !refs.iter().any(|upload| upload.is_nil());
    is_sound.then_some(refs)
}

fn event_id(raw: &str) -> Option<EventId> {
    if raw.starts_with('"') {
        return text::<EVENT_ID_BYTES_MAX>(raw).map(EventId::Text);
    }
    // `-0` would come back as `0`.
    if raw == "-0" {
        None
    } else {
        raw.parse().ok().map(EventId::Integer)
    }
}
