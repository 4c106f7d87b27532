//! What is asked of the database.

use sqlx::{Connection, PgConnection};

use crate::count::{Counts, CountsAs, Facts, OwnerLimit, Tally};
use crate::error::PutError;
use crate::key::UploadKey;
use crate::list::Listed;
use crate::store::{Expect, Put, Version, Versioned, ttl_millis};

/// The result of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Stored(Version),
    Conflict,
    OverLimit,
}

impl Done {
    pub(super) fn into_result(self) -> Result<Version, PutError> {
        match self {
            Self::Stored(version) => Ok(version),
            Self::Conflict => Err(PutError::Conflict),
            Self::OverLimit => Err(PutError::OverLimit),
        }
    }
}

pub(super) async fn get(
    connection: &mut PgConnection,
    key: &UploadKey,
) -> sqlx::Result<Option<Versioned>> {
    let found: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT version, record FROM upload_records \
         WHERE owner = $1 AND upload = $2 AND expires > clock_timestamp()",
    )
    .bind(key.owner().as_bytes())
    .bind(key.upload().as_slice())
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|(version, record)| versioned(version, record)))
}

/// Puts a record under its condition, whatever its owner has. The version is one that no record ever had.
pub(super) async fn put(
    connection: &mut PgConnection,
    key: &UploadKey,
    put: &Put<'_>,
    version: Version,
) -> sqlx::Result<Done> {
    let ttl_ms = i64::try_from(ttl_millis(put.ttl)).unwrap_or(i64::MAX);
    let expected = match put.expect {
        Expect::Absent => None,
        Expect::Version(version) => match i64::try_from(version.0) {
            Ok(version) => Some(version),
            // No version of ours.
            Err(_) => return Ok(Done::Conflict),
        },
    };
    let statement = match expected {
        None => sqlx::query_as(
            "INSERT INTO upload_records AS old \
             (owner, upload, version, expires, counts_as, declared_bytes, record) \
             VALUES ($1, $2, $7, \
                     clock_timestamp() + $3 * interval '1 millisecond', $4, $5, $6) \
             ON CONFLICT (owner, upload) DO UPDATE \
             SET version = excluded.version, expires = excluded.expires, \
                 counts_as = excluded.counts_as, declared_bytes = excluded.declared_bytes, \
                 record = excluded.record \
             WHERE old.expires <= clock_timestamp() RETURNING version",
        ),
        Some(_) => sqlx::query_as(
            "UPDATE upload_records \
             SET version = $7, \
                 expires = clock_timestamp() + $3 * interval '1 millisecond', \
                 counts_as = $4, declared_bytes = $5, record = $6 \
             WHERE owner = $1 AND upload = $2 AND version = $8 AND expires > clock_timestamp() \
             RETURNING version",
        ),
    };
    let statement = statement
        .bind(key.owner().as_bytes())
        .bind(key.upload().as_slice())
        .bind(ttl_ms)
        .bind(i16::from(put.facts.counts_as.code()))
        .bind(put.facts.bytes().cast_signed())
        .bind(put.record)
        .bind(version.0.cast_signed());
    let statement = match expected {
        None => statement,
        Some(version) => statement.bind(version),
    };
    let stored: Option<(i64,)> = statement.fetch_optional(connection).await?;
    Ok(stored.map_or(Done::Conflict, |(version,)| {
        Done::Stored(Version(version.cast_unsigned()))
    }))
}

