//! What an S3 writer's checkpoint says, and how little of it is believed.

use serde_json::{Value, json};

use crate::{
    error::{WriteError, WriteErrorKind},
    key::Object,
    parts::PartProfile,
    writer::{CHECKPOINT_BYTES_MAX, Checkpoint, UploadFacts},
};

/// The content of a checkpoint: `{"key", "upload", "part"}`.
///
/// The parts themselves are not in it: the bucket lists them, and 10,000 would not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) object: Object,
    /// The id of the multipart upload; none for a file that is a single request.
    pub(super) upload: Option<String>,
    pub(super) part_bytes: u64,
}

impl Notes {
    /// Writes them down, if they fit.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let value = json!({
            "key": self.object.key,
            "upload": self.upload,
            "part": self.part_bytes,
        });
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
            .ok_or_else(|| WriteError::new(WriteErrorKind::Failed, "not an S3 checkpoint"))
    }

    fn parse(
        value: &Value,
        facts: &UploadFacts,
        prefix: &str,
        profile: &PartProfile,
    ) -> Option<Self> {
        let object = Object::parse(prefix, facts, value.get("key")?.as_str()?)?;
        let upload = match value.get("upload")? {
            Value::Null => None,
            Value::String(id) if !id.is_empty() => Some(id.clone()),
            _ => return None,
        };
        let part_bytes = value.get("part")?.as_u64()?;
        let parts_max = u64::from(profile.parts_max);
        let suffices = part_bytes > 0
            && part_bytes <= profile.part_bytes_max
            && facts.client_size.div_ceil(part_bytes) <= parts_max;
        suffices.then_some(Self {
            object,
            upload,
            part_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> UploadFacts {
        UploadFacts {
            owner: "o".to_owned(),
            upload_id: "1".to_owned(),
            slot: "s".to_owned(),
            client_name: "n".to_owned(),
            safe_client_name: "n".to_owned(),
            client_type: String::new(),
            client_size: 60_000 << 20,
            resumable: true,
            epoch: 1,
            relative_path: None,
            meta: Value::Null,
        }
    }

    fn notes() -> Notes {
        Notes {
            object: Object::new("u/", &facts()),
            upload: Some("id".to_owned()),
            part_bytes: 6 << 20,
        }
    }

    #[test]
    fn notes_survive_being_written_down() {
        for upload in [None, Some("id".to_owned())] {
            let notes = Notes { upload, ..notes() };
            let checkpoint = notes.checkpoint().expect("fits");
            let read = Notes::read(&checkpoint, &facts(), "u/", &PartProfile::S3);
            assert_eq!(read.expect("reads"), notes);
        }
        let upload = Some("i".repeat(CHECKPOINT_BYTES_MAX));
        assert_eq!(Notes { upload, ..notes() }.checkpoint(), None);
    }

    #[test]
    fn foreign_notes_are_refused() {
        let good = notes().checkpoint().expect("fits").0;
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            Notes::read(&Checkpoint(changed), &facts(), "u/", &PartProfile::S3)
        };
        assert!(with("key", good["key"].clone()).is_ok());
        for (name, value) in [
            ("key", json!("u/other/x")),
            ("key", json!(1)),
            ("upload", json!(7)),
            ("upload", json!("")),
            ("part", json!(0)),
            ("part", json!(5 << 20)),
            ("part", json!(u64::MAX)),
            ("part", json!("5")),
        ] {
            assert!(with(name, value.clone()).is_err(), "{name} {value}");
        }
    }
}
