//! Text messages whose form is wrong: what is no JSON, no message, too deep, or said twice.

use super::case::{Fields, REF, Right, Table};

/// JSON of every kind that is no text.
pub const NO_TEXT: [&str; 9] = [
    "true", "false", "0", "5", "-1", "1.5", "[]", "{}", "[\"a\"]",
];

/// Halves of characters (CTRL-2), in quotes.
pub const LONE: [&str; 12] = [
    r#""\ud800""#,
    r#""\udbff""#,
    r#""\udc00""#,
    r#""\udfff""#,
    r#""a\ud83d""#,
    r#""\ud83da""#,
    r#""\ud83d\ud83d""#,
    r#""\ude00\ud83d""#,
    r#""\ud83d\n""#,
    r#""\\\ud800""#,
    r#""\uD800.png""#,
    r#""\ud83d\ude00\udc00""#,
];

const BAD: Right = Right::Message {
    kind: "error",
    code: "bad_message",
    upload: None,
};

/// CTRL-1: everything that is not a JSON object with a string `type`.
pub fn forms(table: &mut Table) {
    let good = Fields::registration().text();
    for end in 0..good.len() {
        table.text(&good[..end], BAD);
    }
    for (at, _) in good.match_indices(['{', '}', '"', ':', ',']) {
        let mut text = good.clone();
        text.remove(at);
        table.text(text, BAD);
    }
    for tail in [
        "x", "{}", ",", "]", "}", "\0", "\u{feff}", "//", "null", "\"", ";", "\u{a0}",
    ] {
        table.text(format!("{good}{tail}"), BAD);
        table.text(format!("{tail}{good}"), BAD);
    }
    for text in [
        " ",
        "\n",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.5",
        "1e5",
        "\"\"",
        "\"ping\"",
        "\"{}\"",
        "[]",
        "[1]",
        "[{}]",
        "[{\"type\":\"ping\"}]",
        "[[]]",
        "{}",
        "{\"Type\":\"ping\"}",
        "{'type':'ping'}",
        "{type:\"ping\"}",
        "{\"type\":\"ping\",}",
        "{,\"type\":\"ping\"}",
        "{\"type\" \"ping\"}",
        "{\"type\":\"ping\"/**/}",
        "{\"type\":ping}",
        "{\"type\":}",
        "{\"type\":\"ping\" \"x\":1}",
        "{1:\"ping\"}",
        "{null:1}",
        "undefined",
        "NaN",
        "Infinity",
        "'ping'",
        "ping",
        "<xml/>",
        "GET / HTTP/1.1\r\n\r\n",
        "\u{feff}{\"type\":\"ping\"}",
        "{\"type\":\"ping\"}{\"type\":\"ping\"}",
        "\u{1F600}",
        "\0",
        "type=ping",
    ] {
        table.text(text, BAD);
    }
    let in_text = (0..32_u8).map(|byte| format!("\"a{}b\"", char::from(byte)));
    let escapes = "abcdeghijklmopqsvwxyz0123456789'UNRT ".chars();
    let escapes = escapes.filter(|c| *c != 'b').map(|c| format!("\"\\{c}\""));
    let numbers = [
        "01",
        "+1",
        ".5",
        "1.",
        "0x10",
        "1e",
        "1e+",
        "-",
        "--1",
        "1_000",
        "00",
        "-01",
        "1,5",
        "NaN",
        "-Infinity",
        "1f",
        "1n",
        "tru",
        "True",
        "nul",
        "None",
        "\"",
        "\"\\u12\"",
        "\"\\uZZZZ\"",
        "\"\\ud8\"",
        "[",
        "]",
        "{",
        "}",
        "[1,]",
        "{\"a\"}",
        "[1 2]",
        "",
    ];
    for raw in in_text.chain(escapes).chain(numbers.map(str::to_owned)) {
        table.text(
            Fields::of(&[("type", "\"ping\"")]).with("x", &*raw).text(),
            BAD,
        );
        table.text(Fields::registration().with("x", raw).text(), BAD);
    }
}

