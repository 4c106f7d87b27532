//! Sending a file to S3: our writer, fed with chunks that are ready, next to a bare loop of the SDK's
//! `upload_part` on parts that are ready.
//!
//! `sink` serves a bucket that drops what it receives, in a separate process.
//! `bare` and `writer` each send a file to it, or to any other bucket, and end with one line of JSON.
//! A counting allocator measures how much memory was allocated besides the payload, which was there before.

#[path = "s3/sink.rs"]
mod sink;

use std::{collections::VecDeque, time::Instant};

use anyhow::{Context, Result, bail};
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation},
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use clap::{Args, Parser};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::task::JoinSet;
use upload_writers::{S3Provider, S3WriterConfig, S3WriterFactory, UploadFacts, WriterFactory};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

#[derive(Parser)]
enum Command {
    /// Serve a bucket that keeps nothing
    Sink {
        /// Where to listen
        #[arg(long)]
        listen: String,
    },
    /// Send parts with the SDK alone
    Bare(Load),
    /// Send chunks through the writer
    Writer(Load),
}

#[derive(Args, Clone)]
struct Load {
    /// Address of the bucket
    #[arg(long)]
    endpoint: String,
    /// The bucket
    #[arg(long, default_value = "bucket")]
    bucket: String,
    /// The region
    #[arg(long, default_value = "garage")]
    region: String,
    /// The access key
    #[arg(long, default_value = "GK000000000000000000000000")]
    key_id: String,
    /// Its secret
    #[arg(long, default_value = "secret")]
    secret: String,
    /// What the bucket can do, as in configuration files
    #[arg(long, default_value = "garage")]
    provider: String,
    /// Parts of the file
    #[arg(long, default_value_t = 100)]
    parts: usize,
    /// Bytes of a part
    #[arg(long, default_value_t = 5 << 20)]
    part: usize,
    /// Bytes of a chunk
    #[arg(long, default_value_t = 65536)]
    chunk: usize,
    /// Parts sent at a time
    #[arg(long, default_value_t = 4)]
    in_flight: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let (load, is_bare) = match Command::parse() {
        Command::Sink { listen } => return sink::serve(&listen).await,
        Command::Bare(load) => (load, true),
        Command::Writer(load) => (load, false),
    };
    if load.parts == 0 || load.chunk == 0 || load.part < load.chunk {
        bail!("a load needs parts, and chunks that are no larger");
    }
    let client = load.client();
    // Not all the same bytes, and made once: neither way is to pay for them.
    let part: Vec<u8> = (0..load.part)
        .map(|at| (at * 31 + at / 4093) as u8)
        .collect();
    let part = Bytes::from(part);
    let report = if is_bare {
        bare(&client, &load, part).await?
    } else {
        writer(&client, &load, part).await?
    };
    println!("{report}");
    Ok(())
}

impl Load {
    fn client(&self) -> Client {
        let credentials = Credentials::new(&self.key_id, &self.secret, None, None, "bench");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(credentials)
            .region(Region::new(self.region.clone()))
            .endpoint_url(&self.endpoint)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .force_path_style(true)
            .build();
        Client::from_conf(config)
    }

    fn bytes(&self) -> usize {
        self.parts * self.part
    }
}

/// What is measured from here until it is read.
struct Meter {
    begun: Instant,
    allocated: usize,
    allocations: usize,
}

impl Meter {
    fn start() -> Self {
        let stats = ALLOCATOR.stats();
        Self {
            begun: Instant::now(),
            allocated: stats.bytes_allocated,
            allocations: stats.allocations + stats.reallocations,
        }
    }

    fn stop(&self, load: &Load) -> Value {
        let seconds = self.begun.elapsed().as_secs_f64();
        let stats = ALLOCATOR.stats();
        json!({
            "bytes": load.bytes(),
            "seconds": seconds,
            "allocated": stats.bytes_allocated - self.allocated,
            "allocations": stats.allocations + stats.reallocations - self.allocations,
        })
    }
}

async fn bare(client: &Client, load: &Load, part: Bytes) -> Result<Value> {
    let key = "bare";
    let created = client
        .create_multipart_upload()
        .bucket(&load.bucket)
        .key(key);
    let id = created.send().await?.upload_id.context("an id")?;
    let meter = Meter::start();
    let (mut tasks, mut parts) = (JoinSet::new(), Vec::new());
    for number in 1..=load.parts {
        if tasks.len() >= load.in_flight {
            parts.push(tasks.join_next().await.context("one is running")???);
        }
        let number = i32::try_from(number)?;
        let request = client
            .upload_part()
            .bucket(&load.bucket)
            .key(key)
            .upload_id(&id)
            .part_number(number)
            .body(ByteStream::from(part.clone()));
        tasks.spawn(async move {
            let answer = request.send().await?;
            let part = CompletedPart::builder().part_number(number);
            anyhow::Ok(part.set_e_tag(answer.e_tag).build())
        });
    }
    while let Some(part) = tasks.join_next().await {
        parts.push(part??);
    }
    parts.sort_by_key(CompletedPart::part_number);
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build();
    let complete = client
        .complete_multipart_upload()
        .bucket(&load.bucket)
        .key(key);
    complete
        .upload_id(id)
        .multipart_upload(parts)
        .send()
        .await?;
    Ok(meter.stop(load))
}

async fn writer(client: &Client, load: &Load, part: Bytes) -> Result<Value> {
    let config = S3WriterConfig {
        provider: S3Provider::named(&load.provider).context("no such provider")?,
        part_bytes: u64::try_from(load.part)?,
        max_parts_in_flight: load.in_flight,
        ..S3WriterConfig::new(&load.bucket)
    };
    let factory = S3WriterFactory::new(client, config)?;
    let upload = "00000001-0000-4001-8002-030405060708";
    let mut facts = UploadFacts::new(upload, "bench", u64::try_from(load.bytes())?);
    facts.safe_client_name = "bench.bin".to_owned();
    facts.resumable = true;
    let mut writer = factory.create(&facts).await?;
    let meter = Meter::start();
    let mut batch = VecDeque::with_capacity(1);
    for _ in 0..load.parts {
        let mut rest = part.clone();
        while !rest.is_empty() {
            batch.push_back(rest.split_to(load.chunk.min(rest.len())));
            writer.write_chunks(&mut batch).await?;
        }
    }
    writer.close().await?;
    Ok(meter.stop(load))
}