/// Puts a record under its condition if its owner is within the limit then. Runs in a transaction, and
/// holds the owner's lock to its end.
pub(super) async fn put_within(
    transaction: &mut PgConnection,
    key: &UploadKey,
    put: &Put<'_>,
    limit: OwnerLimit,
    version: Version,
) -> sqlx::Result<Done> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 7596))")
        .bind(key.owner().as_bytes())
        .execute(&mut *transaction)
        .await?;
    let old: Option<(i64, i16, i64)> = sqlx::query_as(
        "SELECT version, counts_as, declared_bytes FROM upload_records \
         WHERE owner = $1 AND upload = $2 AND expires > clock_timestamp() FOR UPDATE",
    )
    .bind(key.owner().as_bytes())
    .bind(key.upload().as_slice())
    .fetch_optional(&mut *transaction)
    .await?;
    let found = old.map(|(version, ..)| Version(version.cast_unsigned()));
    if !put.expect.holds(found) {
        return Ok(Done::Conflict);
    }
    let old = old.map(|(_, counts_as, bytes)| facts(counts_as, bytes));
    let counts = counted(transaction, key.owner()).await?;
    if !limit.permits(&counts, old, put.facts) {
        return Ok(Done::OverLimit);
    }
    self::put(transaction, key, put, version).await
}

/// The same in a separate transaction.
pub(super) async fn put_alone(
    connection: &mut PgConnection,
    key: &UploadKey,
    put: &Put<'_>,
    limit: OwnerLimit,
    version: Version,
) -> sqlx::Result<Done> {
    // Each statement has to see what was committed before it got the owner's lock.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
    let mut transaction = connection.begin_with(begin).await?;
    let done = put_within(&mut transaction, key, put, limit, version).await?;
    transaction.commit().await?;
    Ok(done)
}

/// Returns whether the record was as expected.
pub(super) async fn delete(
    connection: &mut PgConnection,
    key: &UploadKey,
    expect: Expect,
) -> sqlx::Result<bool> {
    let (owner, upload) = (key.owner().as_bytes(), key.upload().as_slice());
    match expect {
        Expect::Absent => {
            sqlx::query(
                "DELETE FROM upload_records \
                 WHERE owner = $1 AND upload = $2 AND expires <= clock_timestamp()",
            )
            .bind(owner)
            .bind(upload)
            .execute(&mut *connection)
            .await?;
            Ok(get(connection, key).await?.is_none())
        }
        Expect::Version(version) => {
            let Ok(version) = i64::try_from(version.0) else {
                return Ok(false);
            };
            let deleted = sqlx::query(
                "DELETE FROM upload_records \
                 WHERE owner = $1 AND upload = $2 AND version = $3 AND expires > clock_timestamp()",
            )
            .bind(owner)
            .bind(upload)
            .bind(version)
            .execute(connection)
            .await?;
            Ok(deleted.rows_affected() == 1)
        }
    }
}

/// Returns the next records in the order of owner and upload id.
pub(super) async fn list(
    connection: &mut PgConnection,
    owner: Option<&str>,
    after: Option<&UploadKey>,
    most: usize,
) -> sqlx::Result<Vec<Listed>> {
    type Row = (Vec<u8>, Vec<u8>, i64, i16, i64, Vec<u8>);

    // Before the first upload id there is the empty one.
    let (from_owner, from_upload) = match after {
        Some(after) => (after.owner(), after.upload().as_slice()),
        None => (owner.unwrap_or_default(), &[][..]),
    };
    let statement = match owner {
        Some(_) => {
            "SELECT owner, upload, version, counts_as, declared_bytes, record FROM upload_records \
             WHERE owner = $1 AND upload > $2 AND expires > clock_timestamp() \
             ORDER BY owner, upload LIMIT $3"
        }
        None => {
            "SELECT owner, upload, version, counts_as, declared_bytes, record FROM upload_records \
             WHERE (owner, upload) > ($1, $2) AND expires > clock_timestamp() \
             ORDER BY owner, upload LIMIT $3"
        }
    };
    let rows: Vec<Row> = sqlx::query_as(statement)
        .bind(owner.unwrap_or(from_owner).as_bytes())
        .bind(from_upload)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let listed = |(owner, upload, version, counts_as, bytes, record): Row| {
        let key = UploadKey::new(String::from_utf8(owner)?, upload.as_slice().try_into()?)?;
        Ok(Listed {
            key,
            stored: versioned(version, record),
            facts: facts(counts_as, bytes),
        })
    };
    rows.into_iter()
        .map(|row| listed(row).map_err(sqlx::Error::Decode))
        .collect()
}

