//! Credentials as the AWS SDK finds them: the environment, profiles, single sign-on, and the roles of workloads,
//! containers and machines.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_s3::config::{ProvideCredentials, SharedCredentialsProvider};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::AwsCredentials;

/// How long credentials are used before the chain is asked again.
const FRESH: Duration = Duration::from_secs(60);
/// How long it is not asked again after it found none.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Longest time it may take.
const FIND_MAX: Duration = Duration::from_secs(5);

/// The chain, and what it found last.
pub(crate) struct Chain {
    provider: Option<SharedCredentialsProvider>,
    last: Mutex<Option<Found>>,
}

struct Found {
    credentials: Option<AwsCredentials>,
    at: Instant,
    fresh: Duration,
}

impl Chain {
    /// Asks whatever an SDK's configuration names.
    pub(crate) fn of(sdk: &SdkConfig) -> Self {
        Self {
            provider: sdk.credentials_provider(),
            last: Mutex::default(),
        }
    }

    /// Finds credentials; those who ask at a time wait for one answer.
    pub(crate) async fn find(&self) -> Option<AwsCredentials> {
        let mut last = self.last.lock().await;
        if let Some(last) = last.as_ref().filter(|last| last.at.elapsed() < last.fresh) {
            return last.credentials.clone();
        }
        let (credentials, fresh) = self.ask().await;
        *last = Some(Found {
            credentials: credentials.clone(),
            at: Instant::now(),
            fresh,
        });
        credentials
    }

    /// Returns credentials, and how long they may be used.
    async fn ask(&self) -> (Option<AwsCredentials>, Duration) {
        let Some(provider) = &self.provider else {
            return (None, RETRY_AFTER);
        };
        let error = match timeout(FIND_MAX, provider.provide_credentials()).await {
            Ok(Ok(found)) => {
                let left = found.expiry().map(|expiry| {
                    let left = expiry.duration_since(SystemTime::now());
                    left.unwrap_or_default()
                });
                let credentials = AwsCredentials {
                    access_key_id: found.access_key_id().to_owned(),
                    secret: found.secret_access_key().to_owned(),
                    session_token: found.session_token().map(str::to_owned),
                };
                return (Some(credentials), left.unwrap_or(FRESH).min(FRESH));
            }
            Ok(Err(error)) => crate::text::chain(&error),
            Err(error) => error.to_string(),
        };
        tracing::warn!(error, "the SDK finds no credentials");
        (None, RETRY_AFTER)
    }
}
