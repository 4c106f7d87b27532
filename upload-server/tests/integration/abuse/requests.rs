//! Requests beside the socket: handshakes from wrong pages, status of nobody's refs, bodies that are
//! not signed or make no sense.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{
    case::{Body, Fields, Input, REF, Right, Table},
    registrations::refs,
    texts::{LONE, NO_TEXT},
};

/// What the server's webhook is configured with.
pub const SECRET: &str = "of the webhook, which has 32 bytes";

/// The longest path that HTTP itself takes here, in bytes.
const HEAD_BYTES_MAX: usize = 8_000;

const NO_HEADERS: &[(&str, &str)] = &[];

/// CONN-1: pages of other hosts, ports and schemes, and what is no origin.
pub fn origins(table: &mut Table, port: u16) {
    let mut origins: Vec<String> = [
        "",
        "null",
        "*",
        "//",
        "http://",
        "https://",
        "http:",
        "localhost",
        "file://",
        "about:blank",
        "data:text/html,x",
        "http:///",
        "http://,",
        "http:// ",
        "\u{ff}",
        "http://évil.example",
        "http://[",
        "http://[::1",
        "http://%31",
        "http://127.0.0.1%00",
        "undefined",
    ]
    .map(str::to_owned)
    .into();
    let own = format!("http://127.0.0.1:{port}");
    for tail in [
        "/",
        "/path",
        "?x",
        "#x",
        "@evil.example",
        " http://evil.example",
        ",*",
        "0",
        "\\",
        ":80",
    ] {
        origins.push(format!("{own}{tail}"));
    }
    for other in [1, 80, 8080, port.wrapping_add(1), port.wrapping_sub(1)] {
        origins.push(format!("http://127.0.0.1:{other}"));
    }
    let hosts = [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil@127.0.0.1",
        "127.0.0.1@evil.example",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "127.1",
        "0x7f000001",
        "2130706433",
        "127.0.0.2",
        "0.0.0.0",
        "127.0.0.1..",
    ];
    for scheme in [
        "http",
        "https",
        "ws",
        "wss",
        "ftp",
        "file",
        "chrome-extension",
        "javascript",
    ] {
        for host in hosts {
            for port in [
                String::new(),
                format!(":{port}"),
                ":1".to_owned(),
                ":99999".to_owned(),
                ":".to_owned(),
            ] {
                origins.push(format!("{scheme}://{host}{port}"));
            }
        }
        if !scheme.starts_with("http") {
            origins.push(format!("{scheme}://127.0.0.1:{port}"));
        }
    }
    for origin in &origins {
        let headers = handshake(&[("Origin", origin)]);
        let asks = request("GET", "/uploads/ws", port, &headers, b"");
        table.add(asks, Right::Status(403, Body::Any));
        let body = presigned(&good()).into_bytes();
        let asks = request(
            "POST",
            "/uploads/presign",
            port,
            &[("Origin", origin)],
            &body,
        );
        table.add(asks, Right::http(403, "forbidden"));
    }
    let twice = handshake(&[("Origin", &own), ("Origin", &own)]);
    let asks = request("GET", "/uploads/ws", port, &twice, b"");
    table.add(asks, Right::Status(403, Body::Any));
}

/// RFC 6455, 4.2.1: requests that ask for no WebSocket, or for one of another kind.
pub fn handshakes(table: &mut Table, port: u16) {
    let mut asks = |method: &str, headers: &[(&str, &str)], status| {
        let asks = request(method, "/uploads/ws", port, headers, b"");
        table.add(asks, Right::Status(status, Body::Any));
    };
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        asks(method, &handshake(NO_HEADERS), 405);
    }
    let without = |name: &str| -> Vec<(&str, &str)> {
        handshake(NO_HEADERS)
            .into_iter()
            .filter(|(known, _)| *known != name)
            .collect()
    };
    let with = |name: &'static str, value: &'static str| -> Vec<(&'static str, &'static str)> {
        let mut headers = handshake(NO_HEADERS);
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value));
        headers
    };
    asks("GET", NO_HEADERS, 426);
    asks("GET", &without("Connection"), 426);
    asks("GET", &without("Upgrade"), 426);
    asks("GET", &without("Sec-WebSocket-Version"), 426);
    asks("GET", &without("Sec-WebSocket-Key"), 400);
    for value in [
        "close",
        "keep-alive",
        "upgraded",
        "x-upgrade",
        "\"upgrade\"",
    ] {
        asks("GET", &with("Connection", value), 426);
    }
    for value in [
        "h2c",
        "websockets",
        "web socket",
        "TLS/1.0",
        "web\u{ff}socket",
        "websocket/13",
    ] {
        asks("GET", &with("Upgrade", value), 426);
    }
    for version in (0..=30).filter(|version| *version != 13) {
        let version: &'static str = Box::leak(version.to_string().into_boxed_str());
        asks("GET", &with("Sec-WebSocket-Version", version), 426);
    }
    for version in [
        "", "013", "+13", "13.0", "13,8", "0xd", "thirteen", "1 3", "-13",
    ] {
        asks("GET", &with("Sec-WebSocket-Version", version), 426);
    }
    for length in (0..=40).filter(|length| *length != 22) {
        let key: &'static str = Box::leak(format!("{}==", "A".repeat(length)).into_boxed_str());
        asks("GET", &with("Sec-WebSocket-Key", key), 400);
    }
    for key in [
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZ-==",
        "dGhlIHNhbXBsZSBub25j ZQ==",
        "************************",
    ] {
        asks("GET", &with("Sec-WebSocket-Key", key), 400);
    }
}

