//! What an object in a bucket is called, and what is said about it besides its bytes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    error::{WriteError, WriteErrorKind},
    name::{self, is_folder},
    writer::UploadFacts,
};

/// The longest key S3 takes, in bytes; no provider takes less.
const KEY_BYTES_MAX: usize = 1024;

/// The longest last segment of a key, in bytes: what file systems take (255), so that a bucket can be
/// one or be mirrored into one, less what a store may append while it writes.
const NAME_BYTES_MAX: usize = 240;

/// The longest prefix, in bytes; it leaves room for everything behind it.
pub(crate) const PREFIX_BYTES_MAX: usize = 512;

/// The longest prefix and folder together, in bytes.
const BEFORE_SCOPE_BYTES_MAX: usize = PREFIX_BYTES_MAX + 256;

/// The longest media type passed on, in bytes.
const TYPE_BYTES_MAX: usize = 255;

/// The longest upload id passed on, in bytes; a UUID has 36.
const ID_BYTES_MAX: usize = 64;

/// One object to be: its key, and the headers it is stored with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// `<prefix><owner scope>/<uuid>-<safe name>`; where the application chose a folder, it comes after the prefix.
    pub(crate) key: String,
    /// The declared media type if it is one, otherwise the one for any bytes.
    pub(crate) content_type: String,
    /// Makes browsers save it, under its safe name.
    pub(crate) disposition: String,
    /// The client-made id, cut to letters, digits and hyphens.
    pub(crate) upload_id: String,
}

impl Object {
    /// Describes the object of an upload under a fresh key.
    ///
    /// # Errors
    ///
    /// [`WriteErrorKind::Failed`] if the folder of the upload cannot be in a key.
    pub(crate) fn new(prefix: &str, facts: &UploadFacts) -> Result<Self, WriteError> {
        let object = Self::with_uuid(prefix, facts, Uuid::new_v4());
        object.ok_or_else(|| {
            let text = "the folder cannot be in a key, or is too long for it";
            WriteError::new(WriteErrorKind::Failed, text)
        })
    }

    /// Describes the object again by the key in a checkpoint, trusting nothing: it must be the very
    /// key this upload would get with its uuid.
    pub(crate) fn parse(prefix: &str, facts: &UploadFacts, key: &str) -> Option<Self> {
        let tail = key.strip_prefix(&beginning(prefix, facts)?)?;
        let uuid = tail.get(..36)?.parse().ok()?;
        let object = Self::with_uuid(prefix, facts, uuid)?;
        (object.key == key).then_some(object)
    }

    fn with_uuid(prefix: &str, facts: &UploadFacts, uuid: Uuid) -> Option<Self> {
        let id = facts.upload_id.chars();
        let id = id.filter(|c| c.is_ascii_alphanumeric() || *c == '-');
        let mut key = format!("{}{uuid}-", beginning(prefix, facts)?);
        let left = KEY_BYTES_MAX.saturating_sub(key.len());
        let room = left.min(NAME_BYTES_MAX - 37);
        let name = name::fitting(&facts.safe_client_name, room);
        key.push_str(&name);
        Some(Self {
            key,
            content_type: content_type(&facts.client_type),
            disposition: disposition(&name),
            upload_id: id.take(ID_BYTES_MAX).collect(),
        })
    }
}

/// Says whether keys can begin with `prefix`.
pub(crate) fn is_prefix(prefix: &str) -> bool {
    prefix.len() <= PREFIX_BYTES_MAX
        && !prefix.starts_with('/')
        && !prefix.contains("//")
        && !prefix.chars().any(|c| c.is_control() || c == '\\')
        && !prefix.split('/').any(|part| part == "." || part == "..")
}

/// Returns what the key of an upload has before its uuid; `None` if its folder cannot be in a key.
fn beginning(prefix: &str, facts: &UploadFacts) -> Option<String> {
    let scope = scope(facts);
    let Some(folder) = &facts.folder else {
        return Some(format!("{prefix}{scope}/"));
    };
    let fits = prefix.len().saturating_add(folder.len()) <= BEFORE_SCOPE_BYTES_MAX;
    (fits && is_folder(folder)).then(|| {
        let slash = if prefix.is_empty() || prefix.ends_with('/') {
            ""
        } else {
            "/"
        };
        format!("{prefix}{slash}{folder}/{scope}/")
    })
}

/// Tells owners apart without telling who they are: the first 8 bytes of a hash, in hex.
fn scope(facts: &UploadFacts) -> String {
    let hash = Sha256::digest(facts.owner.as_bytes());
    hex::encode(hash.first_chunk::<8>().expect("a hash has 32 bytes"))
}

fn content_type(declared: &str) -> String {
    let is_token = |part: &str| {
        let of_token = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        !part.is_empty() && part.chars().all(of_token)
    };
    let essence = declared.split(';').next().unwrap_or_default().trim();
    let is_type = essence.split_once('/').is_some_and(|(kind, subtype)| {
        is_token(kind) && is_token(subtype) && essence.len() <= TYPE_BYTES_MAX
    });
    let any = "application/octet-stream";
    if is_type { essence } else { any }.to_owned()
}

