//! Records in a table of a Postgres database, shared by all processes that use it.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
pub use sqlx::PgConnection;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::count::Counts;
use crate::error::{PutError, StoreError, StoreErrorKind};
use crate::key::UploadKey;
use crate::list::{Cursor, Page};
use crate::store::{
    Expect, Put, UploadStateStore, Version, Versioned, check_record, foreign_cursor, page_records,
};
use crate::versions::FreshVersions;

mod schema;
mod statements;
mod trouble;

pub use schema::POSTGRES_SCHEMA;

/// The most connections that a [`PostgresStore`] makes by itself.
pub const POSTGRES_CONNECTIONS_MAX: u32 = 16;

/// How long a call may take with everything: connecting, waiting for its turn, for a lock, a second try.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a call waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// After how long without use a connection is asked whether it is still good before it is used.
const TRUST_IDLE: Duration = Duration::from_millis(500);

/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Expired records that one statement of a sweep drops.
const SWEEP_STEP: i64 = 1000;

/// Keeps records in the table `upload_records` of a Postgres database, 12 or later.
///
/// A get, put or delete is one statement. A put with an [`OwnerLimit`](crate::OwnerLimit) is a
/// transaction that holds an advisory lock of the owner, so limits are exact over all processes. Versions are
/// random numbers, so they are not reused even where a failover lost what the server had. Time is the database's
/// clock (`clock_timestamp()`); the clocks of the processes that use it do not matter to it, though they do to the
/// leases inside the records.
///
/// The first call makes the table, unless it is there: see [`POSTGRES_SCHEMA`].
///
/// A call ends within three seconds: what takes longer, like a server that is away, starting, out of
/// space or connections, or read-only, is [`StoreErrorKind::Unavailable`]. A connection whose server says that
/// it is read-only is closed, so a name that leads to another server after a failover is enough.
///
/// What an acknowledged put survives is the server's to say: with `synchronous_commit = on`, the default, a
/// crash; a failover only where replication is synchronous too.
pub struct PostgresStore {
    pool: PgPool,
    is_set_up: OnceCell<()>,
    versions: FreshVersions,
}

/// A connection that goes back to its pool when it is dropped.
type Lent = PoolConnection<Postgres>;

impl PostgresStore {
    /// Makes a store on the database at this URL,
    /// `postgres://user:password@host:port/database?sslmode=verify-full`, with a separate pool.
    ///
    /// Nothing is sent yet, so the server may still be away.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Failed`] if the URL is not understood.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        // The client library takes any scheme.
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(trouble::not_understood());
        }
        let options: PgConnectOptions = url.parse().map_err(|_| trouble::not_understood())?;
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(CONNECT_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            // One question more for each call would double what it costs.
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for >= TRUST_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self::with_pool(pool))
    }

    /// Makes a store on a pool of the application's, in whose database the table is.
    pub fn with_pool(pool: PgPool) -> Self {
        Self {
            pool,
            is_set_up: OnceCell::new(),
            versions: FreshVersions::default(),
        }
    }

    /// Makes the table unless it is there, which the first call does as well.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the server is in trouble, or its user may not make tables.
    pub async fn set_up(&self) -> Result<(), StoreError> {
        let made = self.is_set_up.get_or_try_init(|| schema::make(&self.pool));
        made.await.map(drop).map_err(trouble::sort)
    }

    /// Puts a record within a transaction of the application's, to be committed with its own rows.
    ///
    /// The row is locked until the transaction ends, and so is the owner where a limit is given. The table
    /// has to be there: see [`set_up`](Self::set_up).
    ///
    /// # Errors
    ///
    /// See [`put_with`](UploadStateStore::put_with).
    pub async fn put_in(
        &self,
        transaction: &mut PgConnection,
        key: &UploadKey,
        put: Put<'_>,
    ) -> Result<Version, PutError> {
        check_record(put.record)?;
        let version = self.versions.fresh();
        let done = match put.limit {
            None => statements::put(transaction, key, &put, version).await,
            Some(limit) => statements::put_within(transaction, key, &put, limit, version).await,
        };
        done.map_err(trouble::sort)?.into_result()
    }

    /// Deletes a record within a transaction of the application's, to be committed with its own rows.
    ///
    /// # Errors
    ///
    /// See [`delete`](UploadStateStore::delete).
    pub async fn delete_in(
        &self,
        transaction: &mut PgConnection,
        key: &UploadKey,
        expect: Expect,
    ) -> Result<(), PutError> {
        let done = statements::delete(transaction, key, expect).await;
        match done.map_err(trouble::sort)? {
            true => Ok(()),
            false => Err(PutError::Conflict),
        }
    }

    /// Closes the pool, after the running calls. Later calls are answered [`StoreErrorKind::Unavailable`].
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs a call on a connection, and once more where the server became read-only.
    async fn run<T, F>(&self, call: impl Fn(Lent) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = (Lent, sqlx::Result<T>)>,
    {
        let tries = async {
            self.is_set_up
                .get_or_try_init(|| schema::make(&self.pool))
                .await?;
            match self.try_once(&call).await {
                // Nothing was done, so asking again is safe.
                Err(error) if trouble::is_read_only(&error) => self.try_once(&call).await,
                answer => answer,
            }
        };
        match timeout(CALL_TIMEOUT, tries).await {
            Ok(answer) => answer.map_err(trouble::sort),
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "postgres did not answer in time",
            )),
        }
    }

    async fn try_once<T, F>(&self, call: &impl Fn(Lent) -> F) -> sqlx::Result<T>
    where
        F: Future<Output = (Lent, sqlx::Result<T>)>,
    {
        let (mut connection, answer) = call(self.pool.acquire().await?).await;
        if answer.as_ref().is_err_and(trouble::is_read_only) {
            // After a failover its name leads to another server.
            connection.close_on_drop();
        }
        answer
    }
}

