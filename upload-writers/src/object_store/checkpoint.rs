//! What a checkpoint for an object store says, and how little of it is believed.

use serde_json::{Value, json};

use crate::{
    error::{WriteError, WriteErrorKind},
    key::Object,
    parts::PartProfile,
    writer::{CHECKPOINT_BYTES_MAX, Checkpoint, UploadFacts},
};

/// The content of a checkpoint: `{"object", "upload", "part", "ids"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) object: Object,
    /// The id of the unfinished upload; none for a file that is a single request.
    pub(super) upload: Option<String>,
    pub(super) part_bytes: u64,
    /// The ids of the parts stored so far, without a gap.
    pub(super) ids: Vec<String>,
}

impl Notes {
    /// Writes them down, if they fit.
    pub(super) fn checkpoint(
        key: &str,
        upload: Option<&str>,
        part_bytes: u64,
        ids: &[&str],
    ) -> Option<Checkpoint> {
        // A look at the length first, so that a long list is not written down for each batch.
        let len: usize = ids.iter().map(|id| id.len() + 3).sum();
        if len > CHECKPOINT_BYTES_MAX {
            return None;
        }
        let value = json!({ "object": key, "upload": upload, "part": part_bytes, "ids": ids });
        let fits = value.to_string().len() <= CHECKPOINT_BYTES_MAX;
        fits.then_some(Checkpoint(value))
    }

    /// Reads them back. A checkpoint comes from a store that others may write to, so a key is
    /// accepted only in the exact form this upload's has.
    pub(super) fn read(
        checkpoint: &Checkpoint,
        facts: &UploadFacts,
        prefix: &str,
        profile: &PartProfile,
    ) -> Result<Self, WriteError> {
        Self::parse(&checkpoint.0, facts, prefix, profile)
            .ok_or_else(|| WriteError::new(WriteErrorKind::Failed, "not a store's checkpoint"))
    }

    fn parse(
        value: &Value,
        facts: &UploadFacts,
        prefix: &str,
        profile: &PartProfile,
    ) -> Option<Self> {
        let object = Object::parse(prefix, facts, value.get("object")?.as_str()?)?;
        let upload = match value.get("upload")? {
            Value::Null => None,
            Value::String(id) => Some(id.clone()),
            _ => return None,
        };
        let part_bytes = value.get("part")?.as_u64()?;
        let ids = value.get("ids")?.as_array()?.iter();
        let ids = ids
            .map(|id| Some(id.as_str()?.to_owned()))
            .collect::<Option<_>>()?;
        let suffices = part_bytes > 0
            && part_bytes <= profile.part_bytes_max
            && facts.client_size.div_ceil(part_bytes) <= u64::from(profile.parts_max);
        suffices.then_some(Self {
            object,
            upload,
            part_bytes,
            ids,
        })
    }
}