/// What RFC 8187 leaves as it is (`attr-char`).
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// RFC 6266: a plain name for old readers, and the real one in UTF-8 (RFC 8187).
fn disposition(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || " -_.+,()".contains(c) {
            c
        } else {
            '_'
        }
    };
    let ascii: String = name.chars().map(plain).collect();
    let quoted = utf8_percent_encode(name, QUOTED);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{quoted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(owner: &str, safe_name: &str, client_type: &str) -> UploadFacts {
        UploadFacts {
            owner: owner.to_owned(),
            client_name: "../../raw\r\nname".to_owned(),
            safe_client_name: safe_name.to_owned(),
            client_type: client_type.to_owned(),
            ..UploadFacts::new("0f0e0d0c-0000-4000-8000-000000000001", "documents", 1)
        }
    }

    #[test]
    fn keys_name_neither_owner_nor_raw_name() {
        let facts = facts("alice@example.org", "résumé 1.pdf", "application/pdf");
        let object = Object::with_uuid("uploads/", &facts, Uuid::nil()).expect("no folder");
        let name = "00000000-0000-0000-0000-000000000000-résumé 1.pdf";
        let scope = object.key.strip_prefix("uploads/").expect("prefix");
        let (scope, rest) = scope.split_once('/').expect("scope");
        assert_eq!((scope.len(), rest), (16, name));
        assert!(scope.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(object.content_type, "application/pdf");
        let disposition =
            "attachment; filename=\"r_sum_ 1.pdf\"; filename*=UTF-8''r%C3%A9sum%C3%A9%201.pdf";
        assert_eq!(object.disposition, disposition);
        assert_eq!(object.upload_id, facts.upload_id);
    }

    #[test]
    fn keys_fit_whatever_the_names() {
        let prefix = "p".repeat(PREFIX_BYTES_MAX - 1) + "/";
        assert!(is_prefix(&prefix));
        let object = Object::new(&prefix, &facts(&"o".repeat(9_999), &"é".repeat(2_000), "x"))
            .expect("no folder");
        assert!(object.key.len() <= KEY_BYTES_MAX);
        assert_eq!(object.content_type, "application/octet-stream");
    }

    #[test]
    fn keys_are_read_back_only_by_their_own_upload() {
        let mine = facts("mine", "a.txt", "text/plain");
        let object = Object::new("u/", &mine).expect("no folder");
        assert_eq!(
            Object::parse("u/", &mine, &object.key),
            Some(object.clone())
        );
        assert_eq!(Object::parse("v/", &mine, &object.key), None);
        let theirs = facts("theirs", "a.txt", "text/plain");
        assert_eq!(Object::parse("u/", &theirs, &object.key), None);
        let renamed = facts("mine", "b.txt", "text/plain");
        assert_eq!(Object::parse("u/", &renamed, &object.key), None);
        for key in ["", "u/", "../x", "u/0/x", &object.key.to_uppercase()] {
            assert_eq!(Object::parse("u/", &mine, key), None, "{key}");
        }
    }

    #[test]
    fn a_folder_comes_after_the_prefix() {
        let mut facts = facts("mine", "a.txt", "text/plain");
        let plain = Object::new("u/", &facts).expect("no folder").key;
        facts.folder = Some("customers/42".to_owned());
        for (prefix, begins) in [
            ("u/", "u/customers/42/"),
            ("u-", "u-/customers/42/"),
            ("", "customers/42/"),
        ] {
            let object = Object::new(prefix, &facts).expect("a good folder");
            assert!(object.key.starts_with(begins), "{}", object.key);
            assert_eq!(Object::parse(prefix, &facts, &object.key), Some(object));
        }
        assert_eq!(Object::parse("u/", &facts, &plain), None);
        let longest = format!("{}/{}", "f".repeat(127), "g".repeat(128));
        facts.folder = Some(longest.clone());
        facts.safe_client_name = "n".repeat(2_000);
        let prefix = "p".repeat(PREFIX_BYTES_MAX);
        let object = Object::new(&prefix, &facts).expect("fits");
        assert!(object.key.len() <= KEY_BYTES_MAX);
        assert!(object.disposition.len() > 200, "there is room for the name");
        for folder in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "a/../b",
            ".x",
            "a\\b",
            "a\nb",
            &(longest + "x"),
        ] {
            facts.folder = Some(folder.to_owned());
            assert!(Object::new(&prefix, &facts).is_err(), "{folder:?}");
        }
    }

    #[test]
    fn types_that_are_none_are_not_passed_on() {
        for bad in ["", "text", "text/", "a/b\r\nx: y", "é/x", "text/ht ml"] {
            let object = Object::new("", &facts("o", "n", bad)).expect("no folder");
            assert_eq!(object.content_type, "application/octet-stream", "{bad}");
        }
        let with_parameter =
            Object::new("", &facts("o", "n", "text/plain; charset=utf-8")).expect("no folder");
        assert_eq!(with_parameter.content_type, "text/plain");
    }

    #[test]
    fn prefixes_lead_nowhere_else() {
        for good in ["", "uploads/", "a/b-", "a"] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in [
            "/",
            "../",
            "a/../b/",
            "a//b",
            "a\\b",
            "a\n",
            &"x".repeat(513),
        ] {
            assert!(!is_prefix(bad), "{bad}");
        }
    }
}
