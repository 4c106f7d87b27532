//! What the checkpoint of a writer that sends parts says, and how little of it is believed.

use serde_json::{Value, json};

use crate::{
    error::{WriteError, WriteErrorKind},
    key::Object,
    parts::PartProfile,
    seam::Seam,
    writer::{CHECKPOINT_BYTES_MAX, Checkpoint, UploadFacts},
};

/// The content of a checkpoint: `{"key", "upload", "part"}`, and where there are such `"ids"` and
/// `"seam"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notes {
    pub(crate) object: Object,
    /// The id of the unfinished upload, which in Azure is empty; none for a file that is a single request.
    pub(crate) upload: Option<String>,
    pub(crate) part_bytes: u64,
    /// The ids of the parts stored so far, without a gap, of storage that does not list them.
    pub(crate) ids: Vec<String>,
    /// What the last of these parts is known by.
    pub(crate) seam: Option<Seam>,
}

impl Notes {
    /// Writes them down, if they fit.
    pub(crate) fn checkpoint(
        key: &str,
        upload: Option<&str>,
        part_bytes: u64,
        ids: &[&str],
        seam: Option<Seam>,
    ) -> Option<Checkpoint> {
        // A look at the length first, so that a long list is not written down for each part.
        let len: usize = ids.iter().map(|id| id.len().saturating_add(3)).sum();
        if len > CHECKPOINT_BYTES_MAX {
            return None;
        }
        let mut value = json!({ "key": key, "upload": upload, "part": part_bytes });
        if !ids.is_empty() {
            value["ids"] = json!(ids);
        }
        if let Some(seam) = seam {
            value["seam"] = seam.json();
        }
        let fits = value.to_string().len() <= CHECKPOINT_BYTES_MAX;
        fits.then_some(Checkpoint(value))
    }

    /// Reads them back. A checkpoint comes from a store that others may write to, so a key is
    /// accepted only in the exact form this upload's has.
    pub(crate) fn read(
        checkpoint: &Checkpoint,
        facts: &UploadFacts,
        prefix: &str,
        profile: &PartProfile,
    ) -> Result<Self, WriteError> {
        Self::parse(&checkpoint.0, facts, prefix, profile)
            .ok_or_else(|| WriteError::new(WriteErrorKind::Failed, "not a checkpoint of parts"))
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
            Value::String(id) => Some(id.clone()),
            _ => return None,
        };
        let part_bytes = value.get("part")?.as_u64()?;
        let suffices = part_bytes > 0
            && part_bytes <= profile.part_bytes_max
            && facts.client_size.div_ceil(part_bytes) <= u64::from(profile.parts_max);
        let ids = match value.get("ids") {
            None => Vec::new(),
            Some(ids) => {
                let ids = ids.as_array()?.iter();
                ids.map(|id| Some(id.as_str()?.to_owned()))
                    .collect::<Option<_>>()?
            }
        };
        let seam = match value.get("seam") {
            None => None,
            Some(seam) => Some(Seam::parse(seam)?),
        };
        suffices.then_some(Self {
            object,
            upload,
            part_bytes,
            ids,
            seam,
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
            crc32c_before: None,
            relative_path: None,
            meta: Value::Null,
        }
    }

    fn notes() -> Notes {
        Notes {
            object: Object::new("u/", &facts()),
            upload: Some("id".to_owned()),
            part_bytes: 6 << 20,
            ids: vec!["a".to_owned(), "b".to_owned()],
            seam: Some(Seam {
                part: 2,
                before: 8,
                crc32c: 9,
            }),
        }
    }

    fn written(notes: &Notes) -> Option<Checkpoint> {
        let ids: Vec<&str> = notes.ids.iter().map(String::as_str).collect();
        let (key, upload) = (&notes.object.key, notes.upload.as_deref());
        Notes::checkpoint(key, upload, notes.part_bytes, &ids, notes.seam)
    }

    #[test]
    fn notes_survive_being_written_down() {
        let bare = Notes {
            upload: None,
            ids: Vec::new(),
            seam: None,
            ..notes()
        };
        for notes in [notes(), bare] {
            let checkpoint = written(&notes).expect("fits");
            let read = Notes::read(&checkpoint, &facts(), "u/", &PartProfile::S3);
            assert_eq!(read.expect("reads"), notes);
        }
        let upload = Some("i".repeat(CHECKPOINT_BYTES_MAX));
        assert_eq!(written(&Notes { upload, ..notes() }), None);
        let ids = vec!["i".repeat(100); 100];
        assert_eq!(written(&Notes { ids, ..notes() }), None);
    }

    #[test]
    fn foreign_notes_are_refused() {
        let good = written(&notes()).expect("fits").0;
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            Notes::read(&Checkpoint(changed), &facts(), "u/", &PartProfile::S3)
        };
        assert!(with("key", good["key"].clone()).is_ok());
        let azure = with("upload", json!("")).expect("an unfinished upload of Azure");
        assert_eq!(azure.upload.as_deref(), Some(""));
        for (name, value) in [
            ("key", json!("u/other/x")),
            ("key", json!(1)),
            ("upload", json!(7)),
            ("part", json!(0)),
            ("part", json!(5 << 20)),
            ("part", json!(u64::MAX)),
            ("part", json!("5")),
            ("ids", json!("a")),
            ("ids", json!([1])),
            ("seam", json!([1, 2])),
            ("seam", json!(["1", 2, 3])),
            ("seam", json!([1, 2, u64::MAX])),
        ] {
            assert!(with(name, value.clone()).is_err(), "{name} {value}");
        }
    }
}
