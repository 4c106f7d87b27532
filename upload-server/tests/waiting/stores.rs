//! Each kind of store, with the server that it needs.

use std::{any::Any, sync::Arc};

use tempfile::TempDir;
use upload_server::stores::{
    MemoryStore, PostgresStore, RedbDurability, RedbStore, RedisStore, UploadStateStore,
};

use crate::{postgres_server::PostgresServer, redis_server::RedisServer};

/// A store of a test's own.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn UploadStateStore>,
    /// What has to be there as long as it is used.
    _needs: Box<dyn Any>,
}

impl Opened {
    pub(crate) fn in_memory() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            _needs: Box::new(()),
        }
    }

    pub(crate) async fn embedded() -> Self {
        let dir = TempDir::new().expect("a directory");
        let store = RedbStore::open(dir.path().join("state"), RedbDurability::Process).await;
        Self {
            store: Arc::new(store.expect("the embedded store")),
            _needs: Box::new(dir),
        }
    }

    pub(crate) fn postgres() -> Self {
        let server = PostgresServer::start();
        let url = format!("postgres://uploads@127.0.0.1:{}/postgres", server.port);
        Self {
            store: Arc::new(PostgresStore::connect(&url).expect("a URL")),
            _needs: Box::new(server),
        }
    }

    pub(crate) fn redis() -> Self {
        let server = RedisServer::start();
        let url = format!("redis://127.0.0.1:{}/0", server.port);
        Self {
            store: Arc::new(RedisStore::connect(&url, "waiting:").expect("a URL")),
            _needs: Box::new(server),
        }
    }
}
