//! Many small files at once, whose syncs are shared: the order of the calls that make each of them durable.
//!
//! A server that is killed shows no sync that is missing, since the system keeps what it was given. So `strace`
//! writes down the calls of a server that stores many files together, and each file is followed through them.

use std::{collections::HashMap, fs};

use tokio::task::block_in_place;
use uuid::Uuid;

use crate::support::{
    client::{Client, registration},
    pattern,
    server::{EMBEDDED, Server, slots},
    strace::{attach, detach},
};

/// Files that are under way at once.
const FILES: usize = 24;
const BYTES: usize = 4096;
/// The calls that are written down, with what descriptors stand for and texts in full. A sync takes as long as on a
/// disk that is busy, so that files wait for each other.
const TRACE: [&str; 8] = [
    "-e",
    "inject=fsync:delay_enter=30000",
    "-e",
    "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,write,writev,sendto,sendmsg",
    "-y",
    "-s",
    "100000",
    "-o",
];

/// A call, with the lines of the trace in which it began and ended.
struct Call {
    name: String,
    text: String,
    began: usize,
    ended: usize,
}

impl Call {
    /// Reads a trace: each line is a thread's number, and a call or one half of it.
    fn read_all(trace: &str) -> Vec<Self> {
        let (mut calls, mut open) = (Vec::new(), HashMap::new());
        for (at, line) in trace.lines().enumerate() {
            let Some((thread, text)) = line.split_once(' ') else {
                continue;
            };
            let text = text.trim_start();
            if let Some(resumed) = text.strip_prefix("<... ") {
                if let Some((name, began, first)) = open.remove(thread) {
                    let text = format!("{first}{resumed}");
                    calls.push(Self {
                        name,
                        text,
                        began,
                        ended: at,
                    });
                }
                continue;
            }
            let Some((name, _)) = text.split_once('(') else {
                continue;
            };
            let name = name.to_owned();
            match text.strip_suffix("<unfinished ...>") {
                Some(first) => {
                    open.insert(thread, (name, at, first.to_owned()));
                }
                None => calls.push(Self {
                    name,
                    text: text.to_owned(),
                    began: at,
                    ended: at,
                }),
            }
        }
        calls
    }

    fn has_succeeded(&self) -> bool {
        self.text.trim_end_matches(" (DELAYED)").ends_with("= 0")
    }

    fn is_sync(&self) -> bool {
        self.name.contains("sync") && self.has_succeeded()
    }

    fn is_to_socket(&self) -> bool {
        !self.name.contains("sync")
            && !self.name.contains("rename")
            && self.text.contains("socket:[")
    }
}

/// COMPLETE-3: however many files share their syncs, each is synced before it gets its name, and is told complete
/// after syncs of both directories that began behind its rename.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_share_syncs_are_durable_before_they_are_told() {
    for slot in ["any", "resumable"] {
        let server = Server::start(&slots(EMBEDDED));
        // Directories of a slot are proved with its first file.
        let mut client = Client::connect(&server.ws()).await;
        client
            .upload(slot, "first.bin", &pattern::file(1, BYTES))
            .await;
        let trace = server.dir().join("trace.txt");
        let mut options = TRACE.to_vec();
        options.push(trace.to_str().expect("UTF-8 path"));
        let mut strace = block_in_place(|| attach(&server, &options));
        let files: Vec<_> = (0..FILES)
            .map(|number| (Uuid::new_v4(), pattern::file(number as u64, BYTES)))
            .collect();
        for (upload, _) in &files {
            let size = BYTES as u64;
            client
                .send(registration(*upload, slot, "small.bin", "", size))
                .await;
        }
        for _ in &files {
            client
                .until(|message| message["type"] == "upload_registered")
                .await;
        }
        for (upload, file) in &files {
            client.send_file(*upload, file, BYTES).await;
        }
        let mut paths = Vec::new();
        for _ in &files {
            let ended = client
                .until(|message| {
                    message["type"] == "upload_progress" && message["status"] != "uploading"
                })
                .await;
            assert_eq!(ended["status"], "complete", "{ended}");
            paths.push(ended["result"]["path"].as_str().expect("a path").to_owned());
        }
        block_in_place(|| detach(&mut strace));
        let trace = fs::read_to_string(&trace).expect("the trace");
        let calls = Call::read_all(&trace);
        for path in &paths {
            assert_durable_before_told(&calls, slot, path);
        }
        let of_slot = format!("/{slot}>");
        let shared = calls
            .iter()
            .filter(|call| call.is_sync() && call.text.contains(&of_slot));
        let whole = calls.iter().filter(|call| call.name == "syncfs").count();
        println!(
            "{slot}: {FILES} files, {} syncs of their directory, {} of the file system",
            shared.count(),
            whole
        );
    }
}

fn assert_durable_before_told(calls: &[Call], slot: &str, path: &str) {
    let file = path.rsplit('/').next().expect("a name");
    let uuid = &file[..36];
    let told = calls
        .iter()
        .find(|call| call.is_to_socket() && call.text.contains(path));
    let told = told.unwrap_or_else(|| panic!("{path} was told")).began;
    let renamed = calls
        .iter()
        .find(|call| call.name.contains("rename") && call.text.contains(uuid));
    let renamed = renamed.unwrap_or_else(|| panic!("{path} was renamed"));
    assert!(renamed.has_succeeded(), "{}", renamed.text);
    let under_way = format!("/.tmp/{uuid}");
    let written = calls
        .iter()
        .rfind(|call| call.name.starts_with("write") && call.text.contains(&under_way));
    let written = written
        .unwrap_or_else(|| panic!("{path} was written"))
        .ended;
    let is_synced = calls.iter().any(|call| {
        // By itself, or with its whole file system.
        let is_its = call.text.contains(&under_way) || call.name == "syncfs";
        call.is_sync() && is_its && call.began > written && call.ended < renamed.began
    });
    assert!(is_synced, "{path} got its name before it was synced");
    for dir in [format!("/{slot}>"), "/.tmp>".to_owned()] {
        let is_synced = calls.iter().any(|call| {
            let is_later = call.began > renamed.ended && call.ended < told;
            call.is_sync() && call.text.contains(&dir) && is_later
        });
        assert!(
            is_synced,
            "{path} was told before a sync of {dir} behind its rename"
        );
    }
}
