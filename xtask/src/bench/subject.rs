//! What is measured: the real server and the bare one, each started afresh for each run.

use std::{
    fmt,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Result;

pub(crate) use super::load::{Load, Spoken};
use super::{
    config::{self, server_config},
    driving::Generator,
    postgres,
    process::{Server, crowded, free_address},
    redis,
    rounds::Common,
    spent::Spent,
};
use crate::run::{cargo, metadata, must_succeed, server_binary};

/// Seconds between pings: what a connection does about its buffers it does then.
pub(crate) const PING_SECONDS: u64 = 5;

/// Free memory that is made ready for files at most.
const WARM_BYTES_MAX: u64 = 1 << 30;

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The binary that users run; nothing can be resumed.
    Server,
    /// The same without the checksum.
    NoChecksum,
    /// Uploads can be resumed; records in memory.
    Memory,
    /// Uploads can be resumed; records in the embedded store.
    Embedded,
    /// Uploads can be resumed; records in Redis.
    Redis,
    /// Uploads can be resumed; records in Postgres.
    Postgres,
    /// Uploads can be resumed; records in the embedded store, bytes are durable once synced to the disk.
    Disk,
    /// The library: a finished file is the application's at once.
    Taking,
    /// The library: a finished file waits for the application, with a record in the embedded store.
    Waiting,
    /// The same WebSocket library and nothing else.
    Bare,
    /// The same, and each file is synced to the disk before it is said to be complete.
    BareSynced,
    /// hyper and nothing else: bodies of requests into files, each synced before its answer.
    Bodies,
}

impl Subject {
    fn is_bare(self) -> bool {
        matches!(self, Self::Bare | Self::BareSynced | Self::Bodies)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::NoChecksum => "no crc",
            Self::Memory => "memory",
            Self::Embedded => "embedded",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::Disk => "disk",
            Self::Taking => "taken",
            Self::Waiting => "waiting",
            Self::Bare => "bare",
            Self::BareSynced => "synced",
            Self::Bodies => "hyper",
        })
    }
}

/// Where the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Nowhere.
    Discard,
    /// Into files.
    File,
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Discard => "discard",
            Self::File => "file",
        })
    }
}

/// What one run gave.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Throughput.
    pub(crate) mib_per_second: f64,
    /// Processor time of the receiver.
    pub(crate) cpu_seconds_per_gib: f64,
    /// Most memory the receiver held.
    pub(crate) peak_rss_mib: f64,
    /// How long each cut connection took until more of its bytes were accepted.
    pub(crate) resume_ms: Vec<f64>,
    /// The middle time from registering a file to its receipt, where many are in flight at a time.
    pub(crate) receipt_ms: Option<f64>,
}

/// The programs, built.
pub(crate) struct Bed {
    server: PathBuf,
    release: PathBuf,
    folder: PathBuf,
    gather: String,
    redis: Option<Server>,
    postgres: Option<Server>,
    spent: Arc<Spent>,
    /// What an earlier build does not know.
    left_out: Vec<&'static str>,
}

impl Bed {
    /// Builds what is needed; each program by itself, so that none changes another's features.
    ///
    /// # Errors
    ///
    /// Something does not build.
    pub(crate) fn make(subjects: &[Subject], gather: &str, common: &Common) -> Result<Self> {
        if !common.no_build {
            must_succeed(&mut cargo([
                "build",
                "--release",
                "--package",
                "upload-bench",
            ]))?;
        }
        let unbuilt = Self::unbuilt(common)?;
        let needs_server = !subjects.iter().all(|subject| subject.is_bare());
        let server = if needs_server && !common.no_build {
            server_binary()?
        } else {
            unbuilt.server
        };
        Ok(Self {
            server,
            redis: if subjects.contains(&Subject::Redis) {
                Some(redis::start(&unbuilt.folder)?)
            } else {
                None
            },
            postgres: match subjects.contains(&Subject::Postgres) {
                true => Some(postgres::start(&unbuilt.folder)?),
                false => None,
            },
            gather: gather.to_owned(),
            ..unbuilt
        })
    }

    /// Takes the programs as they are.
    ///
    /// # Errors
    ///
    /// There is no place for results.
    pub(crate) fn unbuilt(common: &Common) -> Result<Self> {
        let target = metadata()?.target_directory;
        let release = target.join("release");
        let folder = target.join(if common.smoke { "bench/smoke" } else { "bench" });
        fs::create_dir_all(&folder)?;
        Ok(Self {
            server: release.join("upload-server"),
            release,
            spent: Arc::new(Spent::new(folder.join("spent"))),
            left_out: Vec::new(),
            folder,
            gather: String::new(),
            redis: None,
            postgres: None,
        })
    }

    /// Returns a bed that measures another build of the server with the same programs.
    ///
    /// # Errors
    ///
    /// There is no such program.
    pub(crate) fn with_server(&self, server: PathBuf) -> Result<Self> {
        let left_out = config::unknown_to(&server)?;
        Ok(Self {
            left_out,
            server,
            release: self.release.clone(),
            folder: self.folder.clone(),
            gather: self.gather.clone(),
            redis: None,
            postgres: None,
            spent: Arc::clone(&self.spent),
        })
    }

