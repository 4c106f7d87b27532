//! Properties of text messages (PROTOCOL sections 5 and 6).

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};
use upload_proto::{
    ClientMessage, Code, ServerMessage,
    limits::{DATE_MS_MAX, MESSAGE_DEPTH_MAX, SIZE_MAX, TEXT_BYTES_MAX},
    strategies::{client_messages, json_values, refs, server_messages, text},
};

proptest! {
    /// CTRL-2: what a client says reads back as it was written.
    #[test]
    fn ctrl_2_client_messages_round_trip(message in client_messages()) {
        prop_assert_eq!(ClientMessage::parse(&message.to_json()), Ok(message));
    }

    /// MSG-2: what a server says reads back as it was written.
    #[test]
    fn msg_2_server_messages_round_trip(message in server_messages()) {
        let read = ServerMessage::parse(&message.to_json()).unwrap();
        prop_assert_eq!(read, Some(message));
    }

    /// CTRL-1: an unknown field changes nothing, whatever it holds.
    #[test]
    fn ctrl_1_unknown_fields_are_ignored(
        client in client_messages(),
        server in server_messages(),
        name in text(8),
        value in json_values(),
    ) {
        let field = format!("{}:{value},", json!(format!("x-{name}")));
        let with = |json: String| json.replacen('{', &format!("{{{field}"), 1);
        prop_assert_eq!(ClientMessage::parse(&with(client.to_json())), Ok(client));
        prop_assert_eq!(ServerMessage::parse(&with(server.to_json())).unwrap(), Some(server));
    }

    /// CTRL-1: no text makes the reader fail otherwise than by an error, and what is read can be written.
    #[test]
    fn ctrl_1_damaged_messages_are_survived(
        message in client_messages(),
        damage in vec((any::<Index>(), "[\\[\\]{}\":,\\\\0-9eud\u{1}-]{0,2}"), 0..4),
    ) {
        let mut characters: Vec<String> = message.to_json().chars().map(String::from).collect();
        for (at, replacement) in damage {
            let at = at.index(characters.len());
            characters[at] = replacement;
        }
        let text = characters.concat();
        let _ = ServerMessage::parse(&text);
        match ClientMessage::parse(&text) {
            Ok(message) => prop_assert_eq!(ClientMessage::parse(&message.to_json()), Ok(message)),
            Err(error) => prop_assert!(error.upload.is_none_or(|upload| !upload.is_nil())),
        }
    }

    /// CTRL-1: arbitrary text is never read as a message.
    #[test]
    fn ctrl_1_arbitrary_text_is_refused(text in text(64)) {
        let error = ClientMessage::parse(&text).unwrap_err();
        prop_assert_eq!(error.code, Code::BadMessage);
    }

    /// CTRL-1: 32 levels are taken and 33 are not, however they are made.
    #[test]
    fn ctrl_1_depth_is_counted_exactly(value in json_values(), around in vec(any::<bool>(), 20..40)) {
        let nested = around.iter().fold(value, |inner, array| {
            if *array { json!([1, inner]) } else { json!({ "a\"[": inner }) }
        });
        let message = json!({ "type": "ping", "x": nested });
        let taken = ClientMessage::parse(&message.to_string()).is_ok();
        prop_assert_eq!(taken, depth(&message) <= MESSAGE_DEPTH_MAX);
    }

    /// CTRL-2: of all numbers, digits up to 2^53-1 are a size.
    #[test]
    fn ctrl_2_sizes_are_digits(upload in refs(), size in "-?(0|[1-9][0-9]{0,20})(\\.[0-9])?(e[0-9])?") {
        let text = format!(
            r#"{{"type":"upload_register","ref":"{upload}","upload_name":"","client_name":"","client_size":{size}}}"#
        );
        let expected = size.parse::<u64>().ok().filter(|size| *size <= SIZE_MAX);
        match ClientMessage::parse(&text) {
            Ok(ClientMessage::Register(register)) => {
                prop_assert_eq!(register.client_size, expected);
            }
            other => {
                prop_assert_eq!(other.map_err(|error| error.code), Err(Code::BadSize));
                prop_assert_eq!(expected, None);
            }
        }
    }

    /// CTRL-2: every JSON number is taken as `last_modified`; one that is no date is dropped.
    #[test]
    fn ctrl_2_any_number_is_a_last_modified(
        upload in refs(),
        number in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
    ) {
        let text = format!(
            r#"{{"type":"upload_register","ref":"{upload}","upload_name":"","client_name":"","client_size":0,"last_modified":{number}}}"#
        );
        let read = ClientMessage::parse(&text);
        let Ok(ClientMessage::Register(register)) = &read else {
            return Err(TestCaseError::fail(format!("{read:?}")));
        };
        let value: f64 = number.parse().unwrap();
        match register.last_modified {
            Some(date) => prop_assert!(date <= DATE_MS_MAX && date as f64 == value.abs().floor()),
            None => prop_assert!(value < 0.0 || value > DATE_MS_MAX as f64),
        }
    }

    /// CTRL-2: escapes are a name exactly if they are whole characters.
    #[test]
    fn ctrl_2_escapes_are_whole_characters(
        upload in refs(),
        units in vec(prop_oneof![0xd800..0xe000_u16, any::<u16>()], 0..6),
    ) {
        let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let text = format!(
            r#"{{"type":"upload_register","ref":"{upload}","upload_name":"","client_name":"{escapes}","client_size":0}}"#
        );
        match (ClientMessage::parse(&text), String::from_utf16(&units)) {
            (Ok(ClientMessage::Register(register)), Ok(name)) => {
                prop_assert_eq!(register.client_name, name);
            }
            (read, name) => {
                prop_assert!(name.is_err());
                let error = read.unwrap_err();
                prop_assert_eq!((error.code, error.upload), (Code::BadMessage, Some(upload)));
            }
        }
    }

    /// MSG-1: a register that is refused still names its ref, wherever the trouble is.
    #[test]
    fn msg_1_refused_registrations_name_their_ref(
        upload in refs(),
        field in prop::sample::select(vec![
            "upload_name", "client_name", "client_size", "client_type", "resumable", "client_id",
            "last_modified", "relative_path", "meta",
        ]),
    ) {
        let mut message = json!({
            "type": "upload_register", "ref": upload, "upload_name": "", "client_name": "",
            "client_size": 0,
        });
        prop_assert!(ClientMessage::parse(&message.to_string()).is_ok());
        message[field] = json!([]);
        let error = ClientMessage::parse(&message.to_string()).unwrap_err();
        prop_assert_eq!(error.upload, Some(upload));
    }
}

