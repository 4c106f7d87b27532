//! Registrations that are well-formed JSON and still cannot be taken.

use super::{
    case::{Fields, LIVE, REF, Right, Table},
    texts::NO_TEXT,
};

/// Largest file of the slots `png` and `full`.
pub const FILE_BYTES_MAX: u64 = 1_000_000;

/// CTRL-2: each field with values of the wrong kind, or too long.
pub fn fields(table: &mut Table) {
    let mut each = |name: &str, code: &'static str, raws: &[&str]| {
        for raw in raws {
            let right = match code {
                "bad_ref" => Right::error(code, None),
                _ => Right::refused(code),
            };
            table.text(Fields::registration().with(name, *raw).text(), right);
        }
    };
    let quoted = |length: usize| format!("\"{}\"", "a".repeat(length));
    let wide = format!("\"{}\"", "語".repeat(1366));
    each("upload_name", "bad_message", &NO_TEXT);
    each("upload_name", "bad_message", &["null"]);
    each("client_type", "bad_message", &NO_TEXT);
    each("client_type", "bad_message", &[&quoted(256), &quoted(5000)]);
    each("client_id", "bad_message", &NO_TEXT);
    each("client_id", "bad_message", &[&quoted(129)]);
    each("relative_path", "bad_message", &NO_TEXT);
    each("relative_path", "bad_message", &[&quoted(4097), &wide]);
    let no_bool = ["0", "1", "\"true\"", "\"\"", "[]", "{}", "1.5", "[true]"];
    each("resumable", "bad_message", &no_bool);
    let no_number = ["true", "\"5\"", "[]", "{}", "\"\"", "[1]"];
    each("last_modified", "bad_message", &no_number);
    each("client_name", "bad_name", &NO_TEXT);
    each(
        "client_name",
        "bad_name",
        &["null", &quoted(4097), &quoted(60_000), &wide],
    );
    each(
        "client_size",
        "bad_size",
        &sizes().iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let padded = format!("{{\"a\":{}}}", quoted(4096));
    let spaced = format!("{{{}}}", " ".repeat(4096));
    each(
        "meta",
        "bad_meta",
        &NO_TEXT
            .into_iter()
            .filter(|raw| *raw != "{}")
            .collect::<Vec<_>>(),
    );
    each("meta", "bad_meta", &["\"{}\"", "[{}]", &padded, &spaced]);
    let refs: Vec<_> = refs().iter().map(|text| format!("\"{text}\"")).collect();
    each(
        "ref",
        "bad_ref",
        &refs.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    each("ref", "bad_ref", &NO_TEXT);
    each("ref", "bad_ref", &["null"]);

    for (name, code) in [
        ("upload_name", "bad_message"),
        ("client_name", "bad_name"),
        ("client_size", "bad_size"),
    ] {
        table.text(
            Fields::registration().without(name).text(),
            Right::refused(code),
        );
    }
    table.text(
        Fields::registration().without("ref").text(),
        Right::error("bad_ref", None),
    );
    for text in refs {
        let by_ref = Fields::resume().with("ref", &*text).text();
        table.text(by_ref, Right::error("bad_ref", None));
        let by_id = Fields::resume()
            .without("ref")
            .with("upload_id", text)
            .text();
        table.text(by_id, Right::error("bad_ref", None));
    }
    table.text(
        Fields::resume().without("ref").text(),
        Right::error("bad_ref", None),
    );
}

/// What is JSON and no integer from 0 to 2^53-1.
fn sizes() -> Vec<String> {
    let mut sizes: Vec<String> = [
        "-0",
        "-1",
        "-500",
        "0.0",
        "1.0",
        "1.5",
        "0e0",
        "1e3",
        "1E3",
        "5e2",
        "1e-3",
        "1e400",
        "-1e400",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9007199254740993",
        "null",
        "\"\"",
        "\"500\"",
        "\"NaN\"",
        "{\"$numberLong\":\"500\"}",
        "500.0000000000000000001",
    ]
    .map(str::to_owned)
    .into();
    sizes.extend(
        NO_TEXT
            .iter()
            .filter(|raw| !matches!(**raw, "0" | "5"))
            .map(|raw| (*raw).to_owned()),
    );
    sizes.extend([17, 20, 21, 40, 400].map(|digits| "9".repeat(digits)));
    sizes
}

/// Texts that are nearly a ref: one character away, in another spelling, or nil.
pub fn refs() -> Vec<String> {
    let mut refs: Vec<String> = [
        "",
        " ",
        "0",
        "nope",
        "00000000-0000-0000-0000-000000000000",
        "aabbccddeeff40118233445566778899",
        "{aabbccdd-eeff-4011-8233-445566778899}",
        "urn:uuid:aabbccdd-eeff-4011-8233-445566778899",
        "aabbccdd_eeff_4011_8233_445566778899",
        "aabbccdd-eeff-4011-8233-445566778899-",
        "aabbccddeeff-4011-8233-4455-66778899",
        "../../etc/passwd",
        "aabbccdd-eeff-4011-8233-44556677889９",
    ]
    .map(str::to_owned)
    .into();
    for at in 0..REF.len() {
        for other in ["g", " ", "-", "/", "%", "é"] {
            if REF.get(at..=at) != Some(other) {
                refs.push([&REF[..at], other, &REF[at + 1..]].concat());
            }
        }
        refs.push([&REF[..at], &REF[at + 1..]].concat());
        refs.push([&REF[..at], "a", &REF[at..]].concat());
    }
    refs.extend([100, 4_096, 50_000].map(|length| "a".repeat(length)));
    refs
}

/// Names and types that no slot of ours takes, and hostile names that one takes in a safe form.
pub fn names(table: &mut Table) {
    let active = [
        "svg", "svgz", "html", "htm", "xhtml", "xht", "shtml", "xml", "xsl", "xslt", "js", "mjs",
        "cjs", "hta", "htc", "mht", "mhtml", "swf", "wasm", "rss", "atom", "rdf", "mathml",
    ];
    for ending in active {
        let upper = ending.to_uppercase();
        for name in [
            format!("x.{ending}"),
            format!("x.png.{ending}"),
            format!("x.{upper}"),
            format!("x.{ending}."),
            format!("x.{ending} "),
            format!("x.{ending}/"),
            format!("../x.{ending}"),
            format!("x.{ending}\\u0000"),
            format!("x.{ending}\\u202e"),
            format!("x.{ending}.gz"),
        ] {
            let fields = Fields::registration().with("client_name", format!("\"{name}\""));
            table.text(fields.text(), Right::refused("active_content"));
        }
    }
    for media_type in [
        "image/svg+xml",
        "text/html",
        "IMAGE/SVG+XML",
        "text/html; charset=utf-8",
        " text/html ",
        "application/xml",
        "text/xml",
        "application/javascript",
        "text/javascript",
        "image/x+xml",
        "application/xhtml+xml",
        "text/html,image/png",
        "image/png,text/html",
        "text/html\\u0000",
        "multipart/related",
        "application/wasm",
        "text/xsl",
        "text/ecmascript",
    ] {
        let fields = Fields::registration().with("client_type", format!("\"{media_type}\""));
        table.text(fields.text(), Right::refused("active_content"));
    }
    for ending in [
        "txt", "exe", "jpg", "gif", "pdf", "mp4", "zip", "sh", "php", "bat", "com", "dll", "pn",
        "pngx", "png.exe", "png.txt", "", "p ng", "pnɡ",
    ] {
        let fields = Fields::registration()
            .with("client_name", format!("\"x.{ending}\""))
            .with("client_type", "\"\"");
        table.text(fields.text(), Right::refused("type_not_accepted"));
    }
    for size in [
        FILE_BYTES_MAX + 1,
        FILE_BYTES_MAX * 2,
        1 << 32,
        1 << 40,
        (1 << 53) - 1,
    ] {
        let fields = Fields::registration().with("client_size", size.to_string());
        table.text(fields.text(), Right::refused("too_large"));
    }
    for slot in [
        "nowhere",
        "",
        "PNG",
        "png ",
        " png",
        "../png",
        "png\\u0000",
        "__proto__",
        "direct/..",
        "*",
        "\\u202epng",
        "ｐｎｇ",
    ] {
        let fields = Fields::registration().with("upload_name", format!("\"{slot}\""));
        table.text(fields.text(), Right::refused("unknown_slot"));
    }
    for (raw, safe) in HOSTILE {
        let fields = Fields::registration()
            .with("upload_name", "\"any\"")
            .with("client_name", format!("\"{raw}\""))
            .with("client_type", "\"\"")
            .with("client_size", "0");
        table.text(fields.text(), Right::Stored(safe));
    }
}

/// Names as they stand in JSON, and what is stored: never a path, a device or a control character.
const HOSTILE: [(&str, &str); 36] = [
    ("../../../etc/x", "x"),
    ("/etc/passwd", "passwd"),
    ("..\\\\..\\\\win", "win"),
    ("....//x", "x"),
    (".bashrc", "bashrc"),
    (".", "upload"),
    ("..", "upload"),
    ("....", "upload"),
    ("", "upload"),
    ("   ", "upload"),
    ("inno\\u0000cent\\u0001.bin", "innocent.bin"),
    ("a\\nb\\r\\tc.txt", "abc.txt"),
    ("\\u001b[31mred\\u001b[0m.txt", "[31mred[0m.txt"),
    ("\\u001b]0;title\\u0007.txt", "]0;title.txt"),
    ("line\\u2028sep\\u2029.txt", "linesep.txt"),
    ("c1\\u0085\\u009b31m.txt", "c131m.txt"),
    ("evil\\u202Egpj.bin", "evilgpj.bin"),
    ("inv\\u200Bisible.bin", "invisible.bin"),
    ("\\uFF0F\\uFF0Eetc\\uFF0Fpasswd", "passwd"),
    ("C:\\\\x\\\\y.txt", "y.txt"),
    ("C:evil.txt", "C_evil.txt"),
    ("CON", "_CON"),
    ("nul.txt", "_nul.txt"),
    ("COM1.log", "_COM1.log"),
    ("a.txt:stream", "a.txt_stream"),
    ("a<b>|c?d*.txt", "a_b__c_d_.txt"),
    ("-rf", "_rf"),
    ("~root", "_root"),
    ("foo. . .", "foo"),
    ("\\u2100.txt", "c.txt"),
    ("%2e%2e%2fx", "%2e%2e%2fx"),
    ("..%00/x.bin", "x.bin"),
    ("x\\u0000.bin/", "x.bin"),
    ("$(reboot).bin", "$(reboot).bin"),
    ("{\\\"level\\\":\\\"error\\\"}", "{_level___error_}"),
    ("ERROR panicked at x.log", "ERROR panicked at x.log"),
];

/// MSG-1a: every set of troubles at once is answered by the first of them in the rule's order.
///
/// The connection holds an upload `LIVE` in the slot `full`, which has room for one.
pub fn orders(table: &mut Table) {
    let troubles = [
        "bad_message",
        "bad_ref",
        "bad_name",
        "bad_size",
        "bad_meta",
        "unknown_slot",
        "ref_in_use",
        "too_many_entries",
        "too_large",
        "active_content",
        "type_not_accepted",
    ];
    for set in 1..1_u32 << troubles.len() {
        let has = |code: &str| {
            let at = troubles.iter().position(|known| *known == code);
            at.is_some_and(|at| set & (1 << at) != 0)
        };
        let mut fields = Fields::registration();
        let mut put = |wanted: bool, name: &str, raw: &str| {
            if wanted {
                fields = fields.clone().with(name, raw);
            }
        };
        put(has("bad_message"), "client_id", "5");
        put(has("ref_in_use"), "ref", &format!("\"{LIVE}\""));
        put(has("bad_ref"), "ref", "\"nope\"");
        put(has("type_not_accepted"), "client_name", "\"x.txt\"");
        put(has("type_not_accepted"), "client_type", "\"\"");
        put(has("active_content"), "client_type", "\"image/svg+xml\"");
        put(has("bad_name"), "client_name", "5");
        put(has("too_large"), "client_size", "9000000");
        put(has("bad_size"), "client_size", "-1");
        put(has("bad_meta"), "meta", "[]");
        put(has("too_many_entries"), "upload_name", "\"full\"");
        put(has("unknown_slot"), "upload_name", "\"nowhere\"");

        // What stands in the same field as an earlier trouble is not seen.
        let first = troubles.iter().copied().find(|code| has(code));
        let code = first.expect("a set that is not empty");
        let right = if has("bad_ref") {
            Right::error(code, None)
        } else if has("ref_in_use") {
            Right::error(code, Some(LIVE))
        } else {
            Right::refused(code)
        };
        table.text(fields.text(), right);
    }
}
