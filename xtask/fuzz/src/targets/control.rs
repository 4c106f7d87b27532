//! Text messages of clients (PROTOCOL section 5).

use serde::de::IgnoredAny;
use serde_json::Value;
use upload_proto::{ClientMessage, Code, limits};

pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match ClientMessage::parse(text) {
        Ok(message) => {
            let json = serde_json::from_str::<IgnoredAny>(text);
            assert!(json.is_ok(), "CTRL-1: only JSON is taken");
            // None where an ignored field holds half a character.
            let value = serde_json::from_str::<Value>(text).ok();
            assert!(depth(text) <= limits::MESSAGE_DEPTH_MAX, "CTRL-1");
            if let ClientMessage::Register(register) = &message {
                assert!(
                    register
                        .client_size
                        .is_none_or(|size| size <= limits::SIZE_MAX),
                    "CTRL-2"
                );
                assert!(register.client_name.len() <= limits::CLIENT_NAME_BYTES_MAX);
                assert!(!register.upload.is_nil(), "CTRL-2");
                if let Some(value) = value {
                    assert_eq!(value["client_size"].as_u64(), register.client_size);
                    assert_eq!(value["client_name"], *register.client_name);
                    let date = &value["last_modified"];
                    assert!(date.is_null() || date.is_number(), "CTRL-2: {date}");
                    let told = date.as_f64().filter(|date| *date >= 0.0);
                    assert_eq!(
                        told.map(|date| date as u64)
                            .filter(|date| *date <= limits::DATE_MS_MAX),
                        register.last_modified,
                        "CTRL-2: a date is kept, anything else dropped"
                    );
                }
            }
            let again = ClientMessage::parse(&message.to_json());
            assert_eq!(
                again.as_ref(),
                Ok(&message),
                "what was read is written the same"
            );
        }
        Err(error) => {
            let known = [
                Code::BadMessage,
                Code::UnknownType,
                Code::BadRef,
                Code::BadName,
                Code::BadSize,
                Code::BadMeta,
            ];
            assert!(known.contains(&error.code), "{error:?}");
            assert!(
                error.upload.is_none_or(|upload| !upload.is_nil()),
                "{error:?}"
            );
            assert!(
                error.code != Code::BadRef || error.upload.is_none(),
                "{error:?}"
            );
        }
    }
}

/// How deep JSON text nests.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_text,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