/// Counts levels as CTRL-1 does: the value itself is the first if it is an object or array.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// CTRL-2: an application is given the very number that the client wrote.
#[test]
fn ctrl_2_numbers_keep_their_value() {
    for (written, value) in [("6e100", 6e100), ("1e23", 1e23), ("0.1e-6", 1e-7)] {
        let text = format!(r#"{{"type":"event","event":"save","params":{{"a":{written}}}}}"#);
        let read = ClientMessage::parse(&text).unwrap();
        let ClientMessage::Event(call) = &read else {
            panic!("{read:?}");
        };
        assert_eq!(call.params["a"].as_f64(), Some(value), "{written}");
        assert_eq!(ClientMessage::parse(&read.to_json()), Ok(read));
    }
}

/// FRAME-3, CTRL-1: 64 KiB of text are read, and nothing of one byte more.
#[test]
fn frame_3_longer_text_is_not_read() {
    let ping = r#"{"type":"ping"}"#;
    let padded = |bytes: usize| ping.to_owned() + &" ".repeat(bytes - ping.len());
    assert_eq!(
        ClientMessage::parse(&padded(TEXT_BYTES_MAX)),
        Ok(ClientMessage::Ping)
    );
    let error = ClientMessage::parse(&padded(TEXT_BYTES_MAX + 1)).expect_err("too long");
    assert_eq!((error.code, error.upload), (Code::BadMessage, None));
}
