//! Windows into private parsers, for the fuzzer; not part of the interface.

use crate::{
    Checkpoint, UploadFacts, file,
    key::{self, Object},
    object_store,
};

/// What an object is stored as.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// Its media type.
    pub content_type: String,
    /// Its `Content-Disposition`.
    pub disposition: String,
}

/// Tells whether keys can begin like this.
pub fn is_prefix(prefix: &str) -> bool {
    key::is_prefix(prefix)
}

/// Describes the object of an upload that has no folder.
pub fn object(prefix: &str, facts: &UploadFacts) -> Stored {
    let Object {
        key,
        content_type,
        disposition,
        ..
    } = Object::new(prefix, facts).expect("facts without a folder");
    Stored {
        key,
        content_type,
        disposition,
    }
}

/// Reads a file writer's checkpoint: the temporary name and the final one, both relative.
pub fn file_checkpoint(checkpoint: &Checkpoint, facts: &UploadFacts) -> Option<(String, String)> {
    file::read_checkpoint(checkpoint, facts)
}

/// Reads an object store's checkpoint: the key.
pub fn store_checkpoint(
    checkpoint: &Checkpoint,
    facts: &UploadFacts,
    prefix: &str,
) -> Option<String> {
    object_store::read_checkpoint(checkpoint, facts, prefix)
}
