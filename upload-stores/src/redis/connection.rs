//! One connection to Redis, shared by all calls and made anew when it is lost.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::error::{StoreError, StoreErrorKind};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the server may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a call may take with everything: connecting, waiting for its turn, a second try.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// After how long without an acknowledgement the system gives up a connection to a host that
/// vanished.
#[cfg(target_os = "linux")]
const VANISHED_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls on the way to the server at a time; more wait for their turn.
const CALLS_MAX: usize = 512;

/// Tries to connect again, beyond the first, before the waiting calls fail.
const CONNECT_RETRIES: usize = 1;

/// The pause before such a try.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Times a cluster call follows the cluster's changes.
const CLUSTER_RETRIES: u32 = 3;

/// When a call whose connection was lost is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Twice has the effect of once.
    Always,
    /// Only if the first cannot have been sent.
    Unsent,
}

/// The way to a server or a cluster, and the connection once the first call made it.
pub(super) struct Connector {
    target: Target,
    connection: OnceCell<Connection>,
}

enum Target {
    Single(Client),
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connector {
    pub(super) fn single(url: &str) -> Result<Self, StoreError> {
        let info = url.into_connection_info().map_err(not_understood)?;
        let info = info.set_tcp_settings(tcp_settings());
        Ok(Self::new(Target::Single(
            Client::open(info).map_err(not_understood)?,
        )))
    }

    pub(super) fn cluster(urls: Vec<String>) -> Result<Self, StoreError> {
        let client = ClusterClient::builder(urls)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(ANSWER_TIMEOUT)
            .connection_concurrency_limit(CALLS_MAX)
            .retries(CLUSTER_RETRIES)
            .tcp_settings(tcp_settings())
            .build()
            .map_err(not_understood)?;
        Ok(Self::new(Target::Cluster(Box::new(client))))
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            connection: OnceCell::new(),
        }
    }

    /// Sends a command and waits for its answer, a bounded time.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        retry: Retry,
    ) -> RedisResult<T> {
        let tries = async {
            match self.try_once(command).await {
                // Also the first call after an outage finds the trouble of the last one during it.
                Err(error) if may_send_again(&error, retry) => self.try_once(command).await,
                answer => answer,
            }
        };
        timeout(CALL_TIMEOUT, tries).await.unwrap_or_else(|_| {
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time").into())
        })
    }

    async fn try_once<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let connection = self.connection.get_or_try_init(|| self.open()).await?;
        match connection.clone() {
            Connection::Single(mut connection) => command.query_async(&mut connection).await,
            Connection::Cluster(mut connection) => command.query_async(&mut connection).await,
        }
    }

    async fn open(&self) -> RedisResult<Connection> {
        match &self.target {
            Target::Single(client) => {
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(Some(ANSWER_TIMEOUT))
                    .set_number_of_retries(CONNECT_RETRIES)
                    .set_min_delay(CONNECT_PAUSE)
                    .set_concurrency_limit(CALLS_MAX)
                    .set_pipeline_buffer_size(CALLS_MAX);
                ConnectionManager::new_lazy_with_config(client.clone(), config)
                    .map(Connection::Single)
            }
            Target::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

fn may_send_again(error: &RedisError, retry: Retry) -> bool {
    match retry {
        Retry::Always => error.is_connection_dropped(),
        Retry::Unsent => error.is_connection_refusal(),
    }
}

fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(VANISHED_TIMEOUT);
    settings
}

fn not_understood(error: RedisError) -> StoreError {
    StoreError::new(
        StoreErrorKind::Failed,
        "the address of the Redis server is not understood",
    )
    .with_source(error)
}
