//! The rows of the reference's observed behaviour, over the real socket.
//!
//! Ids such as RV-3 are those of the catalogue that the rows were taken from:
//! FR frames, RV registration, AC active content, SN safe names, MB magic
//! bytes, PC progress, completion and cancelling.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    client::{Client, registration},
    server::{EMBEDDED, Server, slots},
};

const SLOTS: &str = r#"
[slots.pair]
accept = ".jpg, .PNG"
max_file_size = 1000
max_entries = 4096

[slots.jpg]
accept = ".jpg"
max_entries = 4096

[slots.mime]
accept = "image/jpeg,image/png"
max_entries = 4096

[slots.star]
accept = "image/*"
max_entries = 4096

[slots.svgpng]
accept = ".svg,.png"
max_entries = 4096

[slots.open]
allow_active_content = true
max_entries = 4096

[slots.ten]
max_file_size = 10
max_entries = 4096

[slots.single]

[slots.default]
max_entries = 4096
"#;

async fn start() -> (Server, Client) {
    let server = Server::start(&(slots(EMBEDDED) + SLOTS));
    let client = Client::connect(&server.ws()).await;
    (server, client)
}

/// What a registration is answered: `ok` or the code of the refusal.
async fn register(
    client: &mut Client,
    slot: &str,
    name: &str,
    media_type: &str,
    size: u64,
) -> String {
    let upload = Uuid::new_v4();
    client
        .send(registration(upload, slot, name, media_type, size))
        .await;
    let name = upload.to_string();
    let answer = client
        .until(|message| message["ref"] == name.as_str())
        .await;
    match answer["type"].as_str() {
        Some("upload_registered") => "ok".into(),
        _ => {
            assert_eq!(
                answer["status"], "error",
                "MSG-1: a snapshot that ends it: {answer}"
            );
            answer["code"].as_str().expect("a code").into()
        }
    }
}

/// RV-1 to RV-12, RV-15, RV-16: names, types, sizes and slots at registration.
#[tokio::test]
async fn registration_rows() {
    let (_server, mut client) = start().await;
    let refused = "type_not_accepted";
    let rows = [
        ("RV-1", "pair", "photo.jpg", "image/jpeg", 500, "ok"),
        ("RV-2", "jpg", "photo.png", "", 1, refused),
        ("RV-2", "jpg", "photo.gif", "", 1, refused),
        ("RV-3", "jpg", "photo.jpg.exe", "", 1, refused),
        ("RV-3", "jpg", "a.tar.jpg", "", 1, "ok"),
        ("RV-4", "pair", "PHOTO.JPG", "", 1, "ok"),
        ("RV-4", "pair", "image.PNG", "image/png", 1, "ok"),
        ("RV-5", "jpg", "a", "", 1, refused),
        ("RV-5", "jpg", ".jpg", "", 1, refused),
        ("RV-5", "jpg", "a.jpg ", "", 1, refused),
        ("RV-5", "jpg", "a.jpg.", "", 1, refused),
        ("RV-5", "jpg", "a.jpg\0", "", 1, refused),
        ("RV-6", "pair", "script.exe", "", 1, refused),
        ("RV-6", "pair", "shell.sh", "", 1, refused),
        ("RV-6", "pair", "page.html", "", 1, "active_content"),
        ("RV-7", "any", "anything.exe", "", 1, "ok"),
        ("RV-7", "any", "anything.xyz", "", 1, "ok"),
        ("RV-8", "mime", "a.pdf", "application/pdf", 1, refused),
        ("RV-9", "star", "a.jpg", "image/jpeg", 1, "ok"),
        ("RV-9", "star", "a.png", "image/png", 1, "ok"),
        ("RV-9", "star", "a.pdf", "application/pdf", 1, refused),
        ("RV-10", "pair", "a.gif", "image/gif", 1, refused),
        ("RV-11", "pair", "a.jpg", "", 1, "ok"),
        ("RV-12", "pair", "a.jpg", "", 1000, "ok"),
        ("RV-12", "pair", "a.jpg", "", 1001, "too_large"),
        ("RV-12", "default", "a.bin", "", 10_000_000, "ok"),
        ("RV-12", "default", "a.bin", "", 10_000_001, "too_large"),
        ("RV-15", "backdoor", "a.jpg", "", 1, "unknown_slot"),
    ];
    for (id, slot, name, media_type, size, expected) in rows {
        let answer = register(&mut client, slot, name, media_type, size).await;
        assert_eq!(
            answer, expected,
            "{id}: {slot} {name:?} {media_type:?} {size}"
        );
    }
}

