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
    /// What another node has: with its own connections, where nodes share the records.
    pub(crate) other: Arc<dyn UploadStateStore>,
    /// What has to be there as long as it is used.
    _needs: Box<dyn Any>,
}

impl Opened {
    fn alone(store: Arc<dyn UploadStateStore>, needs: impl Any) -> Self {
        Self {
            other: Arc::clone(&store),
            store,
            _needs: Box::new(needs),
        }
    }

    pub(crate) fn in_memory() -> Self {
        Self::alone(Arc::new(MemoryStore::new()), ())
    }

    pub(crate) async fn embedded() -> Self {
        let dir = TempDir::new().expect("a directory");
        let store = RedbStore::open(dir.path().join("state"), RedbDurability::Process).await;
        Self::alone(Arc::new(store.expect("the embedded store")), dir)
    }

    pub(crate) fn postgres() -> Self {
        let server = PostgresServer::start();
        let url = format!("postgres://uploads@127.0.0.1:{}/postgres", server.port);
        let connect = || Arc::new(PostgresStore::connect(&url).expect("a URL"));
        Self {
            store: connect(),
            other: connect(),
            _needs: Box::new(server),
        }
    }

    pub(crate) fn redis() -> Self {
        let server = RedisServer::start();
        let url = format!("redis://127.0.0.1:{}/0", server.port);
        let connect = || Arc::new(RedisStore::connect(&url, "waiting:").expect("a URL"));
        Self {
            store: connect(),
            other: connect(),
            _needs: Box::new(server),
        }
    }
}
