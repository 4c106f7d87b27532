//! `upload-server gc`: removes what expired uploads left behind, or tells what it would remove.

use std::{path::Path, process::ExitCode};

use upload_server::config::Config;

/// Sweeps once; fails if something could not be looked at.
#[tokio::main]
pub(crate) async fn run(file: Option<&Path>, dry_run: bool) -> anyhow::Result<ExitCode> {
    let swept = Config::load(file)?.sweep(dry_run).await?;
    let verb = if dry_run { "would remove" } else { "removed" };
    for orphan in &swept.orphans {
        println!(
            "{verb} {} ({} bytes, {} s old)",
            orphan.what,
            orphan.bytes,
            orphan.age.as_secs()
        );
    }
    let bytes = swept
        .orphans
        .iter()
        .map(|orphan| orphan.bytes)
        .fold(0, u64::saturating_add);
    println!("{verb} {} files, {bytes} bytes", swept.orphans.len());
    if swept.is_served {
        println!("the server that runs removes expired records by itself");
    } else if !dry_run {
        println!("removed {} expired records", swept.records);
    }
    Ok(if swept.failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