/// Leaves the address out: it may hold a password.
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl UploadStateStore for PostgresStore {
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    async fn get(&self, key: &UploadKey) -> Result<Option<Versioned>, StoreError> {
        self.run(|mut lent| async {
            let found = statements::get(&mut lent, key).await;
            (lent, found)
        })
        .await
    }

    async fn put_with(&self, key: &UploadKey, put: Put<'_>) -> Result<Version, PutError> {
        check_record(put.record)?;
        let (put, version) = (&put, self.versions.fresh());
        let call = |mut lent: Lent| async move {
            let done = match put.limit {
                None => statements::put(&mut lent, key, put, version).await,
                Some(limit) => statements::put_alone(&mut lent, key, put, limit, version).await,
            };
            (lent, done)
        };
        self.run(call).await?.into_result()
    }

    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError> {
        let call = |mut lent: Lent| async move {
            let deleted = statements::delete(&mut lent, key, expect).await;
            (lent, deleted)
        };
        match self.run(call).await? {
            true => Ok(()),
            false => Err(PutError::Conflict),
        }
    }

    async fn list(
        &self,
        owner: Option<&str>,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let after = match after {
            None => None,
            Some(after) => {
                Some(UploadKey::from_bytes(after.as_bytes()).ok_or_else(foreign_cursor)?)
            }
        };
        let most = page_records(most);
        let after = after.as_ref();
        let call = |mut lent: Lent| async move {
            let found = statements::list(&mut lent, owner, after, most).await;
            (lent, found)
        };
        let records = self.run(call).await?;
        let last = records.last().filter(|_| records.len() == most);
        let next = last.map(|last| Cursor::new(last.key.to_bytes()));
        Ok(Page { records, next })
    }

    /// Of all owners it is a walk over the whole table.
    async fn count(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        self.run(|mut lent| async move {
            let counts = statements::count(&mut lent, owner).await;
            (lent, counts)
        })
        .await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let mut total = 0_u64;
        loop {
            let call = |mut lent: Lent| async move {
                let dropped = statements::sweep(&mut lent, SWEEP_STEP).await;
                (lent, dropped)
            };
            let dropped = self.run(call).await?;
            total = total.saturating_add(dropped);
            if dropped < SWEEP_STEP.unsigned_abs() {
                return Ok(total);
            }
        }
    }
}
