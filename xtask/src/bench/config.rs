//! The configuration of a server that is measured.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::subject::{Load, PING_SECONDS, Sink, Spoken, Subject};

/// Limits that earlier builds do not have, and refuse.
const LATER: [&str; 2] = ["registrations_per_owner", "requests_per_owner"];

/// Returns a configuration with a slot per sink, and limits that are out of the way.
pub(super) fn server_config(
    subject: Subject,
    address: &str,
    data: &Path,
    load: Load,
    shared: Option<&str>,
) -> String {
    let is_resumable = !matches!(subject, Subject::Server | Subject::NoChecksum);
    let store = match (subject, shared) {
        (Subject::Redis, Some(redis)) => {
            format!("store = \"redis\"\nredis_url = \"redis://{redis}/0\"")
        }
        (Subject::Postgres, Some(postgres)) => {
            format!(
                "store = \"postgres\"\npostgres_url = \"postgres://uploads@{postgres}/postgres\""
            )
        }
        (Subject::Memory, _) => "store = \"memory\"".to_owned(),
        _ if is_resumable => "store = \"embedded\"".to_owned(),
        _ => "store = \"memory\"".to_owned(),
    };
    let durability = match subject {
        Subject::Disk => "disk",
        _ => "process",
    };
    let mut config = format!(
        "listen = \"{address}\"\ndata_dir = \"{data}\"\ntemp_dir = \"{data}/.tmp\"\n\
         require_origin = false\ndemo = false\ndurability = \"{durability}\"\n\n\
         [state]\n{store}\n\n\
         [limits]\nmax_connections = 20000\nmax_uploads_per_owner = 20000\n\
         registrations_per_owner = 1000000\n\
         first_message_seconds = 3600\nidle_upload_seconds = 3600\nping_seconds = {PING_SECONDS}\n\
         checksum = {checksum}\n{requests}",
        data = data.display(),
        checksum = subject != Subject::NoChecksum,
        requests = match load.spoken {
            Spoken::Socket => "",
            _ => "requests_per_owner = 1000000\n",
        },
    );
    for sink in [Sink::Discard, Sink::File] {
        config += &format!(
            "\n[slots.{sink}]\nwriter = \"{sink}\"\nmax_entries = 20000\nmax_file_size = {}\nchunk_size = {}\nresumable = {is_resumable}\n",
            load.bytes, load.chunk
        );
    }
    config
}

/// Returns which of the limits a server does not know: those whose names are not in its program.
///
/// # Errors
///
/// There is no such program.
pub(super) fn unknown_to(server: &Path) -> Result<Vec<&'static str>> {
    let program = fs::read(server).with_context(|| server.display().to_string())?;
    let texts = String::from_utf8_lossy(&program);
    let later = LATER.into_iter();
    Ok(later.filter(|name| !texts.contains(name)).collect())
}

/// Returns a configuration without some of its lines.
pub(super) fn without(config: &str, names: &[&str]) -> String {
    let is_kept = |line: &&str| !names.iter().any(|name| line.starts_with(name));
    config
        .lines()
        .filter(is_kept)
        .flat_map(|line| [line, "\n"])
        .collect()
}
