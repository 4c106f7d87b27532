//! What a file writer's checkpoint says, and how little of it is believed.

use serde_json::{Value, json};

use super::{place::Place, temp::TempName};
use crate::{
    error::{WriteError, WriteErrorKind},
    writer::{Checkpoint, UploadFacts},
};

/// The content of a checkpoint: `{"temp", "uuid", "final"}`, all relative names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) temp: TempName,
    pub(super) place: Place,
}

impl Notes {
    /// Writes them down.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint(json!({
            "temp": self.temp.to_string(),
            "uuid": self.temp.uuid.to_string(),
            "final": self.place.relative(),
        }))
    }

    /// Reads them back. A checkpoint comes from a store that others may write to, so names are
    /// accepted only in the exact form this writer gives them.
    pub(super) fn read(checkpoint: &Checkpoint, facts: &UploadFacts) -> Result<Self, WriteError> {
        Self::parse(&checkpoint.0, &facts.slot)
            .ok_or_else(|| WriteError::new(WriteErrorKind::Failed, "not a file checkpoint"))
    }

    fn parse(value: &Value, slot: &str) -> Option<Self> {
        let text = |key| value.get(key)?.as_str();
        let temp = TempName::parse(text("temp")?)?;
        if !temp.resumable || text("uuid")? != temp.uuid.to_string() {
            return None;
        }
        let place = Place::parse(text("final")?, slot, temp.uuid)?;
        Some(Self { temp, place })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn notes() -> Notes {
        let uuid = Uuid::max();
        Notes {
            temp: TempName {
                uuid,
                generation: 0,
                resumable: true,
            },
            place: Place::new("docs", uuid, "a.txt").expect("a good slot"),
        }
    }

    #[test]
    fn notes_read_back() {
        let Checkpoint(value) = notes().checkpoint();
        assert_eq!(Notes::parse(&value, "docs"), Some(notes()));
        assert_eq!(Notes::parse(&value, "other"), None);
    }

    #[test]
    fn nothing_else_is_believed() {
        let Checkpoint(good) = notes().checkpoint();
        let changes = [
            ("temp", json!("../etc/passwd")),
            ("temp", json!(format!("{}.0.once.part", Uuid::max()))),
            ("temp", json!(format!("{}.0.resumable.part", Uuid::nil()))),
            ("uuid", json!(Uuid::nil().to_string())),
            ("uuid", json!(7)),
            ("final", json!(format!("docs/{}-x/../../y", Uuid::max()))),
            ("final", json!(format!("docs/{}-x", Uuid::nil()))),
            ("final", Value::Null),
        ];
        for (key, value) in changes {
            let mut bad = good.clone();
            bad[key] = value;
            assert_eq!(Notes::parse(&bad, "docs"), None, "{bad}");
        }
        for bad in [Value::Null, json!([]), json!({}), json!("x")] {
            assert_eq!(Notes::parse(&bad, "docs"), None, "{bad}");
        }
    }
}