/// CTRL-1: a `type` that is no text, or that nobody knows.
pub fn types(table: &mut Table) {
    let named = Some(REF);
    let with_ref = Fields::of(&[("ref", &format!("\"{REF}\""))]);
    let without = Fields::of(&[("x", "1")]);
    let mut both = |raw: &str, code: &'static str| {
        table.text(
            with_ref.clone().and("type", raw).text(),
            Right::error(code, named),
        );
        table.text(
            without.clone().and("type", raw).text(),
            Right::error(code, None),
        );
    };
    for raw in NO_TEXT.into_iter().chain(["null"]).chain(LONE) {
        both(raw, "bad_message");
    }
    for name in [
        "",
        " ",
        "ping ",
        " ping",
        "Ping",
        "PING",
        "pong",
        "upload",
        "upload_",
        "upload_registe",
        "upload_registers",
        "Upload_Register",
        "upload-register",
        "upload_configs",
        "upload_registered",
        "upload_progress",
        "upload_resumed",
        "upload_resume_ack",
        "event_result",
        "error",
        "draining",
        "events",
        "mount",
        "join",
        "phx_join",
        "heartbeat",
        "__proto__",
        "constructor",
        "toString",
        "null",
        "true",
        "0",
        "../ping",
        "ping\\u0000",
        "\\u0070ing2",
        "upload_register\\n",
        "ｐｉｎｇ",
        "пинг",
        "\\ud83d\\ude00",
        "a.b.c",
        "*",
        "%s",
        "${x}",
        "'; DROP TABLE uploads; --",
        "<script>",
        "\\u202e",
        "close",
        "subscribe",
        "eval",
    ] {
        both(&format!("\"{name}\""), "unknown_type");
    }
    let long = format!("\"{}\"", "t".repeat(60_000));
    both(&long, "unknown_type");
    for text in [
        r#"{"type":"ping","type":"ping"}"#,
        r#"{"type":"ping","type":1}"#,
        r#"{"type":null,"type":"ping"}"#,
        r#"{"type":"ping","\u0074ype":"ping"}"#,
    ] {
        table.text(text, BAD);
    }
}

/// CTRL-1: deeper than 32, the message counted; the kinds of message are answered as always.
pub fn depths(table: &mut Table) {
    let kinds = [
        (Fields::of(&[("type", "\"ping\"")]), BAD),
        (Fields::of(&[("type", "\"nobody\"")]), BAD),
        (Fields::event(), BAD),
        (Fields::registration(), Right::refused("bad_message")),
        (Fields::resume(), Right::error("bad_message", Some(REF))),
    ];
    let depths = (32..=64).chain([100, 127, 128, 129, 1_000, 10_000]);
    for depth in depths {
        let arrays = "[".repeat(depth) + &"]".repeat(depth);
        let objects = "{\"a\":".repeat(depth) + "0" + &"}".repeat(depth);
        for (fields, right) in &kinds {
            table.text(fields.clone().with("x", &*arrays).text(), right.clone());
            if objects.len() < 60_000 {
                table.text(fields.clone().with("x", &*objects).text(), right.clone());
            }
        }
        let meta = Fields::registration().with("meta", format!("{{\"a\":{arrays}}}"));
        table.text(meta.text(), Right::refused("bad_message"));
    }
    table.text("[".repeat(65_000), BAD);
    table.text("{\"a\":".repeat(13_000), BAD);
}

/// CTRL-2: a known field that is there twice, also under an escaped name.
pub fn duplicates(table: &mut Table) {
    let whole = Fields::registration()
        .with("resumable", "true")
        .with("client_id", "\"tab\"")
        .with("last_modified", "1")
        .with("relative_path", "\"a/photo.png\"")
        .with("meta", "{}");
    let known = [
        ("upload_name", "\"png\""),
        ("client_name", "\"photo.png\""),
        ("client_type", "\"image/png\""),
        ("client_size", "500"),
        ("resumable", "true"),
        ("client_id", "\"tab\""),
        ("last_modified", "1"),
        ("relative_path", "\"a\""),
        ("meta", "{}"),
    ];
    for (name, raw) in known {
        for raw in [raw, "null", "[]"] {
            let right = Right::refused("bad_message");
            table.text(whole.clone().and(name, raw).text(), right.clone());
            table.text(whole.clone().and(&escaped(name), raw).text(), right);
        }
    }
    let upload = format!("\"{REF}\"");
    for raw in [upload.as_str(), "null", "5"] {
        table.text(whole.clone().and("ref", raw).text(), BAD);
        table.text(whole.clone().and(&escaped("ref"), raw).text(), BAD);
        table.text(Fields::resume().and("ref", raw).text(), BAD);
    }
    let named = Right::error("bad_message", Some(REF));
    for (name, raw) in [
        ("client_id", "\"tab\""),
        ("offset", "0"),
        ("upload_id", &upload),
    ] {
        let twice = Fields::resume().and(name, raw).and(name, raw);
        table.text(twice.text(), named.clone());
    }
    for (name, raw) in [("event", "\"save\""), ("params", "{}"), ("id", "7")] {
        table.text(Fields::event().with(name, raw).and(name, raw).text(), BAD);
    }
}

