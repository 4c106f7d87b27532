//! The table, and making it.

use sqlx::postgres::PgPool;

/// The statements that make the table of a [`PostgresStore`](crate::PostgresStore), for databases whose
/// application makes all tables itself. Run again, they change nothing.
pub const POSTGRES_SCHEMA: &str = include_str!("schema.sql");

/// The lock of the process that makes the table: `CREATE ... IF NOT EXISTS` fails where two do it at once.
const LOCK: i64 = 0x0075_706c_6f61_6473;

/// How long making the index of a table that is in use waits for those who write to it, who wait behind it.
const INDEX_LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s'";

/// Makes the table unless it is there, and begins to make the index that one of an earlier version lacks.
pub(super) async fn make(pool: &PgPool) -> sqlx::Result<()> {
    // A user that may not make tables can use one that is there.
    let exists = "SELECT to_regclass('upload_records') IS NOT NULL \
                  AND to_regclass('upload_records_expires') IS NOT NULL, \
                  to_regclass('upload_records_counted') IS NOT NULL";
    let (exists, is_whole): (bool, bool) = sqlx::query_as(exists).fetch_one(pool).await?;
    if exists {
        if !is_whole {
            // It may take longer than any call, and every call works without it.
            tokio::spawn(add_index(pool.clone()));
        }
        return Ok(());
    }
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(POSTGRES_SCHEMA)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Makes what a table of an earlier version lacks; one process at a time, and once more at the next start where
/// it fails.
async fn add_index(pool: PgPool) {
    let added = async {
        let mut transaction = pool.begin().await?;
        let (is_alone,): (bool,) = sqlx::query_as("SELECT pg_try_advisory_xact_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *transaction)
            .await?;
        if is_alone {
            for statements in [INDEX_LOCK_TIMEOUT, POSTGRES_SCHEMA] {
                sqlx::raw_sql(statements).execute(&mut *transaction).await?;
            }
        }
        transaction.commit().await
    };
    let added: sqlx::Result<()> = added.await;
    if let Err(error) = added {
        tracing::warn!(
            %error,
            "the index upload_records_counted could not be made: registrations of owners with many records are slow"
        );
    }
}