    /// Returns the server's program.
    pub(crate) fn server(&self) -> &Path {
        &self.server
    }

    /// Returns where results are kept.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns one of the programs of `upload-bench`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.release.join(format!("upload-bench-{name}"))
    }

    /// Starts a fresh subject, sends it the load, and tells what that cost.
    ///
    /// # Errors
    ///
    /// The subject or the load generator fails, or a byte is missing.
    pub(crate) fn run(&self, subject: Subject, sink: Sink, load: Load) -> Result<Measured> {
        if sink == Sink::File {
            self.warm(load)?;
        }
        let server = self.start(subject, sink, load)?;
        let measured = self.measure(&server, sink, load);
        drop(server);
        self.clean();
        measured
    }

    /// Has the system hold as much free memory as files will take.
    ///
    /// A virtual machine returns memory that is free for long to its host, and a page that the host has to find
    /// again costs ten times what writing to it does. The first subject would pay for that.
    fn warm(&self, load: Load) -> Result<()> {
        let path = self.folder.join("warm");
        let files = load.connections * load.uploads * load.files;
        let bytes = load.bytes * u64::from(files);
        let mut file = File::create(&path)?;
        let piece = vec![1; 1 << 20];
        for _ in 0..bytes.min(WARM_BYTES_MAX) >> 20 {
            file.write_all(&piece)?;
        }
        drop(file);
        Ok(fs::remove_file(path)?)
    }

    /// Puts aside what was uploaded.
    pub(crate) fn clean(&self) {
        self.put_aside("data");
    }

    /// Puts a folder aside in which files were made.
    pub(crate) fn put_aside(&self, name: &str) {
        self.spent.take(&self.folder.join(name));
    }

    /// Starts a fresh subject with an empty folder.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn start(&self, subject: Subject, sink: Sink, load: Load) -> Result<Server> {
        self.start_with(subject, sink, load, &[])
    }

    /// Starts it with more variables in its environment.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn start_with(
        &self,
        subject: Subject,
        sink: Sink,
        load: Load,
        env: &[(&str, String)],
    ) -> Result<Server> {
        self.clean();
        self.launch(subject, sink, load, (free_address()?, env))
    }

    /// Starts a subject with the folder that another left.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn start_again(
        &self,
        subject: Subject,
        sink: Sink,
        load: Load,
        address: String,
    ) -> Result<Server> {
        self.launch(subject, sink, load, (address, &[]))
    }

    fn launch(
        &self,
        subject: Subject,
        sink: Sink,
        load: Load,
        (address, env): (String, &[(&str, String)]),
    ) -> Result<Server> {
        let data = &self.folder.join("data");
        fs::create_dir_all(data)?;
        let mut command = match subject {
            Subject::Bare | Subject::BareSynced => {
                let mut command = crowded(&self.program("bare"));
                command.args(["--listen", &address, "--gather", &self.gather]);
                if sink == Sink::File {
                    command.arg("--folder").arg(data);
                }
                command.args((subject == Subject::BareSynced).then_some("--sync"));
                command
            }
            Subject::Bodies => {
                let mut command = crowded(&self.program("bodies"));
                command
                    .args(["--listen", &address])
                    .arg("--folder")
                    .arg(data);
                command
            }
            Subject::Taking | Subject::Waiting => {
                let mut command = crowded(&self.program("waiting"));
                command.args(["--listen", &address]).arg("--data").arg(data);
                command.args((subject == Subject::Waiting).then_some("--waits"));
                command
            }
            _ => {
                let config = self.folder.join("server.toml");
                let shared = self.shared(subject);
                let text = server_config(subject, &address, data, load, shared);
                fs::write(&config, config::without(&text, &self.left_out))?;
                let mut command = crowded(&self.server);
                command.arg("--config").arg(config);
                command
            }
        };
        command.envs(env.iter().map(|(name, value)| (name, value)));
        // Log lines of a level that operators would not run with must not be measured.
        command.env("RUST_LOG", "warn").current_dir(&self.folder);
        Server::start(
            &mut command,
            address,
            &self.folder.join(format!("{subject}.log")),
        )
    }

    /// Returns where the shared store is.
    fn shared(&self, subject: Subject) -> Option<&str> {
        let server = match subject {
            Subject::Postgres => &self.postgres,
            _ => &self.redis,
        };
        server.as_ref().map(|server| &*server.address)
    }

    fn measure(&self, server: &Server, sink: Sink, load: Load) -> Result<Measured> {
        let mut generator = Generator::start(self, server, sink, load)?;
        let before = server.cpu_seconds()?;
        generator.begin()?;
        let report = generator.report()?;
        // What the server still has to do after its last answer belongs to the bytes as well.
        thread::sleep(Duration::from_millis(50));
        let after = server.cpu_seconds()?;
        let (mib, gib) = (
            report.bytes as f64 / f64::from(1 << 20),
            report.bytes as f64 / f64::from(1 << 30),
        );
        Ok(Measured {
            mib_per_second: mib / report.seconds,
            cpu_seconds_per_gib: (after - before) / gib,
            peak_rss_mib: server.peak_rss_kib()? as f64 / 1024.0,
            resume_ms: report.resume_ms,
            receipt_ms: report.receipt_ms,
        })
    }
}
