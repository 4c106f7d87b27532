//! `upload-server check-config`: reads the configuration as the server would.

use std::{path::Path, process::ExitCode};

use upload_server::config::Config;

/// Says what the configuration comes to, or what is wrong with it.
pub(crate) fn run(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = Config::load(file)?;
    println!("listen    {}", config.listen);
    match config.admin_listen {
        Some(address) => println!("admin     {address}"),
        None => println!(
            "admin     at {}, /metrics for this machine only; admin_listen gives it another address",
            config.listen
        ),
    }
    println!("data_dir  {}", config.data_dir.display());
    println!(
        "demo      {}",
        if config.has_demo() { "at /" } else { "off" }
    );
    for (name, slot) in &config.slots {
        let store = slot.store.unwrap_or(config.state.store);
        let resumable = match slot.resumable {
            true => format!("resumable ({store:?})").to_lowercase(),
            false => "not resumable".to_owned(),
        };
        println!(
            "slot      {name}: {} x {} bytes, {}, writer {:?}, {resumable}",
            slot.max_entries,
            slot.max_file_size.0,
            if slot.accept.is_empty() {
                "any type"
            } else {
                &slot.accept
            },
            slot.writer,
        );
    }
    if let Some(auth) = &config.auth {
        let way = if auth.jwt.is_some() {
            "signed tokens"
        } else {
            "forward authentication"
        };
        println!("sign-in   {way}");
    }
    for warning in config.warnings() {
        println!("warning   {warning}");
    }
    if config.webhook.is_some() {
        println!("webhook   at /webhooks/s3");
    }
    if let Some(hook) = &config.deciding_hook {
        println!("decides   {}", hook.address());
    }
    for hook in &config.hooks {
        println!("hook      {}", hook.address());
    }
    println!("ok");
    Ok(ExitCode::SUCCESS)
}
