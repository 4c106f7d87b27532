//! The table, and making it.

use sqlx::postgres::PgPool;

/// The statements that make the table of a [`PostgresStore`](crate::PostgresStore), for databases whose
/// application makes all tables itself. Run again, they change nothing.
pub const POSTGRES_SCHEMA: &str = include_str!("schema.sql");

/// The lock of the process that makes the table: `CREATE ... IF NOT EXISTS` fails where two do it at once.
const LOCK: i64 = 0x0075_706c_6f61_6473;

/// Makes the table unless it is there.
pub(super) async fn make(pool: &PgPool) -> sqlx::Result<()> {
    // A user that may not make tables can use one that is there.
    let exists = "SELECT to_regclass('upload_records') IS NOT NULL \
                  AND to_regclass('upload_record_version') IS NOT NULL \
                  AND to_regclass('upload_records_expires') IS NOT NULL";
    let (exists,): (bool,) = sqlx::query_as(exists).fetch_one(pool).await?;
    if exists {
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
