//! The golden vectors of `vectors/`, which the browser client's tests read as well.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use upload_proto::{ClientMessage, Frame, FrameErrorKind, MessageAbout, ServerMessage, crc32c_hex};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<T> {
    format: u32,
    cases: Vec<T>,
}

#[derive(Deserialize)]
struct Names {
    name: String,
    rules: Vec<String>,
}

#[derive(Deserialize)]
struct FrameCase {
    name: String,
    hex: String,
    frame: Option<Value>,
    error: Option<Value>,
    #[serde(rename = "ref", default)]
    upload: Value,
}

#[derive(Deserialize)]
struct ClientCase {
    name: String,
    text: String,
    #[serde(default)]
    fill: BTreeMap<char, Fill>,
    message: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Fill {
    text: String,
    times: usize,
}

#[derive(Deserialize)]
struct ServerCase {
    name: String,
    text: String,
    message: Option<Value>,
    #[serde(default)]
    unknown: bool,
    #[serde(default)]
    error: bool,
}

const FRAMES: &str = include_str!("../../vectors/frames.json");
const CLIENT_MESSAGES: &str = include_str!("../../vectors/client_messages.json");
const SERVER_MESSAGES: &str = include_str!("../../vectors/server_messages.json");

/// FRAME-1, FRAME-4, FR-1 to FR-9: every frame is read, written and refused as the vectors say.
#[test]
fn frame_1_vectors() {
    for case in cases::<FrameCase>(FRAMES) {
        let name = &case.name;
        let bytes = from_hex(&case.hex);
        match Frame::decode(bytes.clone()) {
            Ok(frame) => {
                assert_eq!(Some(frame_json(&frame)), case.frame, "{name}");
                assert_eq!(frame.encode(), bytes, "{name}");
            }
            Err(error) => {
                assert_eq!(Some(kind_json(error.kind)), case.error, "{name}");
                assert_eq!(json!(error.upload), case.upload, "{name}");
            }
        }
    }
}

/// CTRL-1, CTRL-2, MSG-1a, FR-17 to FR-20: every client message is read or refused as the vectors say.
#[test]
fn ctrl_2_vectors() {
    for case in cases::<ClientCase>(CLIENT_MESSAGES) {
        let name = &case.name;
        match ClientMessage::parse(&filled(&case.text, &case.fill)) {
            Ok(message) => {
                let written: Value = serde_json::from_str(&message.to_json()).unwrap();
                assert_eq!(
                    Some(written),
                    case.message.map(|it| fill_all(it, &case.fill)),
                    "{name}"
                );
            }
            Err(error) => {
                let about = match error.about {
                    MessageAbout::Unknown => "unknown",
                    MessageAbout::Register => "register",
                    MessageAbout::Resume => "resume",
                    MessageAbout::Event => "event",
                };
                let error = json!({ "code": error.code, "about": about, "ref": error.upload });
                assert_eq!(Some(error), case.error, "{name}");
            }
        }
    }
}

/// MSG-1, MSG-2: every server message is read and written as the vectors say.
#[test]
fn msg_2_vectors() {
    for case in cases::<ServerCase>(SERVER_MESSAGES) {
        let name = &case.name;
        match ServerMessage::parse(&case.text) {
            Ok(Some(message)) => {
                let written: Value = serde_json::from_str(&message.to_json()).unwrap();
                assert_eq!(Some(written), case.message, "{name}");
            }
            Ok(None) => assert!(case.unknown, "{name}"),
            Err(error) => assert!(case.error, "{name}: {error}"),
        }
    }
}

/// FR-1 to FR-9 and FR-17 to FR-20 each have a vector, and names are unique.
#[test]
fn vectors_cover_the_behaviours_they_should() {
    let mut rules = BTreeSet::new();
    for file in [FRAMES, CLIENT_MESSAGES, SERVER_MESSAGES] {
        let mut names = BTreeSet::new();
        for case in cases::<Names>(file) {
            assert!(!case.rules.is_empty(), "{}", case.name);
            rules.extend(case.rules);
            assert!(
                names.insert(case.name.clone()),
                "{} is there twice",
                case.name
            );
        }
    }
    for number in (1..=9).chain(17..=20) {
        assert!(
            rules.contains(&format!("FR-{number}")),
            "no vector for FR-{number}"
        );
    }
}

fn cases<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let file: File<T> = serde_json::from_str(file).expect("a file of vectors");
    assert_eq!(file.format, 1);
    assert!(!file.cases.is_empty());
    file.cases
}

fn frame_json(frame: &Frame) -> Value {
    match frame {
        Frame::Chunk {
            upload,
            index,
            data,
        } => {
            json!({ "kind": "chunk", "ref": upload, "index": index, "data": format!("{data:x}") })
        }
        Frame::Complete { upload, crc32c } => {
            json!({ "kind": "complete", "ref": upload, "crc32c": crc32c.map(crc32c_hex) })
        }
        Frame::Cancel { upload } => json!({ "kind": "cancel", "ref": upload }),
    }
}

fn kind_json(kind: FrameErrorKind) -> Value {
    match kind {
        FrameErrorKind::Empty => json!({ "kind": "empty" }),
        FrameErrorKind::UnknownType(byte) => json!({ "kind": "unknown_type", "type": byte }),
        FrameErrorKind::TooShort { length, needed } => {
            json!({ "kind": "too_short", "length": length, "needed": needed })
        }
        FrameErrorKind::TrailingBytes { extra } => {
            json!({ "kind": "trailing_bytes", "extra": extra })
        }
    }
}

fn filled(text: &str, fill: &BTreeMap<char, Fill>) -> String {
    fill.iter().fold(text.to_owned(), |text, (key, fill)| {
        text.replace(*key, &fill.text.repeat(fill.times))
    })
}

fn fill_all(value: Value, fill: &BTreeMap<char, Fill>) -> Value {
    match value {
        Value::String(text) => filled(&text, fill).into(),
        Value::Array(items) => items.into_iter().map(|item| fill_all(item, fill)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, fill_all(value, fill)))
            .collect(),
        other => other,
    }
}

fn from_hex(hex: &str) -> Bytes {
    assert!(hex.is_ascii() && hex.len().is_multiple_of(2), "{hex}");
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}
