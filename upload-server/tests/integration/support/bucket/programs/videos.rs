//! The guide's factory for S3, as it is printed.

use upload_writers::{S3ConfigError, S3Provider, S3WriterConfig, S3WriterFactory};

/// `client` is yours, with your credentials, region, endpoint and HTTP client; without an endpoint it is for AWS.
pub fn videos(
    client: &aws_sdk_s3::Client,
    bucket: &str,
    endpoint: Option<&str>,
) -> Result<S3WriterFactory, S3ConfigError> {
    let mut config = S3WriterConfig::new(bucket);
    config.prefix = "videos/".to_owned();
    config.provider = S3Provider::of_endpoint(endpoint);
    config.max_parts_in_flight = 4;
    S3WriterFactory::new(client, config)
}
