//! How many records a store keeps in a second: uploads that are registered, saved some times, looked up and removed.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use serde_json::json;
use tokio::task::JoinSet;
use upload_stores::{
    Expect, Facts, MemoryStore, OwnerLimit, PostgresStore, Put, RedbDurability, RedbStore,
    RedisStore, UploadKey, UploadStateStore,
};

/// How long a record lives.
const TTL: std::time::Duration = std::time::Duration::from_secs(3600);

/// Puts records into a store.
#[derive(Parser)]
struct Args {
    /// The store
    #[arg(long, value_enum)]
    store: Kind,
    /// Its URL, or the folder of the embedded one
    #[arg(long, default_value = "")]
    at: String,
    /// Uploads in all
    #[arg(long)]
    uploads: u32,
    /// Uploads at a time
    #[arg(long)]
    in_flight: u32,
    /// How often each is saved after it was registered
    #[arg(long, default_value_t = 8)]
    saves: u32,
    /// Bytes of a record
    #[arg(long, default_value_t = 600)]
    bytes: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Memory,
    Embedded,
    Redis,
    Postgres,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if args.in_flight == 0 || args.uploads == 0 {
        bail!("a load needs uploads");
    }
    let store: Arc<dyn UploadStateStore> = match args.store {
        Kind::Memory => Arc::new(MemoryStore::default()),
        Kind::Embedded => Arc::new(RedbStore::open(&args.at, RedbDurability::Process).await?),
        Kind::Redis => Arc::new(RedisStore::connect(&args.at, "bench:")?),
        Kind::Postgres => {
            let store = PostgresStore::connect(&args.at)?;
            store.set_up().await?;
            Arc::new(store)
        }
    };
    let record: Arc<[u8]> = vec![b'r'; args.bytes].into();
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for first in 0..args.in_flight {
        let (store, record) = (Arc::clone(&store), Arc::clone(&record));
        let numbers = (first..args.uploads).step_by(args.in_flight as usize);
        tasks.spawn(async move {
            let mut saves_ms = Vec::new();
            for number in numbers {
                one(&*store, number, args.saves, &record, &mut saves_ms).await?;
            }
            anyhow::Ok(saves_ms)
        });
    }
    let mut saves_ms = Vec::new();
    while let Some(done) = tasks.join_next().await {
        saves_ms.extend(done??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    saves_ms.sort_by(f64::total_cmp);
    let calls = f64::from(args.uploads) * f64::from(args.saves + 3);
    println!(
        "{}",
        json!({
            "calls_per_second": calls / seconds,
            "uploads_per_second": f64::from(args.uploads) / seconds,
            "save_ms": saves_ms.get(saves_ms.len() / 2),
        })
    );
    Ok(())
}

/// One upload's life in the store: its registration within a limit, saves, one look, its removal.
async fn one(
    store: &dyn UploadStateStore,
    number: u32,
    saves: u32,
    record: &[u8],
    saves_ms: &mut Vec<f64>,
) -> Result<()> {
    let mut name = [0; 16];
    name[..4].copy_from_slice(&number.to_be_bytes());
    let key = UploadKey::new(format!("owner-{}", number % 1000), name)?;
    let facts = Facts::unfinished(1 << 20);
    let limit = OwnerLimit {
        records: u64::from(u32::MAX),
        ..OwnerLimit::NONE
    };
    let put = Put::new(record, Expect::Absent, TTL).counted(facts);
    let mut version = store.put_with(&key, put.limited(limit)).await?;
    for _ in 0..saves {
        let begun = Instant::now();
        let put = Put::new(record, Expect::Version(version), TTL).counted(facts);
        version = store.put_with(&key, put).await?;
        saves_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let found = store.get(&key).await?.context("it is gone")?;
    if found.version != version {
        bail!("another version");
    }
    Ok(store.delete(&key, Expect::Version(version)).await?)
}