pub(super) async fn count(
    connection: &mut PgConnection,
    owner: Option<&str>,
) -> sqlx::Result<Counts> {
    // Sums are of type numeric; what is past 63 bits is cut.
    const COUNT: &str = "SELECT counts_as, count(*), \
                least(sum(declared_bytes), 9223372036854775807)::bigint, \
                sum(octet_length(record) + octet_length(owner) + 128)::bigint \
         FROM upload_records WHERE expires > clock_timestamp() GROUP BY counts_as";
    const COUNT_OF: &str = "SELECT counts_as, count(*), \
                least(sum(declared_bytes), 9223372036854775807)::bigint, \
                sum(octet_length(record) + octet_length(owner) + 128)::bigint \
         FROM upload_records WHERE owner = $1 AND expires > clock_timestamp() GROUP BY counts_as";

    let statement = match owner {
        None => sqlx::query_as(COUNT),
        Some(owner) => sqlx::query_as(COUNT_OF).bind(owner.as_bytes()),
    };
    let rows: Vec<(i16, i64, i64, i64)> = statement.fetch_all(connection).await?;
    let mut counts = Counts::default();
    for (counts_as, records, declared, bytes) in rows {
        let tally = |bytes: i64| Tally {
            records: records.cast_unsigned(),
            bytes: bytes.cast_unsigned(),
        };
        counts.all = counts.all.plus(tally(bytes));
        match facts(counts_as, 0).counts_as {
            CountsAs::Nothing => {}
            CountsAs::Unfinished => counts.unfinished = tally(declared),
            CountsAs::Waiting => counts.waiting = tally(declared),
        }
    }
    Ok(counts)
}

/// Returns what an owner has that a limit counts, without the receipts: they may be many.
async fn counted(connection: &mut PgConnection, owner: &str) -> sqlx::Result<Counts> {
    // The condition is word for word that of the index.
    let rows: Vec<(i16, i64, i64)> = sqlx::query_as(
        "SELECT counts_as, count(*), \
                least(sum(declared_bytes), 9223372036854775807)::bigint \
         FROM upload_records \
         WHERE owner = $1 AND counts_as <> 0 AND expires > clock_timestamp() \
         GROUP BY counts_as",
    )
    .bind(owner.as_bytes())
    .fetch_all(connection)
    .await?;
    let mut counts = Counts::default();
    for (counts_as, records, declared) in rows {
        let tally = Tally {
            records: records.cast_unsigned(),
            bytes: declared.cast_unsigned(),
        };
        match facts(counts_as, 0).counts_as {
            CountsAs::Nothing => {}
            CountsAs::Unfinished => counts.unfinished = tally,
            CountsAs::Waiting => counts.waiting = tally,
        }
    }
    Ok(counts)
}

/// Drops some of what expired, and returns how many.
pub(super) async fn sweep(connection: &mut PgConnection, most: i64) -> sqlx::Result<u64> {
    // What another sweep drops at the same time is passed over.
    let swept = sqlx::query(
        "DELETE FROM upload_records WHERE ctid = ANY (ARRAY( \
         SELECT ctid FROM upload_records WHERE expires <= now() LIMIT $1 \
         FOR UPDATE SKIP LOCKED)) AND expires <= now()",
    )
    .bind(most)
    .execute(connection)
    .await?;
    Ok(swept.rows_affected())
}

fn versioned(version: i64, record: Vec<u8>) -> Versioned {
    Versioned {
        record,
        version: Version(version.cast_unsigned()),
    }
}

fn facts(counts_as: i16, bytes: i64) -> Facts {
    let code = u8::try_from(counts_as).ok();
    let counts_as = code.and_then(CountsAs::from_code).unwrap_or_default();
    Facts::new(counts_as, u64::try_from(bytes).unwrap_or_default())
}
