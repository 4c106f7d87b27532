//! One connection to Redis, shared by all calls and made anew when it is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult, Value};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use super::trouble;
use crate::error::{StoreError, StoreErrorKind};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the server may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a call may take with everything: connecting, waiting for its turn, a second try.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// After how long without an acknowledgement the system closes a connection to a host that
/// vanished.
#[cfg(target_os = "linux")]
const VANISHED_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls on the way to the server at a time; more wait for their turn.
const CALLS_MAX: usize = 512;

/// Tries to connect again, beyond the first, before the waiting calls fail.
const CONNECT_RETRIES: usize = 1;

/// The pause before such a try.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// How often at most a connection is replaced because its server became a replica: while a failover is
/// not over, a new one leads to the same server.
const REPLACE_PAUSE: Duration = Duration::from_millis(250);

/// Commands sent together.
const PIPELINE_MAX: usize = 128;

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
    shared: Mutex<Shared>,
}

/// The connection of all calls.
struct Shared {
    connection: Arc<OnceCell<Connection>>,
    /// When an earlier one was replaced.
    replaced_at: Option<Instant>,
}

enum Target {
    Single(Client),
    Cluster(Box<ClusterClient>),
    /// A connection of the application's, which makes it anew by itself.
    Given(Connection),
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

    /// Makes connections with a client of the application's.
    pub(super) fn client(client: Client) -> Self {
        Self::new(Target::Single(client))
    }

    /// Uses a connection of the application's.
    pub(super) fn given_single(connection: ConnectionManager) -> Self {
        Self::new(Target::Given(Connection::Single(connection)))
    }

    /// Uses a connection of the application's to a cluster.
    pub(super) fn given_cluster(connection: ClusterConnection) -> Self {
        Self::new(Target::Given(Connection::Cluster(connection)))
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
            shared: Mutex::new(Shared {
                connection: Arc::default(),
                replaced_at: None,
            }),
        }
    }

    /// Sends a command and waits for its answer, a bounded time.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        retry: Retry,
    ) -> RedisResult<T> {
        let tries = async {
            let connection = self.connection();
            match self.try_once(&connection, command).await {
                // Also the first call after an outage finds the trouble of the last one during it.
                Err(error) if may_send_again(&error, retry) => {
                    self.try_once(&self.connection(), command).await
                }
                // After a failover the name leads to another server, while the connection to this one
                // stays as good as ever. Nothing was done, so asking again is safe.
                Err(error) if trouble::is_of_a_replica(&error) && self.replace(&connection) => {
                    self.try_once(&self.connection(), command).await
                }
                answer => answer,
            }
        };
        bounded(tries).await
    }

    /// Returns a slot of each primary of a cluster, in order; 0 for a server alone.
    pub(super) async fn primaries(&self) -> RedisResult<Vec<u16>> {
        let connection = self.connection();
        let connection = connection.get_or_try_init(|| self.open()).await?;
        if matches!(connection, Connection::Single(_)) {
            return Ok(vec![0]);
        }
        let mut command = Cmd::new();
        command.arg("CLUSTER").arg("SLOTS");
        let ranges: Vec<Vec<Value>> = self.query(&command, Retry::Always).await?;
        let mut first_slots = BTreeMap::new();
        for range in ranges {
            // First slot, last slot, and what the primary is called.
            if let [first, _, Value::Array(primary), ..] = range.as_slice() {
                let first = u16::from_redis_value_ref(first)?;
                let slot = first_slots.entry(format!("{primary:?}")).or_insert(first);
                *slot = first.min(*slot);
            }
        }
        let mut slots: Vec<u16> = first_slots.into_values().collect();
        slots.sort_unstable();
        Ok(slots)
    }

    /// Sends a command that changes nothing to the server that has this slot.
    pub(super) async fn query_at<T: FromRedisValue>(
        &self,
        slot: u16,
        command: &Cmd,
    ) -> RedisResult<T> {
        let connection = self.connection();
        let asked = async {
            match connection.get_or_try_init(|| self.open()).await?.clone() {
                Connection::Single(_) => self.query(command, Retry::Always).await,
                Connection::Cluster(mut connection) => {
                    let route = Route::new(slot, SlotAddr::Master);
                    let node = SingleNodeRoutingInfo::SpecificNode(route);
                    let routing = RoutingInfo::SingleNode(node);
                    let answer = connection.route_command(command.clone(), routing).await?;
                    Ok(T::from_redis_value(answer)?)
                }
            }
        };
        bounded(asked).await
    }

    /// Sends commands that change nothing, one after the other or all at once.
    pub(super) async fn query_each<T: FromRedisValue>(
        &self,
        commands: &[Cmd],
    ) -> RedisResult<Vec<T>> {
        let mut answers = Vec::with_capacity(commands.len());
        let connection = self.connection();
        let connection = connection.get_or_try_init(|| self.open()).await?;
        match connection.clone() {
            Connection::Single(mut connection) => {
                for commands in commands.chunks(PIPELINE_MAX) {
                    let mut pipeline = redis::pipe();
                    for command in commands {
                        pipeline.add_command(command.clone());
                    }
                    let some: Vec<T> = bounded(pipeline.query_async(&mut connection)).await?;
                    answers.extend(some);
                }
            }
            Connection::Cluster(_) => {
                for command in commands {
                    answers.push(self.query(command, Retry::Always).await?);
                }
            }
        }
        Ok(answers)
    }

    fn connection(&self) -> Arc<OnceCell<Connection>> {
        Arc::clone(&self.lock().connection)
    }

    /// Gives a connection up, if it is the one in use; returns whether there is another one to try.
    fn replace(&self, old: &Arc<OnceCell<Connection>>) -> bool {
        if matches!(self.target, Target::Given(_)) {
            // Only its application can connect it to another server.
            return false;
        }
        let mut shared = self.lock();
        if !Arc::ptr_eq(old, &shared.connection) {
            return true;
        }
        let is_soon = |at: Instant| at.elapsed() < REPLACE_PAUSE;
        if shared.replaced_at.is_some_and(is_soon) {
            return false;
        }
        shared.replaced_at = Some(Instant::now());
        shared.connection = Arc::default();
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        // It is exchanged as a whole, whatever panics elsewhere.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_once<T: FromRedisValue>(
        &self,
        connection: &OnceCell<Connection>,
        command: &Cmd,
    ) -> RedisResult<T> {
        let connection = connection.get_or_try_init(|| self.open()).await?;
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
            Target::Given(connection) => Ok(connection.clone()),
        }
    }
}

/// Waits a bounded time.
async fn bounded<T>(asked: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(CALL_TIMEOUT, asked).await.unwrap_or_else(|_| {
        Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time").into())
    })
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
