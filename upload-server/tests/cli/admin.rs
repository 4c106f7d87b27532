//! `list`, `show` and `cancel`, where there is nothing to tell.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use crate::{dir, run, text};

const UPLOAD: &str = "0c616890-3cb6-4159-8dbe-059670948764";

/// What each of them is called with.
const ALL: [&[&str]; 3] = [&["list"], &["show", UPLOAD], &["cancel", UPLOAD]];

/// Of who comes from an address of the machine, the server does not know that it is on it.
#[test]
fn an_address_of_the_machine_needs_admin_listen() {
    let dir = dir();
    let env = [("UPLOAD_LISTEN", "192.0.2.1:80"), ("UPLOAD_DEMO", "true")];
    for args in ALL {
        let asked = run(dir.path(), args, &env);
        let err = text(&asked.stderr);
        assert!(!asked.status.success());
        assert!(err.contains("192.0.2.1 needs admin_listen"), "{err}");
    }
}

/// A server without a list says nothing about any upload.
#[test]
fn a_missing_list_is_no_missing_upload() {
    let dir = dir();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("a client");
            let mut request = [0; 4096];
            assert!(client.read(&mut request).expect("a request") > 0);
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
            client.write_all(answer).expect("answered");
        }
    });
    for args in ALL {
        let asked = run(dir.path(), args, &[("UPLOAD_LISTEN", &address)]);
        let err = text(&asked.stderr);
        assert!(!asked.status.success());
        assert!(err.contains("has no /admin/uploads"), "{err}");
        assert!(!err.contains("no such upload"), "{err}");
    }
}
