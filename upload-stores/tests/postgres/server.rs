//! A Postgres server that tests also talk to past the store.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::cluster::PostgresServer;

/// A running `postgres`, stopped when it is dropped.
pub(crate) struct Server(PostgresServer);

impl Server {
    /// Makes a cluster and starts a server on it.
    pub(crate) fn start() -> Self {
        Self(PostgresServer::start())
    }

    pub(crate) fn url(&self) -> String {
        url(self.0.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port
    }

    /// Ends the server at once, without writing anything more.
    pub(crate) fn kill(&mut self) {
        self.0.kill();
    }

    /// Starts the server again, with the same port and directory.
    pub(crate) fn restart(&mut self) {
        self.0.restart();
    }

    /// Makes all new transactions read-only, as those of a standby are, or no more.
    pub(crate) async fn set_read_only(&self, on: bool) {
        self.run(&format!(
            "ALTER SYSTEM SET default_transaction_read_only = {on}"
        ))
        .await;
        self.run("SELECT pg_reload_conf()").await;
    }

    /// Runs a statement past the store.
    pub(crate) async fn run(&self, statement: &str) {
        let mut connection = self.connect().await;
        // Also while all others may only read.
        let writable = "SET default_transaction_read_only = false";
        sqlx::raw_sql(writable)
            .execute(&mut connection)
            .await
            .expect("set");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Returns a connection past the store.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url())
            .await
            .expect("the server is up")
    }
}

/// Returns the URL of whatever listens on this port of this machine.
pub(crate) fn url(port: u16) -> String {
    format!("postgres://uploads@127.0.0.1:{port}/postgres")
}
