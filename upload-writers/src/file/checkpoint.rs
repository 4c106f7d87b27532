//! What a file writer's checkpoint says, and how little of it is believed.

use std::{fs, sync::LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Durability, place::Place, temp::TempName};
use crate::{
    error::{WriteError, WriteErrorKind},
    writer::{Checkpoint, UploadFacts},
};

/// The version of the layout that is written. None is version 0, of before 0.1, which is read as well.
const VERSION: u32 = 1;

/// What kind of checkpoint it is, told from those of other writers.
const KIND: &str = "file";

/// Where Linux names its current boot; every start of a machine has another name.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The longest name of a boot that is believed, in bytes; Linux's are UUIDs.
const BOOT_ID_BYTES_MAX: usize = 64;

/// What an upload's file was when its checkpoint was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileCheckpoint {
    pub(super) temp: TempName,
    pub(super) place: Place,
    pub(super) kept: Kept,
}

/// What the bytes before the offset survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// A loss of power: they were synced.
    Synced,
    /// The end of the process, while the system of this boot runs. After another boot the file may
    /// have its length and zeros in place of bytes, since a file system may make the one durable
    /// before the other.
    InBoot(String),
    /// Not told, as in checkpoints of before 0.1.
    Unknown,
}

impl Kept {
    /// What bytes survive that a writer of this durability stores now.
    pub(super) fn now(durability: Durability) -> Self {
        match durability {
            Durability::Disk => Self::Synced,
            Durability::Process => Self::InBoot(boot().to_owned()),
        }
    }

    /// Says whether the bytes have to be compared with their checksum before they are believed.
    pub(super) fn is_doubtful(&self, durability: Durability) -> bool {
        match self {
            Self::Synced => false,
            Self::InBoot(id) => id != boot(),
            Self::Unknown => durability == Durability::Process,
        }
    }
}

/// Names the current boot of this machine. Where the system does not, each process has a name of its
/// own, so that what another one left is always compared.
fn boot() -> &'static str {
    static BOOT: LazyLock<String> = LazyLock::new(|| {
        let id = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let id = id.trim();
        if id.is_empty() || id.len() > BOOT_ID_BYTES_MAX {
            return Uuid::new_v4().to_string();
        }
        id.to_owned()
    });
    &BOOT
}

/// The checkpoint as JSON; names are relative.
#[derive(Debug, Deserialize, Serialize)]
struct Layout {
    #[serde(default)]
    v: u32,
    #[serde(default)]
    kind: String,
    temp: String,
    uuid: String,
    #[serde(rename = "final")]
    place: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    synced: bool,
}

impl FileCheckpoint {
    /// Writes it down.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let (boot, synced) = match &self.kept {
            Kept::Synced => (None, true),
            Kept::InBoot(id) => (Some(id.clone()), false),
            Kept::Unknown => (None, false),
        };
        let layout = Layout {
            v: VERSION,
            kind: KIND.to_owned(),
            temp: self.temp.to_string(),
            uuid: self.temp.uuid.to_string(),
            place: self.place.relative(),
            boot,
            synced,
        };
        Checkpoint(json!(layout))
    }

    /// Reads it back. A checkpoint comes from a store that others may write to, so names are
    /// accepted only in the exact form this writer gives them.
    pub(super) fn read(checkpoint: &Checkpoint, facts: &UploadFacts) -> Result<Self, WriteError> {
        Self::parse(&checkpoint.0, &facts.slot)
            .ok_or_else(|| WriteError::new(WriteErrorKind::Failed, "not a file checkpoint"))
    }

    fn parse(value: &Value, slot: &str) -> Option<Self> {
        let layout = Layout::deserialize(value).ok()?;
        if layout.v > VERSION || (layout.v > 0 && layout.kind != KIND) {
            return None;
        }
        let temp = TempName::parse(&layout.temp)?;
        if !temp.resumable || layout.uuid != temp.uuid.to_string() {
            return None;
        }
        let place = Place::parse(&layout.place, slot, temp.uuid)?;
        let kept = match layout.boot {
            Some(id) if id.len() <= BOOT_ID_BYTES_MAX => Kept::InBoot(id),
            Some(_) => return None,
            None if layout.synced => Kept::Synced,
            None => Kept::Unknown,
        };
        Some(Self { temp, place, kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(kept: Kept) -> FileCheckpoint {
        let uuid = Uuid::max();
        FileCheckpoint {
            temp: TempName {
                uuid,
                generation: 0,
                resumable: true,
            },
            place: Place::new(None, "docs", uuid, "a.txt").expect("a good slot"),
            kept,
        }
    }

    #[test]
    fn checkpoints_read_back() {
        for kept in [
            Kept::Synced,
            Kept::InBoot("b".to_owned()),
            Kept::Unknown,
            Kept::now(Durability::Process),
        ] {
            let written = checkpoint(kept);
            let Checkpoint(value) = written.checkpoint();
            assert_eq!(FileCheckpoint::parse(&value, "other"), None);
            assert_eq!(FileCheckpoint::parse(&value, "docs"), Some(written));
        }
    }

    #[test]
    fn checkpoints_say_version_and_kind() {
        let Checkpoint(value) = checkpoint(Kept::Synced).checkpoint();
        assert_eq!((&value["v"], &value["kind"]), (&json!(1), &json!("file")));
    }

    /// A checkpoint as it was written before versions, kinds and boots were named.
    #[test]
    fn older_checkpoints_read_back() {
        let uuid = Uuid::max();
        let old = json!({
            "temp": format!("{uuid}.0.resumable.part"),
            "uuid": uuid.to_string(),
            "final": format!("docs/{uuid}-a.txt"),
        });
        let read = FileCheckpoint::parse(&old, "docs");
        assert_eq!(read, Some(checkpoint(Kept::Unknown)));
    }

    #[test]
    fn only_bytes_of_this_boot_or_synced_ones_are_believed() {
        use Durability::{Disk, Process};
        for (kept, durability, is_doubtful) in [
            (Kept::now(Process), Process, false),
            (Kept::now(Process), Disk, false),
            (Kept::now(Disk), Process, false),
            (Kept::InBoot("another".to_owned()), Process, true),
            (Kept::InBoot("another".to_owned()), Disk, true),
            (Kept::Unknown, Process, true),
            (Kept::Unknown, Disk, false),
        ] {
            assert_eq!(kept.is_doubtful(durability), is_doubtful, "{kept:?}");
        }
    }

    #[test]
    fn nothing_else_is_believed() {
        let Checkpoint(good) = checkpoint(Kept::InBoot("b".to_owned())).checkpoint();
        let changes = [
            ("temp", json!("../etc/passwd")),
            ("temp", json!(format!("{}.0.once.part", Uuid::max()))),
            ("temp", json!(format!("{}.0.resumable.part", Uuid::nil()))),
            ("uuid", json!(Uuid::nil().to_string())),
            ("uuid", json!(7)),
            ("final", json!(format!("docs/{}-x/../../y", Uuid::max()))),
            ("final", json!(format!("docs/{}-x", Uuid::nil()))),
            ("final", Value::Null),
            ("boot", json!(7)),
            ("v", json!(2)),
            ("kind", json!("s3")),
            ("boot", json!("b".repeat(65))),
        ];
        for (key, value) in changes {
            let mut bad = good.clone();
            bad[key] = value;
            assert_eq!(FileCheckpoint::parse(&bad, "docs"), None, "{bad}");
        }
        for bad in [Value::Null, json!([]), json!({}), json!("x")] {
            assert_eq!(FileCheckpoint::parse(&bad, "docs"), None, "{bad}");
        }
    }
}
