//! What the records of uploads name, so that a sweep leaves it alone.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::Value;

use super::Checkpoint;

/// How many names are kept, of some 16 bytes of memory each. With more, nothing is known for certain.
const NAMES_MAX: usize = 1_000_000;

/// What the checkpoints of recorded uploads name.
///
/// Only its writer understands a checkpoint, so every text in it counts as a name. Of each one a hash is
/// kept; two names with one hash only keep too much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedUploads {
    names: HashSet<u64>,
    is_partial: bool,
}

impl NamedUploads {
    /// Returns the names where not all records could be read. A sweep then removes nothing that a record
    /// may name.
    pub fn unknown() -> Self {
        Self {
            names: HashSet::new(),
            is_partial: true,
        }
    }

    /// Adds what the checkpoint of a recorded upload names.
    pub fn add(&mut self, checkpoint: &Checkpoint) {
        let mut values = vec![&checkpoint.0];
        while let Some(value) = values.pop() {
            match value {
                Value::String(text) => self.add_name(text),
                Value::Array(all) => values.extend(all),
                Value::Object(all) => values.extend(all.values()),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
    }

    /// Returns whether the names are those of all records.
    pub fn is_whole(&self) -> bool {
        !self.is_partial
    }

    /// Returns whether a record may name this; an empty name is none.
    pub fn has(&self, name: &str) -> bool {
        !name.is_empty() && (self.is_partial || self.names.contains(&hash(name)))
    }

    fn add_name(&mut self, name: &str) {
        if self.names.len() < NAMES_MAX {
            self.names.insert(hash(name));
        } else {
            self.is_partial = true;
        }
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_of_a_checkpoint_is_a_name() {
        let mut named = NamedUploads::default();
        named.add(&Checkpoint(json!({
            "v": 1,
            "upload": "u-1",
            "inner": { "key": "a/b", "ids": ["x", ""], "none": null },
        })));
        for name in ["u-1", "a/b", "x"] {
            assert!(named.has(name), "{name}");
        }
        for name in ["upload", "u-2", "a", ""] {
            assert!(!named.has(name), "{name}");
        }
        assert!(named.is_whole());
    }

    #[test]
    fn names_past_the_limit_are_not_known() {
        let mut named = NamedUploads::default();
        for number in 0..NAMES_MAX {
            named.add_name(&number.to_string());
        }
        assert!(named.is_whole() && !named.has("new"));
        named.add_name("new");
        assert!(!named.is_whole() && named.has("any"));
        assert_eq!(named.names.len(), NAMES_MAX);
        assert!(!NamedUploads::unknown().is_whole());
    }
}
