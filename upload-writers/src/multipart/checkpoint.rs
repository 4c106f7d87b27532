//! What the checkpoint of a writer that sends parts says, and how little of it is believed.

use base64_simd::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{backend::NewObject, last_part::LastPart};
use crate::{
    error::{WriteError, WriteErrorKind},
    key::Object,
    parts::{FileTooLarge, PartPlan, PartProfile},
    writer::{CHECKPOINT_BYTES_MAX, Checkpoint, UploadFacts},
};

/// The version of the layout that is written. None is version 0, of before 0.1, which is read as well.
const VERSION: u32 = 1;

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MultipartCheckpoint {
    pub(crate) object: NewObject,
    /// The id of the unfinished upload, which in Azure is empty; none for a file that is a single request.
    pub(crate) upload: Option<String>,
    pub(crate) part_bytes: u64,
    /// The ids of the parts stored so far, without a gap, of storage that does not list them.
    pub(crate) ids: Vec<String>,
    /// What the last of these parts is known by.
    pub(crate) last_part: Option<LastPart>,
}

/// The checkpoint as JSON.
///
/// Ids that are hashes of 16 bytes in hexadecimal, as those of all cloud stores are by default, are packed:
/// whether they are quoted, and base64 of all of them. Then there is room for more than 300.
#[derive(Debug, Deserialize, Serialize)]
struct Layout {
    #[serde(default)]
    v: u32,
    #[serde(default)]
    kind: String,
    key: String,
    upload: Option<String>,
    #[serde(rename = "part")]
    part_bytes: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packed: Option<(bool, String)>,
    #[serde(default, rename = "seam", skip_serializing_if = "Option::is_none")]
    last_part: Option<(u32, u32, u32)>,
}

impl MultipartCheckpoint {
    /// Writes it down, with these ids and this last part, if they fit.
    pub(crate) fn written(
        &self,
        kind: &str,
        ids: &[&str],
        last_part: Option<LastPart>,
    ) -> Option<Checkpoint> {
        let packed = pack(ids);
        if packed.is_none() {
            // A look at the length first, so that a long list is not written down for each part.
            let len: usize = ids.iter().map(|id| id.len().saturating_add(3)).sum();
            if len > CHECKPOINT_BYTES_MAX {
                return None;
            }
        }
        let listed = if packed.is_some() { &[][..] } else { ids };
        let value = json!(Layout {
            v: VERSION,
            kind: kind.to_owned(),
            key: self.object.key().to_owned(),
            upload: self.upload.clone(),
            part_bytes: self.part_bytes,
            ids: listed.iter().map(|&id| id.to_owned()).collect(),
            packed,
            last_part: last_part.map(|last_part| (
                last_part.part,
                last_part.before,
                last_part.crc32c
            )),
        });
        let fits = value.to_string().len() <= CHECKPOINT_BYTES_MAX;
        fits.then_some(Checkpoint(value))
    }

    /// Reads it back; `None` if it is of other storage, or of a prefix that is not used any more. It comes
    /// from a store that others may write to, so a key is accepted only in the exact form this upload's has.
    pub(crate) fn read(
        checkpoint: &Checkpoint,
        kind: &str,
        facts: &UploadFacts,
        prefix: &str,
        profile: &PartProfile,
    ) -> Result<Option<Self>, WriteError> {
        let not_one = |why: &'static str| WriteError::new(WriteErrorKind::Failed, why);
        let Ok(layout) = Layout::deserialize(&checkpoint.0) else {
            return Err(not_one("not a checkpoint of parts"));
        };
        if layout.v > VERSION {
            return Err(not_one("a checkpoint of a later version"));
        }
        if layout.v > 0 && layout.kind != kind {
            return Ok(None);
        }
        let Some(object) = Object::parse(prefix, facts, &layout.key) else {
            return Ok(None);
        };
        let part_bytes = layout.part_bytes;
        let suffices = part_bytes > 0
            && part_bytes <= profile.part_bytes_max
            && facts.client_size.div_ceil(part_bytes) <= u64::from(profile.parts_max);
        let ids = match layout.packed {
            None => Some(layout.ids),
            Some(packed) if layout.ids.is_empty() => unpack(&packed),
            Some(_) => None,
        };
        let Some(ids) = ids.filter(|_| suffices) else {
            return Err(not_one("a checkpoint of parts that cannot be"));
        };
        Ok(Some(Self {
            object: NewObject(object),
            upload: layout.upload,
            part_bytes,
            ids,
            last_part: layout.last_part.map(|(part, before, crc32c)| LastPart {
                part,
                before,
                crc32c,
            }),
        }))
    }
}

