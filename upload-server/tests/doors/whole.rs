//! Clients that say of everything they send that it is whole, as upload tasks of iOS and macOS do without being asked
//! (R2).

use upload_server::Door;

use crate::wire::{Answer, LAST, MORE, Server, files};

const FILES: &str = "/uploads/files/files";
const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=b");
const PARTS: &[u8] = b"--b\r\n\
    content-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n\
    abc\r\n--b--\r\n";
/// In words of version 3: nothing is missing, or something is.
const NOT_INCOMPLETE: (&str, &str) = ("upload-incomplete", "?0");
const INCOMPLETE: (&str, &str) = ("upload-incomplete", "?1");

fn version(version: &str) -> (&str, &str) {
    ("upload-draft-interop-version", version)
}

/// Asserts that the answer is the one to a plain file, or to a form.
#[track_caller]
fn assert_plain(answer: &Answer) {
    assert_eq!(answer.status, 201, "{answer:?}");
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/json"), "{answer:?}");
    assert_eq!(answer.header("upload-complete"), None, "{answer:?}");
}

/// R2: the files of a form are its parts, whatever is said of it as a whole.
#[tokio::test]
async fn r2_a_form_that_is_whole_is_a_form() {
    let server = Server::start().await;
    for headers in [
        &[version("6"), LAST, FORM][..],
        &[version("3"), NOT_INCOMPLETE, FORM],
        &[version("6"), FORM],
    ] {
        let answer = server.ask("POST", FILES, headers, PARTS).await;
        assert_plain(&answer);
        let json = answer.json();
        assert_eq!(json["uploads"][0]["name"], "a.txt", "{json}");
    }
    assert_eq!(server.stored(), [b"abc", b"abc", b"abc"]);
}

/// R2: nothing can be appended to the files of a form.
#[tokio::test]
async fn r2_a_form_is_not_sent_in_pieces() {
    let server = Server::start().await;
    let headers = [version("6"), MORE, FORM];
    let answer = server.ask("POST", FILES, &headers, PARTS).await;
    assert_eq!(answer.status, 415, "{answer:?}");
    assert!(server.stored().is_empty());
}

/// R2: version 3 is not spoken, and a whole file in its words asks for nothing of it.
#[tokio::test]
async fn r2_a_whole_file_of_version_3_is_a_plain_one() {
    let server = Server::start().await;
    let whole = [version("3"), NOT_INCOMPLETE];
    assert_plain(&server.ask("POST", FILES, &whole, b"abc").await);
    assert_eq!(server.stored(), [b"abc"]);
    let begun = [version("3"), INCOMPLETE];
    let answer = server.ask("POST", FILES, &begun, b"abc").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(server.stored(), [b"abc"]);
}

/// R2: a slot that resumes nothing takes what is whole, as every server does that knows nothing of the draft.
#[tokio::test]
async fn r2_a_slot_of_plain_files_takes_what_is_whole() {
    const SLOT: &str = "/uploads/files/plain";
    const NAMED: &str = "/uploads/files/plain/by-name/b.txt";

    let server = Server::with(|builder| {
        let options = files().doors([Door::Plain]);
        builder.allow_upload("plain", options)
    })
    .await;
    for (method, path, headers) in [
        (
            "POST",
            SLOT,
            &[version("6"), LAST, ("upload-length", "3")][..],
        ),
        ("POST", SLOT, &[version("3"), NOT_INCOMPLETE]),
        ("POST", SLOT, &[version("8")]),
        ("PUT", NAMED, &[version("6"), LAST]),
    ] {
        let answer = server.ask(method, path, headers, b"abc").await;
        assert_plain(&answer);
    }
    assert_eq!(server.stored(), [b"abc", b"abc", b"abc", b"abc"]);
    let names = server.stored_names();
    assert!(
        names.iter().any(|name| name.ends_with("-b.txt")),
        "{names:?}"
    );
    // What comes in pieces is no plain file.
    let answer = server
        .ask("POST", SLOT, &[version("6"), MORE], b"abc")
        .await;
    assert_eq!(answer.status, 404, "{answer:?}");
}
