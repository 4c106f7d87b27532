//! The guide's factory for a store of the object_store crate, as it is printed.

use std::sync::Arc;

use object_store::memory::InMemory;
use upload_writers::{ObjectStoreSetupError, ObjectStoreWriterConfig, ObjectStoreWriterFactory};

pub fn reports() -> Result<ObjectStoreWriterFactory, ObjectStoreSetupError> {
    let store = Arc::new(InMemory::new());
    ObjectStoreWriterFactory::resumable(store, ObjectStoreWriterConfig::default())
}
