//! Two network namespaces, and the link between them.

use std::{
    fmt,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{self, Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use super::{CHUNK_BYTES, Links, Sender};
use crate::{
    bench::{
        config::server_config,
        process::crowded,
        subject::{Bed, Load, Subject},
    },
    run::output_of,
};

/// Addresses of both ends; nothing else is in these namespaces.
const NEAR: &str = "10.0.0.1/30";
const FAR: &str = "10.0.0.2/30";
const FAR_ADDRESS: &str = "10.0.0.2:8080";
/// How long the receiver may take to listen.
const START_MAX: Duration = Duration::from_secs(20);
/// Of a million segments, so many are lost where some are.
const LOST_PER_MILLION: u64 = 1000;
/// The middle time between two stalls.
const STALL_EVERY_MS: u64 = 2000;

/// What a link does besides being long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Condition {
    /// Nothing
    Clean,
    /// Stalls for 200 ms every 2 s or so
    Stalls,
    /// Loses 0.1 % of the segments
    Losses,
    /// Stalls, and loses
    Both,
}

impl Condition {
    pub(super) const ALL: &[Self] = &[Self::Clean, Self::Stalls, Self::Losses, Self::Both];
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clean => "nothing lost",
            Self::Stalls => "stalls",
            Self::Losses => "0.1 % lost",
            Self::Both => "0.1 % lost, and stalls",
        })
    }
}

/// The namespaces; gone when it is dropped.
pub(super) struct Net {
    near: String,
    far: String,
    congestion: String,
    link: Child,
    /// The link ends with it.
    input: ChildStdin,
}

/// A receiver, which is stopped when it is dropped.
pub(super) struct Receiver(Child);

impl Net {
    /// Makes the namespaces and the link.
    ///
    /// # Errors
    ///
    /// This is not root, or the kernel has neither namespaces nor TUN devices.
    pub(super) fn open(bed: &Bed, links: &Links, condition: Condition, seed: u32) -> Result<Self> {
        let id = process::id();
        let [near, far] = ["near", "far"].map(|end| format!("upload-{end}-{id}"));
        let [near_device, far_device] = ["upn", "upf"].map(|end| format!("{end}{id}"));
        let congestion = links.congestion.clone().or_else(congestion);
        let congestion = congestion.context("the system names no congestion control")?;
        let mut command = Command::new(bed.program("link"));
        command
            .args(["--near", &near_device, "--far", &far_device])
            .args(["--round-trip-ms", &links.round_trip_ms.to_string()])
            .args(["--mbit", &links.mbit.to_string()])
            .args(["--queue", &links.queue_bytes().to_string()])
            .args(["--seed", &seed.to_string()]);
        if matches!(condition, Condition::Stalls | Condition::Both) {
            command.args(["--stall-every-ms", &STALL_EVERY_MS.to_string()]);
        }
        if matches!(condition, Condition::Losses | Condition::Both) {
            command.args(["--lost-per-million", &LOST_PER_MILLION.to_string()]);
        }
        let mut link = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the link")?;
        let input = link.stdin.take().context("piped")?;
        let mut lines = BufReader::new(link.stdout.take().context("piped")?).lines();
        // From here on everything is removed again, whatever fails.
        let mut net = Self {
            near,
            far,
            congestion,
            link,
            input,
        };
        ensure!(
            lines.next().transpose()?.as_deref() == Some("ready"),
            "there is no link: TUN devices take root"
        );
        let ends = [(&net.near, near_device, NEAR), (&net.far, far_device, FAR)];
        for (namespace, device, address) in ends {
            make(namespace, &device, address)?;
            net.tune(namespace, links.socket_mib << 20)?;
        }
        net.input.write_all(b"begin\n")?;
        Ok(net)
    }

    fn tune(&self, namespace: &str, socket_bytes: u64) -> Result<()> {
        let settings = [
            format!("net.ipv4.tcp_rmem=4096 131072 {socket_bytes}"),
            format!("net.ipv4.tcp_wmem=4096 131072 {socket_bytes}"),
            // What one run learned of the path must not help the next.
            "net.ipv4.tcp_no_metrics_save=1".to_owned(),
            format!("net.ipv4.tcp_congestion_control={}", self.congestion),
        ];
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "sysctl", "-q", "-w"]);
        output_of(command.args(settings)).map(drop)
    }

    /// Returns where the receiver listens.
    pub(super) fn address(&self) -> String {
        FAR_ADDRESS.to_owned()
    }

    /// Returns a command that runs a program at the near end.
    pub(super) fn near(&self, program: &Path) -> Command {
        let mut command = self.at(&self.near);
        command
            .arg(program)
            .env("UPLOAD_BENCH_CONGESTION", &self.congestion);
        command
    }

    fn at(&self, namespace: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]);
        command
    }

    /// Starts what receives at the far end, and waits until it listens.
    ///
    /// # Errors
    ///
    /// It ends at once, or does not listen in time.
    pub(super) fn receiver(&self, bed: &Bed, sender: Sender, load: Load) -> Result<Receiver> {
        let mut command = self.at(&self.far);
        match sender {
            Sender::Plain | Sender::Chunks => {
                command
                    .arg(bed.program("plain"))
                    .args(["receive", "--listen", FAR_ADDRESS]);
                if sender == Sender::Chunks {
                    command.args(["--chunk", &CHUNK_BYTES.to_string()]);
                }
            }
            Sender::Socket | Sender::Tus | Sender::Patches => {
                let (data, config) = (bed.folder().join("data"), bed.folder().join("server.toml"));
                fs::create_dir_all(&data)?;
                let text = server_config(Subject::Server, FAR_ADDRESS, &data, load, None);
                fs::write(&config, text)?;
                let server = crowded(bed.server());
                command.arg(server.get_program()).args(server.get_args());
                command.arg("--config").arg(config).env("RUST_LOG", "warn");
            }
        }
        let log = bed.folder().join("links.log");
        let output = File::create(&log)?;
        let child = command
            .current_dir(bed.folder())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start the receiver")?;
        let mut receiver = Receiver(child);
        let begun = Instant::now();
        while !receiver.listens()? {
            if let Some(status) = receiver.0.try_wait()? {
                bail!("the receiver: {status}; see {}", log.display());
            }
            ensure!(
                begun.elapsed() < START_MAX,
                "the receiver does not listen; see {}",
                log.display()
            );
            thread::sleep(Duration::from_millis(10));
        }
        Ok(receiver)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = self.link.kill();
        let _ = self.link.wait();
        for namespace in [&self.near, &self.far] {
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .status();
        }
    }
}

impl Receiver {
    /// Tells whether a socket of its namespace listens.
    fn listens(&self) -> Result<bool> {
        let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", self.0.id()))?;
        // The far address in the kernel's order, port 8080, state 10.
        Ok(sockets.contains("0200000A:1F90 00000000:0000 0A"))
    }

    /// Stops it.
    pub(super) fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes a namespace with a device in it.
fn make(namespace: &str, device: &str, address: &str) -> Result<()> {
    for line in [
        format!("netns add {namespace}"),
        format!("link set {device} netns {namespace}"),
        format!("-n {namespace} addr add {address} dev {device}"),
        format!("-n {namespace} link set {device} up"),
        format!("-n {namespace} link set lo up"),
    ] {
        output_of(Command::new("ip").args(line.split(' ')))
            .with_context(|| format!("ip {line}"))?;
    }
    Ok(())
}

/// Returns the system's congestion control.
pub(super) fn congestion() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").ok()?;
    Some(name.trim().to_owned())
}
