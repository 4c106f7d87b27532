//! Taking a finished upload within a transaction of the application's: its rows and the upload are committed together,
//! or neither is.

use std::{sync::Arc, time::Duration};

use upload_stores::{
    Expect, Facts, PgConnection, PostgresStore, Put, PutError, UploadKey, UploadStateStore, Version,
};

use super::{
    entry::UploadedEntry,
    lent::{Ask, LentUpload, ask},
    unclaimed::failed,
    waiting::TakeError,
};

/// How often it is tried again, where the loan was renewed meanwhile.
const ROUNDS_MAX: u32 = 4;

/// The record to write, and where.
pub(crate) struct Taking {
    pub(super) key: UploadKey,
    pub(super) record: Vec<u8>,
    pub(super) version: Version,
    pub(super) ttl: Duration,
    pub(super) facts: Facts,
    pub(super) store: Arc<dyn UploadStateStore>,
}

impl LentUpload {
    /// Takes the upload within a transaction of the database that has its record.
    ///
    /// Once the transaction commits, the upload is the application's for good, together with what else the
    /// transaction wrote. If it does not commit, the upload is given back.
    ///
    /// Until then the record's row is locked: another handler that wants the upload waits for the transaction.
    /// A file that is moved is moved before, by [`UploadedEntry::persist`], which a repetition finds moved.
    ///
    /// ```
    /// # async fn save(
    /// #     uploads: upload_server::Uploads, db: sqlx::PgPool, owner: String, avatar: upload_server::proto::UploadRef,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let avatar = uploads.lend(&owner, avatar).await?;
    /// let file = format!("avatars/{}", avatar.take_id());
    /// avatar.entry().persist(&file).await?;
    /// let mut transaction = db.begin().await?;
    /// let row = sqlx::query("UPDATE people SET avatar = $1 WHERE name = $2").bind(file).bind(owner);
    /// row.execute(&mut *transaction).await?;
    /// avatar.take_in(&mut transaction).await?;
    /// // If this fails, neither the row nor the upload is changed.
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TakeError::NotInPostgres`] if its record is in another store. [`TakeError::Lost`] if another handler may
    /// have it by now. [`TakeError::Unavailable`] if the database fails; roll the transaction back then. A
    /// transaction that is isolated more than `READ COMMITTED` may fail where the loan was renewed since it began.
    pub async fn take_in(self, transaction: &mut PgConnection) -> Result<UploadedEntry, TakeError> {
        self.entry.place().moves_end().await;
        for _ in 0..ROUNDS_MAX {
            let taking = ask(&self.asks, Ask::TakeIn).await?;
            let store = taking.store.as_any();
            let store = store.and_then(|any| any.downcast_ref::<PostgresStore>());
            let store = store.ok_or(TakeError::NotInPostgres)?;
            let put = Put::new(&taking.record, Expect::Version(taking.version), taking.ttl);
            match store
                .put_in(transaction, &taking.key, put.counted(taking.facts))
                .await
            {
                Ok(_) => return Ok(self.entry.clone()),
                // The loan was renewed, or is over.
                Err(PutError::Conflict) => {}
                Err(error) => return Err(failed("take in a transaction", &error)),
            }
        }
        Err(TakeError::Lost)
    }
}