/// RV-13, RV-14: one entry at a time; a completed one makes room.
#[tokio::test]
async fn entries_are_counted() {
    let (_server, mut client) = start().await;
    let first = Uuid::new_v4();
    client.register(first, "single", "a.bin", 3).await;
    assert_eq!(
        register(&mut client, "single", "b.bin", "", 3).await,
        "too_many_entries"
    );
    client.send_file(first, b"abc", 65_536).await;
    assert_eq!(client.ending(first).await["status"], "complete");
    assert_eq!(register(&mut client, "single", "b.bin", "", 3).await, "ok");
}

/// RV-17: the first message carries each slot's rules.
#[tokio::test]
async fn slots_are_announced() {
    let (_server, client) = start().await;
    let slot = &client.configs["upload_configs"]["pair"];
    let expected = json!({
        "name": "pair", "accept": ".jpg,.png", "max_entries": 4096, "max_file_size": 1000,
        "chunk_size": 65536, "auto_upload": true, "resumable": false, "allow_active_content": false,
        "consumes_on_complete": true,
    });
    assert_eq!(slot, &expected);
    assert_eq!(client.configs["protocol"], 1);
}

/// AC-1 to AC-14 and the types the reference did not catch.
#[tokio::test]
async fn active_content_rows() {
    let (_server, mut client) = start().await;
    let refused = [
        ("AC-1", "star", "evil.svg", "image/svg+xml"),
        ("AC-2", "svgpng", "evil.svg", "image/svg+xml"),
        ("AC-3", "any", "page.html", "text/html"),
        ("AC-4", "any", "evil.svg", ""),
        ("AC-5", "any", "report", "text/html"),
        ("AC-6", "any", "payload.js", "application/javascript"),
        ("AC-7", "any", "evil.png", "image/svg+xml; charset=utf-8"),
        ("AC-7", "any", "evil.png", "image/svg+xml;"),
        ("AC-7", "any", "evil.png", "  image/svg+xml ; foo=bar "),
        ("AC-8", "any", "evil.bin", "text/html; charset=utf-8"),
        ("AC-9", "any", "evil.svg ", ""),
        ("AC-9", "any", "evil.svg.", ""),
        ("AC-9", "any", "evil.svg  ", ""),
        ("AC-9", "any", "evil.svg. . .", ""),
        ("AC-9", "any", r"..\..\evil.svg", ""),
        ("AC-9", "any", "/abs/path/evil.html", ""),
        ("AC-9", "any", "p.htm ", ""),
        ("AC-9", "any", "x.xhtml.", ""),
        ("AC-9", "any", "payload.js ", ""),
        ("AC-10", "any", "evil.svgz", ""),
        ("AC-10", "any", "evil.svgz", "image/svg+xml"),
        ("AC-11", "any", "EVIL.SVG", "IMAGE/SVG+XML"),
        ("AC-12", "any", "a.ｓｖｇ", ""),
        ("AC-12", "any", "a.svg\u{200b}", ""),
        ("AC-12", "any", "a.svg/", ""),
        ("AC-12", "any", "a.svg/.", ""),
        ("AC-12", "any", r"a.svg\", ""),
        ("more", "any", "a.xml", ""),
        ("more", "any", "a.xht", ""),
        ("more", "any", "a.shtml", ""),
        ("more", "any", "a.mjs", ""),
        ("more", "any", "a.cjs", ""),
        ("more", "any", "a.xsl", ""),
        ("more", "any", "a.xslt", ""),
        ("more", "any", "a.rdf", ""),
        ("more", "any", "a.hta", ""),
        ("more", "any", "a.htc", ""),
        ("more", "any", "a.mht", ""),
        ("more", "any", "a.mhtml", ""),
        ("more", "any", "a.swf", ""),
        ("more", "any", "a.wasm", ""),
        ("more", "any", "a.svg.gz", ""),
        ("more", "any", "a", "text/xml"),
        ("more", "any", "a", "application/xml"),
        ("more", "any", "a", "application/x-javascript"),
        ("more", "any", "a", "text/ecmascript"),
        ("more", "any", "a", "application/ecmascript"),
        ("more", "any", "a", "application/xslt+xml"),
        ("more", "any", "a", "application/mathml+xml"),
        ("more", "any", "a", "multipart/x-mixed-replace"),
        ("more", "any", "a", "text/html,image/png"),
        ("more", "any", "a", "text/html\0"),
    ];
    for (id, slot, name, media_type) in refused {
        let answer = register(&mut client, slot, name, media_type, 10).await;
        assert_eq!(answer, "active_content", "{id}: {name:?} {media_type:?}");
    }
    let accepted = [
        ("AC-13", "any", "photo.png", "image/png"),
        ("AC-13", "any", "photo.jpg", ""),
        ("AC-13", "any", "notes.txt", ""),
        ("AC-13", "any", "rows.csv", "text/csv; charset=utf-8"),
        ("AC-13", "any", "config.json", ""),
        ("AC-13", "any", "report.pdf", ""),
        ("AC-14", "open", "logo.svg", ""),
        ("AC-14", "open", "page.html", ""),
    ];
    for (id, slot, name, media_type) in accepted {
        let answer = register(&mut client, slot, name, media_type, 10).await;
        assert_eq!(answer, "ok", "{id}: {name:?} {media_type:?}");
    }
}

/// Uploads `bytes` and returns how it ended.
async fn upload(
    client: &mut Client,
    slot: &str,
    name: &str,
    media_type: &str,
    bytes: &[u8],
) -> Value {
    let upload = Uuid::new_v4();
    client
        .send(registration(
            upload,
            slot,
            name,
            media_type,
            bytes.len() as u64,
        ))
        .await;
    let text = upload.to_string();
    let answer = client
        .until(|message| message["ref"] == text.as_str())
        .await;
    assert_eq!(answer["type"], "upload_registered", "{name}: {answer}");
    if !bytes.is_empty() {
        client.chunk(upload, 0, bytes).await;
    }
    client.complete(upload, None).await;
    client.ending(upload).await
}

/// RV-19, the table of safe names, PC-8: the stored name is safe, and inside.
#[tokio::test]
async fn stored_names_are_safe() {
    let (server, mut client) = start().await;
    let long = "x".repeat(300) + ".png";
    let rows = [
        ("../../../etc/x", "x"),
        ("/etc/passwd", "passwd"),
        (r"..\..\win", "win"),
        ("....//x", "x"),
        (".bashrc", "bashrc"),
        (".", "upload"),
        ("..", "upload"),
        ("....", "upload"),
        ("inno\0cent\u{1}.jpg", "innocent.jpg"),
        ("", "upload"),
        ("   ", "upload"),
        ("my report (1).png", "my report (1).png"),
        ("résumé.pdf", "résumé.pdf"),
        ("／etc／passwd", "passwd"),
        ("．．／．．／etc", "etc"),
        (r"..＼..＼win.exe", "win.exe"),
        ("．．／．．", "upload"),
        ("inv\u{200b}isible.png", "invisible.png"),
        ("evil.png.", "evil.png"),
        ("foo. . .", "foo"),
        ("report.pdf   ", "report.pdf"),
        (r"C:\x\y.txt", "y.txt"),
        ("℀.txt", "c.txt"),
        ("％2e.txt", "%2e.txt"),
    ];
    for (raw, expected) in rows {
        let media_type = "application/octet-stream";
        let bytes: &[u8] = match expected.rsplit('.').next() {
            Some("png") => b"\x89PNG\r\n\x1a\n0000000000000",
            Some("jpg") => b"\xff\xd8\xff\xe0000000000000000",
            Some("pdf") => b"%PDF-1.4\n0000000000",
            Some("exe") => b"MZ00000000000000000",
            _ => b"plain words",
        };
        let ended = upload(&mut client, "any", raw, media_type, bytes).await;
        assert_eq!(ended["status"], "complete", "{raw:?}: {ended}");
        let path = ended["result"]["path"].as_str().expect("a path").to_owned();
        let (slot, name) = path.split_once('/').expect("slot and name");
        assert_eq!((slot, &name[37..]), ("any", expected), "{raw:?}");
        assert!(server.dir().join("files").join(&path).is_file());
    }
    let ended = upload(
        &mut client,
        "any",
        &long,
        "",
        b"\x89PNG\r\n\x1a\n0000000000000",
    )
    .await;
    let path = ended["result"]["path"].as_str().expect("a path").to_owned();
    let name = path.split_once('/').expect("slot and name").1;
    assert!(name.len() <= 255 && name.ends_with(".png"), "{name}");
    for (raw, never) in [
        ("CON", "-CON"),
        ("a.txt:stream", ":"),
        ("a\u{2028}b.txt", "\u{2028}"),
        ("evil\u{202e}gpj.txt", "\u{202e}"),
    ] {
        let ended = upload(&mut client, "any", raw, "", b"plain words").await;
        let path = ended["result"]["path"].as_str().expect("a path");
        assert!(!path[40..].contains(never), "{raw:?} became {path:?}");
    }
}

/// MB-1 to MB-11: declared type, extension and bytes agree, on any path.
#[tokio::test]
async fn magic_byte_rows() {
    let (server, mut client) = start().await;
    let jpeg: &[u8] = b"\xff\xd8\xff\xe000000000000000000000";
    let png: &[u8] = b"\x89PNG\r\n\x1a\n0000000000000";
    let mz: &[u8] = b"MZ\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let webp: &[u8] = b"RIFF0000WEBPVP8 00000000";
    let riff: &[u8] = b"RIFF0000XXXXVP8 00000000";
    let bad = "content_mismatch";
    let rows: &[(&str, &str, &str, &[u8], &str)] = &[
        ("MB-1", "a.jpg", "image/jpeg", jpeg, "complete"),
        ("MB-2", "a.jpg", "image/jpeg", png, bad),
        ("MB-2", "a.png", "image/png", jpeg, bad),
        ("MB-2", "a.jpg", "image/jpeg", mz, bad),
        ("MB-3", "a.webp", "image/webp", riff, bad),
        ("MB-3", "a.webp", "image/webp", webp, "complete"),
        (
            "MB-4",
            "a.pdf",
            "application/pdf",
            b"%PDF-1.4\n00000000000",
            "complete",
        ),
        // COMPLETE-5: a file may be empty, and then it contradicts nothing.
        ("MB-5", "a.jpg", "image/jpeg", b"", "complete"),
        ("MB-5", "a.jpg", "image/jpeg", b"\xff", bad),
        ("MB-5", "a.jpg", "image/jpeg", b"\xff\xd8", bad),
        (
            "MB-6",
            "a.txt",
            "text/plain",
            b"any words at all",
            "complete",
        ),
        ("MB-6", "a.bin", "application/octet-stream", mz, "complete"),
        ("MB-8", "a.png", "", mz, bad),
        ("MB-10", "a.png", "IMAGE/PNG", mz, bad),
        ("MB-10", "a.png", "image/png; q=1", mz, bad),
        ("MB-10", "a.png", "application/octet-stream", mz, bad),
        ("MB-11", "a.txt", "text/plain", b"", "complete"),
        (
            "bytes",
            "a.txt",
            "text/plain",
            b"<!DOCTYPE html><html><script>1</script>",
            "active_content",
        ),
    ];
    for (id, name, media_type, bytes, expected) in rows {
        let before = server.stored("any").len();
        let ended = upload(&mut client, "any", name, media_type, bytes).await;
        let answer = if ended["status"] == "complete" {
            &ended["status"]
        } else {
            &ended["code"]
        };
        assert_eq!(answer, expected, "{id}: {name} {media_type} {ended}");
        let stored = usize::from(*expected == "complete");
        assert_eq!(server.stored("any").len(), before + stored, "{id}");
        assert!(
            server.temporary().is_empty(),
            "{id}: nothing touches storage before the verdict"
        );
    }
}

/// MB-7: an SVG is an SVG where active content is allowed.
#[tokio::test]
async fn allowed_svg() {
    let (_server, mut client) = start().await;
    let svg = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>";
    let ended = upload(&mut client, "open", "a.svg", "image/svg+xml", svg).await;
    assert_eq!(ended["status"], "complete", "{ended}");
    let page = b"<!DOCTYPE html><html><body>not a picture</body></html>";
    let ended = upload(&mut client, "open", "a.svg", "image/svg+xml", page).await;
    assert_eq!(ended["code"], "content_mismatch", "{ended}");
}

/// PC-1, PC-2, PC-5, PC-6, PC-7, WL-9: progress in percent, and nothing past
/// the declared size (CHUNK-5).
#[tokio::test]
async fn progress_and_excess() {
    let (server, mut client) = start().await;
    let upload = Uuid::new_v4();
    client.register(upload, "any", "a.bin", 100).await;
    client.chunk(upload, 0, b"hello").await;
    client.chunk(upload, 1, b"world").await;
    let name = upload.to_string();
    let told = client
        .until(|message| message["ref"] == name.as_str() && message["bytes_received"] == 10)
        .await;
    assert_eq!(told["progress"], 10, "PC-1");
    client.chunk(upload, 2, &[7; 91]).await;
    let ended = client.ending(upload).await;
    assert_eq!(
        (&ended["status"], &ended["code"]),
        (&json!("error"), &json!("size_exceeded"))
    );

    let upload = Uuid::new_v4();
    client.register(upload, "ten", "a.bin", 10).await;
    client.chunk(upload, 0, b"12345").await;
    client.chunk(upload, 1, b"678901").await;
    assert_eq!(client.ending(upload).await["code"], "size_exceeded", "WL-9");
    assert!(server.temporary().is_empty() && server.stored("ten").is_empty());

    let upload = Uuid::new_v4();
    client.register(upload, "ten", "a.bin", 10).await;
    client.send_file(upload, b"0123456789", 4).await;
    assert_eq!(client.ending(upload).await["status"], "complete", "PC-5");
    server.assert_stored_once("ten", b"0123456789");
}

/// PC-9, FR-14, COMPLETE-6: cancelling removes everything, and its answer stays.
#[tokio::test]
async fn cancelling() {
    let (server, mut client) = start().await;
    let upload = Uuid::new_v4();
    client.register(upload, "any", "a.bin", 1 << 20).await;
    client.chunk(upload, 0, &[7; 65_536]).await;
    client.cancel(upload).await;
    let ended = client.ending(upload).await;
    assert_eq!(
        (&ended["status"], &ended["code"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    client.chunk(upload, 1, &[7; 65_536]).await;
    client.complete(upload, None).await;
    let again = client.ending(upload).await;
    assert_eq!(
        (&again["status"], &again["code"]),
        (&ended["status"], &ended["code"])
    );
    assert!(server.stored("any").is_empty());
    for _ in 0..100 {
        if server.temporary().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the temporary file stays: {:?}", server.temporary());
}
