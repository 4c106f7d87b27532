//! What `upload-server send` says of files that wait for their application.

use std::{path::PathBuf, process::Output};

use serde_json::Value;
use upload_server::SlotOptions;

use crate::world::World;

/// Runs the program in the world's folder.
async fn send(world: &World, slot: &'static str, words: &'static [&'static str]) -> Output {
    let (url, home): (_, PathBuf) = (format!("http://{}", world.http), world.dir.path().into());
    let run = move || {
        std::process::Command::new(env!("CARGO_BIN_EXE_upload-server"))
            .args(["send", "--slot", slot, "--url", &url])
            .args(words)
            .current_dir(&home)
            .env("XDG_STATE_HOME", home.join("state-of-send"))
            .env_remove("RUST_LOG")
            .output()
            .expect("send runs")
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file that waits is stored, which is success; that no application has it yet is said, to people and to programs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_says_what_waits_for_the_application() {
    let world = World::with(|builder| {
        let taken = SlotOptions::new().consume_on_complete(true);
        builder.allow_upload("taken", taken)
    })
    .await;
    for name in ["a.txt", "b.txt"] {
        std::fs::write(world.dir.path().join(name), name).expect("written");
    }
    let rows: [(_, _, &'static [&'static str], &[&str]); 3] = [
        (
            "many",
            true,
            &["--json", "a.txt", "b.txt"],
            &["they wait until the application takes them"],
        ),
        (
            "one",
            true,
            &["--json", "a.txt"],
            &["it waits until the application takes it"],
        ),
        ("taken", false, &["--json", "a.txt"], &[]),
    ];
    for (slot, waits, words, said) in rows {
        let sent = send(&world, slot, words).await;
        let (out, err) = (text(&sent.stdout), text(&sent.stderr));
        assert_eq!(sent.status.code(), Some(0), "{slot}: {err}");
        let lines: Vec<Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect();
        assert_eq!(lines.len(), words.len() - 1, "{out}");
        for line in &lines {
            assert_eq!(line["ok"], true, "{line}");
            assert_eq!(line["waits"], waits, "{line}");
        }
        let last = err.lines().last().unwrap_or_default();
        match said {
            [words] => assert_eq!(last, *words, "{slot}"),
            _ => assert!(last.contains("1 file stored: "), "{slot}: {err}"),
        }
        assert_eq!(world.files(slot), lines.len(), "{slot}");
    }
}

/// A slot that has no place for more until its application takes some is a refusal, with its code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_is_refused_where_too_many_wait() {
    let world = World::with(|builder| {
        let mut limits = upload_server::Limits::default();
        limits.session.max_waiting_per_owner = 1;
        builder.limits(limits)
    })
    .await;
    for name in ["a.txt", "b.txt"] {
        std::fs::write(world.dir.path().join(name), name).expect("written");
    }
    let sent = send(&world, "many", &["--json", "--jobs", "1", "a.txt", "b.txt"]).await;
    let (out, err) = (text(&sent.stdout), text(&sent.stderr));
    assert_eq!(sent.status.code(), Some(1), "{err}");
    let last: Value = serde_json::from_str(out.lines().last().expect("two lines")).expect("JSON");
    assert_eq!(last["ok"], false, "{last}");
    assert_eq!(last["code"], "too_many_entries", "{last}");
    assert!(err.contains("1 file stored, 1 not"), "{err}");
    assert_eq!(world.files("many"), 1);
}
