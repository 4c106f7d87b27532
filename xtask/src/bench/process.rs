//! A process under measurement: started, watched through `/proc`, and stopped.

use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::run::show;

/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(20);

/// A server that runs, and is stopped when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Server {
    /// Starts a server that is to listen on `address`, and waits until it does.
    ///
    /// # Errors
    ///
    /// It ends at once, or does not listen in time; its output is in `log`.
    pub(crate) fn start(command: &mut Command, address: String, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", show(command)))?;
        let mut server = Self { child, address };
        let begun = Instant::now();
        while TcpStream::connect(&server.address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{}: {status}; see {}", show(command), log.display());
            }
            if begun.elapsed() > START_MAX {
                bail!("{} does not listen; see {}", show(command), log.display());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Returns whether it still runs.
    ///
    /// # Errors
    ///
    /// The system cannot tell.
    pub(crate) fn is_running(&self) -> Result<bool> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit_once(')').context("a stat without a name")?.1;
        // One that ended and was not waited for yet is a zombie.
        Ok(!after_name.trim_start().starts_with('Z'))
    }

    /// Returns how many files and sockets it has open.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(crate) fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Begins to look for the most memory anew.
    ///
    /// # Errors
    ///
    /// The system does not let it.
    pub(crate) fn reset_peak(&self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(&path, "5").with_context(|| path)
    }

    /// Returns the processor time its threads have used, user and system.
    ///
    /// It is exact to the microsecond, where the times of `/proc/PID/stat` are rounded to ticks of 10 ms.
    /// Threads that ended are not in it; a runtime keeps its threads for longer than a run takes.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let mut nanoseconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let path = thread?.path().join("schedstat");
            // A thread may end between being listed and being read.
            let stat = fs::read_to_string(path).unwrap_or_default();
            let on_cpu = stat.split_whitespace().next();
            nanoseconds += on_cpu.map_or(Ok(0.0), str::parse::<f64>)?;
        }
        Ok(nanoseconds / 1e9)
    }

    /// Returns how many bytes it has written to files, which are not in memory only, in whole pages.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(crate) fn written(&self) -> Result<u64> {
        let counts = fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let line = counts
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes:"));
        Ok(line.context("no write_bytes")?.trim().parse()?)
    }

    /// Returns how often its threads have slept and were woken. Those of threads that ended are not in it.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(crate) fn wake_ups(&self) -> Result<u64> {
        let mut wake_ups = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end between being listed and being read.
            let status = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
            let key = "voluntary_ctxt_switches:";
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            wake_ups += line.map_or(Ok(0), |line| line.trim().parse::<u64>())?;
        }
        Ok(wake_ups)
    }

    /// Returns the most memory it has held at a time, in KiB.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(crate) fn peak_rss_kib(&self) -> Result<u64> {
        self.status_kib("VmHWM:")
    }

    /// Returns the memory it holds now, in KiB.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(crate) fn rss_kib(&self) -> Result<u64> {
        self.status_kib("VmRSS:")
    }

    fn status_kib(&self, key: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next())
            .with_context(|| format!("no {key}"))?
            .parse()
            .with_context(|| format!("a strange {key}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a command that runs a program with as many open files as the system allows.
pub(crate) fn crowded(program: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = "ulimit -n \"$(ulimit -H -n)\" && exec \"$0\" \"$@\"";
    command.args(["-c", script]).arg(program);
    command
}

/// Returns an address that no process listens on at present.
///
/// # Errors
///
/// The system has none.
pub(crate) fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
