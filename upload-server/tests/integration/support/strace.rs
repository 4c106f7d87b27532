//! Attaching `strace` to a running server.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::server::Server;

/// Longest time `strace` may take to attach.
const ATTACH_MAX: Duration = Duration::from_secs(20);
/// Longest time it may take to let go.
const DETACH_MAX: Duration = Duration::from_secs(5);

/// Attaches to all threads of the server with these options, and returns once it has.
pub fn attach(server: &Server, options: &[&str]) -> Child {
    attach_to(server.pid(), server.dir(), options)
}

/// Attaches to all threads of a process; what `strace` says goes to a file in `dir`.
pub fn attach_to(pid: u32, dir: &Path, options: &[&str]) -> Child {
    let heard = dir.join("strace.txt");
    let mut strace = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-p", &pid.to_string()])
        .args(options)
        .stdout(Stdio::null())
        .stderr(File::create(&heard).expect("a file"))
        .spawn()
        .expect("strace runs; install it with: apt-get install strace");
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(&heard).unwrap_or_default();
        if text.contains(" attached") {
            return strace;
        }
        let has_ended = !matches!(strace.try_wait(), Ok(None));
        assert!(
            !has_ended && began.elapsed() < ATTACH_MAX,
            "strace can not attach; allow it with: sysctl kernel.yama.ptrace_scope=0\n{text}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

/// Lets go of the server, which goes on if it lives.
pub fn detach(strace: &mut Child) {
    let pid = strace.id().to_string();
    let _ = Command::new("kill")
        .args(["-s", "INT", &pid])
        .stderr(Stdio::null())
        .status();
    // It can wait for ever for a process that dies while it lets go of it.
    let began = Instant::now();
    while matches!(strace.try_wait(), Ok(None)) && began.elapsed() < DETACH_MAX {
        thread::sleep(Duration::from_millis(2));
    }
    let _ = strace.kill();
    strace.wait().expect("its end");
}
