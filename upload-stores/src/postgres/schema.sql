-- Nodes of an earlier version take the versions of their records from it.
CREATE SEQUENCE IF NOT EXISTS upload_record_version AS bigint;
CREATE TABLE IF NOT EXISTS upload_records (
    -- As bytes, since a text cannot hold every character that an owner's name can.
    owner bytea NOT NULL,
    upload bytea NOT NULL,
    version bigint NOT NULL,
    expires timestamptz NOT NULL,
    -- 0 as nothing, 1 as an unfinished upload, 2 as a waiting one.
    counts_as smallint NOT NULL,
    declared_bytes bigint NOT NULL,
    record bytea NOT NULL,
    PRIMARY KEY (owner, upload)
);
CREATE INDEX IF NOT EXISTS upload_records_expires ON upload_records (expires);
-- What a limit of an owner counts, without the receipts.
CREATE INDEX IF NOT EXISTS upload_records_counted ON upload_records (owner) WHERE counts_as <> 0;
