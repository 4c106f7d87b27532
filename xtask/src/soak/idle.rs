//! `cargo xtask soak idle`: ten thousand connections that do nothing, and a hundred of them that then upload.

use std::{fs, thread::sleep, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::ground::Ground;
use crate::bench::{crowd::Crowd, metric::metric};

/// What a connection may hold that does nothing, in KiB.
const IDLE_KIB_MAX: f64 = 12.0;
/// What a refused connection or message is counted under.
const REFUSALS: &[&str] = &["upload_handshakes_refused_total", "upload_refused_total"];

const CONFIG: &str = r#"
[limits]
first_message_seconds = 3600

[slots.file]
max_file_size = "1GiB"
"#;

/// What to run.
#[derive(Args)]
pub(crate) struct Idle {
    /// Connections
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    /// How many of them upload
    #[arg(long, default_value_t = 100)]
    active: u32,
    /// Bytes of each upload
    #[arg(long, default_value_t = 10 << 20)]
    bytes: u64,
    /// Take the release binaries as they are
    #[arg(long)]
    no_build: bool,
}

impl Idle {
    /// Connects, measures, uploads and compares.
    ///
    /// # Errors
    ///
    /// A connection or an upload is refused, a byte differs, or a connection holds too much.
    pub(crate) fn run(&self) -> Result<()> {
        let ground = Ground::make(self.no_build)?;
        let server = ground.start(CONFIG)?;
        let gather = |connections, active| {
            let program = ground.program("probe");
            Crowd::gather(
                &program,
                &server.address,
                "file",
                connections,
                active,
                self.bytes,
            )
        };
        // What a first connection brings about once must not count.
        drop(gather(1, 0)?);
        settle();
        let before = server.rss_kib()?;
        let mut crowd = gather(self.connections, self.active)?;
        settle();
        let idle_kib = (server.rss_kib()? - before) as f64 / f64::from(self.connections.max(1));
        println!(
            "{} idle connections: {idle_kib:.1} KiB each",
            self.connections
        );

        crowd.go("half way")?;
        crowd.go("done")?;
        let folder = ground.data().join("file");
        let bytes = self.bytes.to_string();
        let folder_text = folder.display().to_string();
        let verify = ["verify", "--folder", &folder_text, "--bytes", &bytes];
        ground.probe(&server.address, "file", &verify)?;
        let files = fs::read_dir(&folder)?.count();
        let mut refused = 0.0;
        for name in REFUSALS {
            refused += metric(&server.address, name)?;
        }
        println!(
            "{files} of {} uploads of {} MiB are stored byte for byte, {refused} refused",
            self.active,
            self.bytes >> 20
        );
        let figures = json!({
            "connections": self.connections, "idle_kib": idle_kib, "idle_kib_max": IDLE_KIB_MAX,
            "uploads": self.active, "bytes": self.bytes, "stored": files, "refused": refused,
        });
        let path = ground.folder().join("idle.json");
        fs::write(&path, serde_json::to_string_pretty(&figures)?)?;
        println!("{}", path.display());
        drop(crowd);
        fs::remove_dir_all(ground.data())?;
        if files != usize::try_from(self.active)? || refused > 0.0 {
            bail!("not every upload came through");
        }
        if idle_kib > IDLE_KIB_MAX {
            bail!("an idle connection holds more than {IDLE_KIB_MAX} KiB");
        }
        Ok(())
    }
}

/// Waits until what was going on is over.
fn settle() {
    sleep(Duration::from_secs(2));
}
