//! The same command once more, after a run that was killed or did not store everything.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Command,
    thread,
};

use super::{lines, output, send, set_up, text};
use crate::{
    signing_in::{SECRET, signed},
    support::server::{EMBEDDED, Server, slots},
};

/// What a killed run stored is not sent again; once all is stored, the same command sends anew.
#[test]
fn what_a_killed_run_stored_is_not_sent_again() {
    let server = set_up();
    fs::write(server.dir().join("a.txt"), b"first").expect("written");
    let pipe = server.dir().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let words = ["--json", "--jobs", "1", "a.txt", "pipe"];
    let mut killed = send(server.dir(), &server.ws(), &words)
        .spawn()
        .expect("send runs");
    let mut line = String::new();
    let stdout = killed.stdout.take().expect("piped");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("the first file's line");
    assert!(line.contains("\"ok\":true"), "{line}");
    // It waits for a writer of the pipe.
    killed.kill().expect("killed");
    killed.wait().expect("its end");
    assert_eq!(server.stored("any").len(), 1);

    let writer = thread::spawn(move || fs::write(pipe, b"second"));
    let sent = output(send(server.dir(), &server.ws(), &words));
    writer.join().expect("no panic").expect("written");
    let said = text(&sent.stderr);
    assert!(sent.status.success(), "{said}");
    assert!(
        said.contains("2 files stored (1 by an earlier run): 6 B in "),
        "{said}"
    );
    let lines = lines(&sent);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0]["file"], "a.txt");
    assert_eq!(lines[0]["earlier"], true);
    assert_eq!(server.stored("any").len(), 2);

    let anew = output(send(server.dir(), &server.ws(), &["a.txt"]));
    assert!(anew.status.success(), "{}", text(&anew.stderr));
    assert_eq!(server.stored("any").len(), 3);
}

/// What one visitor stored, another one sends again.
#[test]
fn what_another_visitor_stored_is_sent() {
    let server = set_up();
    fs::write(server.dir().join("a.txt"), b"a").expect("written");
    let stored_by = |who: &str| {
        let words = ["--header", who, "a.txt", "gone.txt"];
        output(send(server.dir(), &server.ws(), &words));
        server.stored("any").len()
    };
    assert_eq!(stored_by("X-Tenant: one"), 1);
    assert_eq!(stored_by("X-Tenant: one"), 1);
    assert_eq!(stored_by("X-Tenant: two"), 2);
}

/// A visitor whose token ends during a run continues with the next one.
#[test]
fn a_new_token_of_the_same_visitor_sends_nothing_twice() {
    let auth = format!("[auth.jwt]\nsecret = \"{SECRET}\"\n");
    let server = Server::start(&(slots(EMBEDDED) + &auth));
    fs::write(server.dir().join("a.txt"), b"a").expect("written");
    let stored_by = |who: &str, seconds: u64| {
        let mut sending = send(server.dir(), &server.ws(), &["a.txt", "gone.txt"]);
        sending.env("SEND_TOKEN", signed(who, seconds));
        let sent = output(sending);
        assert!(!sent.status.success());
        server.stored("any").len()
    };
    assert_eq!(stored_by("alice", 600), 1);
    assert_eq!(stored_by("alice", 1_200), 1);
    assert_eq!(stored_by("bob", 600), 2);
    assert_eq!(stored_by("bob", 1_200), 2);
}

/// As long as something is missing, what is stored is left out, unless all is to be sent again.
#[test]
fn a_restart_sends_again_what_was_stored() {
    let server = set_up();
    fs::write(server.dir().join("a.txt"), b"a").expect("written");
    let stored_after = |more: &[&str]| {
        let words = [&["a.txt", "gone.txt"][..], more].concat();
        let sent = output(send(server.dir(), &server.ws(), &words));
        assert!(!sent.status.success());
        server.stored("any").len()
    };
    assert_eq!(stored_after(&[]), 1);
    assert_eq!(stored_after(&[]), 1);
    assert_eq!(stored_after(&["--restart"]), 2);
    assert_eq!(stored_after(&[]), 2);
}