/// How many parts a file is cut into whose checkpoint names all of them, as far as parts of
/// [`RESUMABLE_PART_BYTES_MAX`] suffice.
const RESUMABLE_PARTS_MAX: u32 = 300;

/// How large such parts become, in bytes, since parts are held in memory while they are sent.
const RESUMABLE_PART_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Chooses how a file is cut. Where its checkpoint names all parts, there have to be few of them.
pub(super) fn plan(
    profile: &PartProfile,
    facts: &UploadFacts,
    names_parts: bool,
) -> Result<PartPlan, FileTooLarge> {
    if facts.resumable && names_parts {
        let fewer = PartProfile {
            parts_max: profile.parts_max.min(RESUMABLE_PARTS_MAX),
            part_bytes_max: profile.part_bytes_max.min(RESUMABLE_PART_BYTES_MAX),
            ..*profile
        };
        if let Ok(plan) = PartPlan::for_size(facts.client_size, &fewer) {
            return Ok(plan);
        }
    }
    PartPlan::for_size(facts.client_size, profile)
}

/// How many bytes an id has that can be packed.
const PACKED_BYTES: usize = 16;

/// Packs ids that all are hashes in hexadecimal, quoted or not; others are left as they are.
fn pack(ids: &[&str]) -> Option<(bool, String)> {
    let quoted = ids.first()?.starts_with('"');
    let mut bytes = Vec::with_capacity(ids.len().saturating_mul(PACKED_BYTES));
    for id in ids {
        let digits = match quoted {
            true => id.strip_prefix('"')?.strip_suffix('"')?,
            false => id,
        };
        let is_lower = digits.bytes().all(|digit| !digit.is_ascii_uppercase());
        let mut hash = [0; PACKED_BYTES];
        if !is_lower || hex::decode_to_slice(digits, &mut hash).is_err() {
            return None;
        }
        bytes.extend_from_slice(&hash);
    }
    Some((quoted, STANDARD_NO_PAD.encode_to_string(&bytes)))
}

