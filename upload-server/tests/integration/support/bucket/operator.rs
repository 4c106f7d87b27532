//! The script with which an operator tries everything at once.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::task::block_in_place;

use crate::support::server::{binary, without_our_variables};

/// Longest time that all of it may take.
const GUARD: Duration = Duration::from_secs(300);

/// Runs `docs/deploy/operator.sh` with these variables, and prints the seconds of each step.
pub fn the_script_runs(variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().expect("a directory");
    // The database runs as another user.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/deploy/operator.sh");
    let said = fs::File::create(folder.path().join("said")).expect("a file");
    let mut command = without_our_variables(Command::new("bash"));
    command
        .arg(script)
        .arg(folder.path())
        .env("UPLOAD_SERVER_BINARY", binary())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(said.try_clone().expect("a handle"))
        .stderr(said);
    let begun = Instant::now();
    let status = block_in_place(|| {
        let mut child = command.spawn().expect("bash");
        loop {
            match child.try_wait().expect("a child") {
                Some(status) => break Some(status),
                None if begun.elapsed() > GUARD => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    });
    let said = fs::read_to_string(folder.path().join("said")).expect("text");
    println!("{said}");
    assert!(status.is_some_and(|status| status.success()), "{said}");
    for step in [
        "sign-in: refused without a token",
        "tus by curl: 48 MiB, a restart half way",
        "the object is the file",
        "send: four files over wss",
        "records in Postgres, metrics",
        "the server ends by SIGTERM",
    ] {
        assert!(said.contains(step), "{said}");
    }
}
