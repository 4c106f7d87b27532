//! An application with a handler that takes files, as a process that can be killed: this test's binary, started
//! again.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use axum::{Router, extract::State};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use upload_server::{
    Entries, HandlerError, LentUpload, Limits, SessionLimits, SlotOptions, Uploads,
    stores::{PostgresStore, RedbDurability, RedbStore, RedisStore, UploadStateStore},
};

use super::server::free_port;

/// Longest time it may take from its start to its first answer.
const START_MAX: Duration = Duration::from_secs(30);
/// How long the end of a process that was killed may take.
const KILLED_MAX: Duration = Duration::from_secs(20);
/// How long the lease of a process that died keeps others waiting, where they share a store.
const LEASE_TTL: Duration = Duration::from_secs(1);
const DIR: &str = "TAKING_DIR";
const FAR: &str = "TAKING_FAR";
const STORE: &str = "TAKING_STORE";
const PORT: &str = "TAKING_PORT";

/// The slot of its files.
pub const SLOT: &str = "files";
/// The names of files by what becomes of them: it only notes that it took one, moves another on its file system, one to
/// another one, and the last with each attempt to another folder.
pub const NOTED: &str = "noted.txt";
pub const MOVED: &str = "moved.txt";
pub const FAR_MOVED: &str = "far.txt";
pub const WANDERED: &str = "wandered.txt";

/// A running application; killed when dropped.
pub struct Application {
    child: Child,
    port: u16,
    store: String,
    dir: TempDir,
    /// On another file system.
    far: TempDir,
}

/// A line of the application's notes: it was lent a file, or taking it returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub is_taken: bool,
    pub name: String,
    pub take_id: String,
    pub attempt: u32,
}

impl Application {
    /// Starts it with its records at this URL, or in a file for `embedded`.
    pub fn start(store: &str) -> Self {
        let dir = TempDir::new().expect("a directory");
        let far = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is another file system");
        let port = free_port();
        let mut application = Self {
            child: spawn(port, store, dir.path(), far.path()),
            port,
            store: store.to_owned(),
            dir,
            far,
        };
        application.wait_until_ready();
        application
    }

    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.port, &self.store, self.dir.path(), self.far.path());
        self.wait_until_ready();
    }

    /// Kills it with SIGKILL; it may have ended before.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("its end");
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until a kill that is on its way has ended it.
    pub fn wait_until_killed(&mut self) {
        let began = Instant::now();
        while self.is_running() {
            assert!(began.elapsed() < KILLED_MAX, "nothing has killed it");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}/uploads/ws", self.port)
    }

    /// Returns what the application noted, in its order.
    pub fn notes(&self) -> Vec<Note> {
        let text = fs::read_to_string(self.dir.path().join("notes")).unwrap_or_default();
        let note = |line: &str| {
            let [what, name, take_id, attempt] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("not a note: {line:?}");
            };
            Note {
                is_taken: what == "taken",
                name: name.to_owned(),
                take_id: take_id.to_owned(),
                attempt: attempt.parse().expect("a number"),
            }
        };
        text.lines().map(note).collect()
    }

    /// Returns the files that wait or were noted, those that were moved, those that were moved far, and those that
    /// went to either file system.
    pub fn files(&self) -> [Vec<PathBuf>; 4] {
        let (dir, far) = (self.dir.path(), self.far.path());
        let mut wandered = listed(&dir.join("wandered"));
        wandered.extend(listed(&far.join("wandered")));
        let waiting = listed(&dir.join("data").join(SLOT));
        [
            waiting,
            listed(&dir.join("saved")),
            listed(&far.join("saved")),
            wandered,
        ]
    }

    /// Forgets what was noted and saved.
    pub fn clear(&self) {
        fs::remove_file(self.dir.path().join("notes")).expect("removed");
        for path in self.files().iter().flatten() {
            fs::remove_file(path).expect("removed");
        }
    }

    fn wait_until_ready(&mut self) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(self.is_running(), "it ended at its start");
            assert!(begun.elapsed() < START_MAX, "not ready");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listed(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn spawn(port: u16, store: &str, dir: &Path, far: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "taking::application", "--ignored"])
        .env(DIR, dir)
        .env(FAR, far)
        .env(STORE, store)
        .env(PORT, port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("this binary runs")
}

/// Where a handler leaves what it does.
#[derive(Clone)]
struct Places {
    dir: Arc<Path>,
    far: Arc<Path>,
}

/// Runs the application until it is killed.
pub async fn serve() {
    let of = |name: &str| std::env::var(name).expect("started by a test");
    let (dir, far) = (PathBuf::from(of(DIR)), PathBuf::from(of(FAR)));
    let store = open(&of(STORE), &dir).await;
    let limits = Limits {
        session: SessionLimits {
            lease_ttl: LEASE_TTL,
            ..SessionLimits::default()
        },
        ..Limits::default()
    };
    let uploads = Uploads::builder()
        .data_dir(dir.join("data"))
        .secret([7; 32])
        .store(store)
        .limits(limits)
        .allow_upload(SLOT, SlotOptions::new().max_entries(4))
        .with_state(Places {
            dir: dir.into(),
            far: far.into(),
        })
        .handle_event("save", save)
        .build()
        .expect("the uploads");
    let app = Router::new().nest("/uploads", uploads.router());
    let port: u16 = of(PORT).parse().expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    axum::serve(listener.expect("the port is free"), app)
        .await
        .expect("it serves");
}

async fn open(store: &str, dir: &Path) -> Arc<dyn UploadStateStore> {
    if store.starts_with("postgres:") {
        return Arc::new(PostgresStore::connect(store).expect("a URL"));
    }
    if store.starts_with("redis:") {
        return Arc::new(RedisStore::connect(store, "taking:").expect("a URL"));
    }
    // What forked from a process that was killed may have its file for a moment.
    let begun = Instant::now();
    loop {
        match RedbStore::open(dir.join("state"), RedbDurability::Process).await {
            Ok(store) => return Arc::new(store),
            Err(error) => assert!(begun.elapsed() < START_MAX, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn save(places: State<Places>, entries: Entries) -> Result<Value, HandlerError> {
    let mut names = Vec::new();
    for file in entries.of(SLOT).await? {
        let name = file.client_name().to_owned();
        let (take_id, attempt) = (file.take_id().to_owned(), file.attempt());
        let note = |what: &str| note(&places.dir, &format!("{what} {name} {take_id} {attempt}\n"));
        note("lent")?;
        keep(&places, file).await?;
        note("taken")?;
        names.push(name);
    }
    Ok(json!({ "saved": names }))
}

async fn keep(places: &Places, file: LentUpload) -> Result<(), HandlerError> {
    let name = file.take_id().to_owned();
    match file.client_name() {
        MOVED => drop(file.persist(places.dir.join("saved").join(name)).await?),
        FAR_MOVED => drop(file.persist(places.far.join("saved").join(name)).await?),
        WANDERED => {
            let attempt = file.attempt();
            let root = match attempt % 2 {
                0 => &places.dir,
                _ => &places.far,
            };
            let folder = root.join("wandered");
            drop(
                file.persist(folder.join(format!("{name}-{attempt}")))
                    .await?,
            );
        }
        _ => drop(file.take().await?),
    }
    Ok(())
}

/// Adds a line in one write.
fn note(dir: &Path, line: &str) -> io::Result<()> {
    let mut notes = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("notes"))?;
    notes.write_all(line.as_bytes())
}