fn unpack((quoted, text): &(bool, String)) -> Option<Vec<String>> {
    let quote = if *quoted { "\"" } else { "" };
    let bytes = STANDARD_NO_PAD.decode_to_vec(text).ok()?;
    let (ids, []) = bytes.as_chunks::<PACKED_BYTES>() else {
        return None;
    };
    let id = |hash: &[u8; PACKED_BYTES]| format!("{quote}{}{quote}", hex::encode(hash));
    Some(ids.iter().map(id).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn facts() -> UploadFacts {
        UploadFacts {
            owner: "o".to_owned(),
            safe_client_name: "n".to_owned(),
            ..UploadFacts::new("1", "s", 60_000 << 20)
        }
    }

    fn checkpoint() -> MultipartCheckpoint {
        MultipartCheckpoint {
            object: NewObject(Object::new("u/", &facts()).expect("no folder")),
            upload: Some("id".to_owned()),
            part_bytes: 6 << 20,
            ids: vec!["a".to_owned(), "b".to_owned()],
            last_part: Some(LastPart {
                part: 2,
                before: 8,
                crc32c: 9,
            }),
        }
    }

    fn written(checkpoint: &MultipartCheckpoint) -> Option<Checkpoint> {
        let ids: Vec<&str> = checkpoint.ids.iter().map(String::as_str).collect();
        checkpoint.written("test", &ids, checkpoint.last_part)
    }

    fn read(checkpoint: &Checkpoint) -> Result<Option<MultipartCheckpoint>, WriteError> {
        MultipartCheckpoint::read(checkpoint, "test", &facts(), "u/", &PartProfile::S3)
    }

    #[test]
    fn checkpoints_survive_being_written_down() {
        let bare = MultipartCheckpoint {
            upload: None,
            ids: Vec::new(),
            last_part: None,
            ..checkpoint()
        };
        for checkpoint in [checkpoint(), bare] {
            let text = written(&checkpoint).expect("fits");
            assert_eq!(text.0["v"], 1);
            assert_eq!(read(&text).expect("reads"), Some(checkpoint));
        }
        let upload = Some("i".repeat(CHECKPOINT_BYTES_MAX));
        assert_eq!(
            written(&MultipartCheckpoint {
                upload,
                ..checkpoint()
            }),
            None
        );
        let ids = vec!["i".repeat(100); 100];
        assert_eq!(
            written(&MultipartCheckpoint {
                ids,
                ..checkpoint()
            }),
            None
        );
    }

    /// Checkpoints as they were written before they had a version.
    #[test]
    fn older_checkpoints_are_read() {
        let key = "u/65c74c15a686187b/7f5a8d1e-5c1c-4a7e-9a55-3f6a6b0c2d11-n";
        let object = NewObject(Object::parse("u/", &facts(), key).expect("its key"));
        let old = |text: &str| {
            let value = serde_json::from_str(&text.replace("KEY", key)).expect("JSON");
            read(&Checkpoint(value))
                .expect("reads")
                .expect("is of this storage")
        };
        let s3 = old(r#"{"key":"KEY","part":6291456,"seam":[2,8,9],"upload":"id"}"#);
        let expected = MultipartCheckpoint {
            object: object.clone(),
            ids: Vec::new(),
            ..checkpoint()
        };
        assert_eq!(s3, expected);
        let stored =
            old(r#"{"ids":["a","b"],"key":"KEY","part":6291456,"seam":[2,8,9],"upload":"id"}"#);
        let expected = MultipartCheckpoint {
            object: object.clone(),
            ..checkpoint()
        };
        assert_eq!(stored, expected);
        let single = old(r#"{"key":"KEY","part":6291456,"upload":null}"#);
        assert_eq!((single.upload, single.last_part), (None, None));
    }

    /// Of the ids of cloud stores as many fit as the plan of a resumable file has parts.
    #[test]
    fn hashes_are_packed() {
        for quote in ["\"", ""] {
            let id = |number: u32| format!("{quote}{number:032x}{quote}");
            let ids: Vec<String> = (0..RESUMABLE_PARTS_MAX).map(id).collect();
            let mut facts = facts();
            facts.safe_client_name = "n".repeat(1_000);
            let many = MultipartCheckpoint {
                object: NewObject(Object::new(&"p".repeat(512), &facts).expect("no folder")),
                upload: Some("u".repeat(500)),
                ids,
                ..checkpoint()
            };
            let Checkpoint(value) = written(&many).expect("fits");
            let packed: (bool, String) =
                serde_json::from_value(value["packed"].clone()).expect("is packed");
            assert_eq!(unpack(&packed), Some(many.ids));
        }
        for odd in ["", "\"", "0a", "\"0a\"", &"G".repeat(32), &"A".repeat(32)] {
            assert_eq!(pack(&[odd]), None, "{odd}");
        }
        let bare = "0".repeat(32);
        assert_eq!(pack(&[&bare, &format!("\"{bare}\"")]), None, "mixed");
        assert_eq!(unpack(&(true, "AA".to_owned())), None);
    }

    #[test]
    fn foreign_checkpoints_are_refused() {
        let good = written(&checkpoint()).expect("fits").0;
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            read(&Checkpoint(changed))
        };
        assert!(matches!(with("key", good["key"].clone()), Ok(Some(_))));
        let azure = with("upload", json!("")).expect("an unfinished upload of Azure");
        assert_eq!(azure.expect("is read").upload.as_deref(), Some(""));
        // Of other storage, or of a prefix that is not used any more: there is nothing to resume.
        for (name, value) in [("kind", json!("tape")), ("key", json!("u/other/x"))] {
            assert!(matches!(with(name, value), Ok(None)), "{name}");
        }
        for (name, value) in [
            ("v", json!(2)),
            ("key", json!(1)),
            ("upload", json!(7)),
            ("part", json!(0)),
            ("part", json!(5 << 20)),
            ("part", json!(u64::MAX)),
            ("part", json!("5")),
            ("ids", json!("a")),
            ("ids", json!([1])),
            ("packed", json!([false, ""])),
            ("seam", json!([1, 2])),
            ("seam", json!(["1", 2, 3])),
            ("seam", json!([1, 2, u64::MAX])),
        ] {
            assert!(with(name, value.clone()).is_err(), "{name} {value}");
        }
    }
}