/// CTRL-2: halves of characters in any known field.
pub fn surrogates(table: &mut Table) {
    for lone in LONE {
        for name in [
            "upload_name",
            "client_name",
            "client_type",
            "client_size",
            "client_id",
            "resumable",
            "last_modified",
            "relative_path",
            "meta",
        ] {
            let right = Right::refused("bad_message");
            table.text(Fields::registration().with(name, lone).text(), right);
        }
        for meta in [
            format!("{{\"a\":{lone}}}"),
            format!("{{{lone}:1}}"),
            format!("{{\"a\":[{lone}]}}"),
        ] {
            let right = Right::refused("bad_message");
            table.text(Fields::registration().with("meta", meta).text(), right);
        }
        table.text(Fields::registration().with("ref", lone).text(), BAD);
        table.text(Fields::resume().with("ref", lone).text(), BAD);
        for name in ["client_id", "offset", "upload_id"] {
            let right = Right::error("bad_message", Some(REF));
            table.text(Fields::resume().with(name, lone).text(), right);
        }
        for name in ["event", "params", "id"] {
            table.text(Fields::event().with(name, lone).text(), BAD);
        }
    }
}

/// Events and resumes with fields of the wrong kind.
pub fn fields(table: &mut Table) {
    let long = format!("\"{}\"", "e".repeat(129));
    for raw in NO_TEXT.into_iter().chain(["null", &long]) {
        table.text(Fields::event().with("event", raw).text(), BAD);
    }
    table.text(Fields::event().without("event").text(), BAD);
    for raw in NO_TEXT
        .into_iter()
        .filter(|raw| *raw != "{}")
        .chain(["\"\"", "\"{}\""])
    {
        table.text(Fields::event().with("params", raw).text(), BAD);
    }
    let ids = [
        "true",
        "1.5",
        "1e3",
        "-0",
        "[]",
        "{}",
        "99999999999999999999",
        &long,
    ];
    for raw in ids {
        table.text(Fields::event().with("id", raw).text(), BAD);
    }
    for name in [
        "nobody",
        "",
        "save ",
        "__proto__",
        "../save",
        "sa\\u0000ve",
        "\\u202e",
    ] {
        let right = Right::Message {
            kind: "event_result",
            code: "unknown_event",
            upload: None,
        };
        table.text(
            Fields::event().with("event", format!("\"{name}\"")).text(),
            right,
        );
    }

    let named = Right::error("bad_message", Some(REF));
    for raw in NO_TEXT.into_iter().chain([&*long]) {
        table.text(
            Fields::resume().with("client_id", raw).text(),
            named.clone(),
        );
    }
    let offsets = [
        "true",
        "-1",
        "-0",
        "1.5",
        "1e3",
        "\"5\"",
        "[]",
        "{}",
        "18446744073709551616",
    ];
    for raw in offsets {
        table.text(Fields::resume().with("offset", raw).text(), named.clone());
    }
    let not_found = Right::Message {
        kind: "upload_resumed",
        code: "not_found",
        upload: Some(REF),
    };
    for offset in ["0", "1", "18446744073709551615", "null"] {
        table.text(
            Fields::resume().with("offset", offset).text(),
            not_found.clone(),
        );
    }
    // Fields that no resume has may hold anything.
    for raw in NO_TEXT {
        table.text(
            Fields::resume().with("client_size", raw).text(),
            not_found.clone(),
        );
    }
}

/// Writes the first letter of a field's name as an escape.
fn escaped(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    format!("\\u{:04x}{rest}", first.as_bytes()[0])
}