/// RESUME-5: what nobody uploads looks the same, however it is written.
pub fn statuses(table: &mut Table, port: u16) {
    let nobody = Right::Status(404, Body::Text(r#"{"status":"not_found"}"#));
    let raw = [
        "%FF",
        "%00",
        "%",
        "%2",
        "%zz",
        "%C3%28",
        "..%2F..%2Fetc%2Fpasswd",
        "%2e%2e",
        "a%0d%0ab",
        "~",
        "*",
    ];
    let written = refs()
        .into_iter()
        .filter(|text| !text.is_empty() && text.len() < HEAD_BYTES_MAX);
    let written = written.map(|text| encode(&text));
    let all = written
        .chain(raw.map(str::to_owned))
        .chain([REF.to_owned(), REF.to_uppercase()]);
    for text in all {
        let asks = request(
            "GET",
            &format!("/uploads/{text}/status"),
            port,
            NO_HEADERS,
            b"",
        );
        table.add(asks, nobody.clone());
    }
    for cookie in [
        "",
        "upload_owner=",
        "upload_owner=forged",
        "upload_owner=\u{ff}",
        "a=b; upload_owner=%00",
    ] {
        let path = format!("/uploads/{REF}/status");
        let asks = request("GET", &path, port, &[("Cookie", cookie)], b"");
        table.add(asks, nobody.clone());
    }
}

/// Bodies that are not signed with the webhook's secret.
pub fn signatures(table: &mut Table, port: u16) {
    let body = event("\"photo.png\"", "5");
    let right = sign(body.as_bytes());
    let mut asks = |headers: &[(&str, &str)]| {
        let asks = request("POST", "/webhooks/s3", port, headers, body.as_bytes());
        table.add(asks, Right::Status(403, Body::Text(r#"{"ok":false}"#)));
    };
    asks(NO_HEADERS);
    for name in ["X-Upload-Signature", "X-Djust-Signature"] {
        for end in 0..right.len() {
            asks(&[(name, &right[..end])]);
            let digit = if right.as_bytes()[end] == b'0' {
                "1"
            } else {
                "0"
            };
            asks(&[(name, &[&right[..end], digit, &right[end + 1..]].concat())]);
        }
        for wrong in [
            right.to_uppercase(),
            format!("sha256={right}"),
            format!("{right}0"),
            format!("0x{right}"),
            "0".repeat(64),
            sign(b""),
            sign(format!("{body} ").as_bytes()),
            format!("\"{right}\""),
            format!("{right},{right}"),
        ] {
            asks(&[(name, &wrong)]);
        }
        asks(&[(name, &right), (name, &right)]);
    }
    asks(&[("X-Hub-Signature-256", &right)]);
    asks(&[("X-Upload-Signature", "0"), ("X-Djust-Signature", &right)]);
}

/// Bodies that are signed and make no sense.
pub fn events(table: &mut Table, port: u16) {
    let mut signed = |body: &[u8], status: u16| {
        let headers = [("X-Upload-Signature", &*sign(body))];
        let asks = request("POST", "/webhooks/s3", port, &headers, body);
        table.add(asks, Right::Status(status, Body::Text(r#"{"ok":false}"#)));
    };
    let whole = event("\"photo.png\"", "5");
    for end in 0..whole.len() {
        signed(&whole.as_bytes()[..end], 400);
    }
    for raw in NO_TEXT.into_iter().chain(["null", "\"\""]).chain(LONE) {
        signed(event(raw, "5").as_bytes(), 400);
        let bucket = whole.replace("\"bucket\"}", &format!("{raw}}}"));
        signed(bucket.as_bytes(), 400);
    }
    for raw in NO_TEXT.into_iter().filter(|raw| !matches!(*raw, "0" | "5")) {
        signed(event("\"photo.png\"", raw).as_bytes(), 400);
    }
    for raw in [
        "-0",
        "1e3",
        "5.0",
        "9007199254740993",
        "18446744073709551616",
        "null",
        "\"5\"",
    ] {
        signed(event("\"photo.png\"", raw).as_bytes(), 400);
    }
    let long = format!("\"{}\"", "k".repeat(1025));
    for key in [&*long, "\"%ff\"", "\"%C3%28\"", "\"a%80\""] {
        signed(event(key, "5").as_bytes(), 400);
    }
    for records in NO_TEXT
        .into_iter()
        .filter(|raw| *raw != "[]")
        .chain(["null", "[null]", "[[]]", "[{}]", "[5]"])
    {
        signed(format!("{{\"Records\":{records}}}").as_bytes(), 400);
    }
    for bytes in [
        &b"\xff"[..],
        b"{\"Records\":\"\xc3\x28\"}",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"not JSON",
        b"a=b",
    ] {
        signed(bytes, 400);
    }
    for depth in (33..=64).chain([128, 1_000, 100_000]) {
        signed(("[".repeat(depth) + &"]".repeat(depth)).as_bytes(), 400);
    }
    signed(&vec![b' '; (1 << 18) + 1], 413);
}

/// MSG-1a, before a signature is given: one right code and status each.
pub fn presigns(table: &mut Table, port: u16) {
    let mut asks = |body: &[u8], status, code| {
        let asks = request("POST", "/uploads/presign", port, NO_HEADERS, body);
        table.add(asks, Right::http(status, code));
    };
    let whole = presigned(&good());
    for end in 0..whole.len() {
        asks(&whole.as_bytes()[..end], 400, "bad_message");
    }
    for bytes in [
        &b"\xff"[..],
        b"{\"upload_name\":\"\xc3\x28\"}",
        b"null",
        b"[]",
        b"\"\"",
        b"5",
        b"\0",
        b"a=b",
    ] {
        asks(bytes, 400, "bad_message");
    }
    asks(&vec![b' '; (1 << 16) + 1], 413, "bad_message");
    for (name, code) in [
        ("upload_name", "bad_message"),
        ("client_type", "bad_message"),
        ("relative_path", "bad_message"),
        ("client_name", "bad_name"),
        ("client_size", "bad_size"),
        ("meta", "bad_meta"),
    ] {
        let is_fine = |raw: &str| match name {
            "client_size" => matches!(raw, "0" | "5"),
            "meta" => raw == "{}",
            _ => false,
        };
        for raw in NO_TEXT.into_iter().filter(|raw| !is_fine(raw)) {
            asks(presigned(&good().with(name, raw)).as_bytes(), 400, code);
        }
        for lone in LONE {
            asks(
                presigned(&good().with(name, lone)).as_bytes(),
                400,
                "bad_message",
            );
        }
        let twice = good().with(name, "null").and(name, "null");
        asks(presigned(&twice).as_bytes(), 400, "bad_message");
    }
    let troubles = [
        ("bad_message", 400),
        ("bad_name", 400),
        ("bad_size", 400),
        ("bad_meta", 400),
        ("unknown_slot", 404),
        ("too_large", 413),
        ("active_content", 415),
        ("type_not_accepted", 415),
    ];
    for set in 1..1_u32 << troubles.len() {
        let mut fields = good();
        // The later ones first, so that an earlier one takes the field they share.
        for (at, (code, _)) in troubles.iter().enumerate().rev() {
            if set & (1 << at) == 0 {
                continue;
            }
            fields = match *code {
                "type_not_accepted" => fields
                    .with("client_name", "\"x.txt\"")
                    .with("client_type", "\"\""),
                "active_content" => fields.with("client_type", "\"text/html\""),
                "too_large" => fields.with("client_size", "9000000"),
                "unknown_slot" => fields.with("upload_name", "\"png\""),
                "bad_meta" => fields.with("meta", "[]"),
                "bad_size" => fields.with("client_size", "-1"),
                "bad_name" => fields.with("client_name", "5"),
                _ => fields.with("relative_path", "5"),
            };
        }
        let first = troubles
            .iter()
            .enumerate()
            .find(|(at, _)| set & (1 << at) != 0);
        let (_, (code, status)) = first.expect("a set that is not empty");
        asks(presigned(&fields).as_bytes(), *status, code);
    }
}

fn good() -> Fields {
    Fields::registration()
        .without("type")
        .without("ref")
        .with("upload_name", "\"direct\"")
}

fn presigned(fields: &Fields) -> String {
    fields.text()
}

fn event(key: &str, size: &str) -> String {
    format!(
        "{{\"Records\":[{{\"eventName\":\"ObjectCreated:Put\",\"s3\":{{\"bucket\":{{\"name\":\"bucket\"}},\
         \"object\":{{\"key\":{key},\"size\":{size}}}}}}}]}}"
    )
}

fn sign(body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("keys of any length");
    let bytes = mac.chain_update(body).finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The headers of a handshake that is right, and more.
pub fn handshake<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    headers.extend_from_slice(more);
    headers
}

/// A whole request; a `Connection` of its own replaces `close`.
fn request(method: &str, path: &str, port: u16, headers: &[(&str, &str)], body: &[u8]) -> Input {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n");
    if !headers.iter().any(|(name, _)| *name == "Connection") {
        head.push_str("Connection: close\r\n");
    }
    let length = body.len();
    if length > 0 || method == "POST" {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    let mut bytes = head.into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: ").as_bytes());
        // One byte per character, so that bytes that are no ASCII can be sent.
        bytes.extend(
            value
                .chars()
                .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')),
        );
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Input::Http(bytes)
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let mut out = String::new();
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
