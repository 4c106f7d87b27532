//! Generators for property tests, so that the tests of other crates need none of their own.
//!
//! Everything they make is well-formed: reading what was written gives the same value again.

mod server;

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value};

pub use self::server::server_messages;
use crate::{
    frame::Frame,
    ids::UploadRef,
    limits::{DATE_MS_MAX, EVENT_ID_BYTES_MAX, META_BYTES_MAX, SIZE_MAX},
    message::{ClientMessage, EventCall, EventId, ListCall, Register, Resume},
};

/// Makes refs that can name an upload: any but nil.
pub fn refs() -> impl Strategy<Value = UploadRef> + Clone {
    let any = any::<[u8; 16]>().prop_map(UploadRef::from_bytes);
    any.prop_filter("nil names nothing", |upload| !upload.is_nil())
}

/// Makes frames of all kinds, for any ref, nil now and then included, with up to 256 bytes of data.
pub fn frames() -> impl Strategy<Value = Frame> {
    let any_ref = prop_oneof![9 => refs().boxed(), 1 => Just(UploadRef::NIL).boxed()];
    any_ref.prop_flat_map(frames_of)
}

/// Makes frames of all kinds for one upload, with up to 256 bytes of data.
pub fn frames_of(upload: UploadRef) -> impl Strategy<Value = Frame> {
    let index = prop_oneof![0..8_u32, any::<u32>()];
    prop_oneof![
        4 => (index, vec(any::<u8>(), 0..256)).prop_map(move |(index, data)| Frame::Chunk {
            upload,
            index,
            data: Bytes::from(data),
        }),
        2 => any::<Option<u32>>().prop_map(move |crc32c| Frame::Complete { upload, crc32c }),
        1 => Just(Frame::Cancel { upload }),
    ]
}

/// Makes messages of every type a client has.
pub fn client_messages() -> impl Strategy<Value = ClientMessage> {
    prop_oneof![
        4 => registers().prop_map(ClientMessage::Register),
        2 => resumes().prop_map(ClientMessage::Resume),
        2 => event_calls().prop_map(ClientMessage::Event),
        1 => (option::of(text(8)), option::of(event_ids())).prop_map(|(upload_name, id)| {
            ClientMessage::List(ListCall { upload_name, id })
        }),
        1 => Just(ClientMessage::Ping),
    ]
}

/// Makes registrations with any slot, name, type and size.
pub fn registers() -> impl Strategy<Value = Register> {
    let required = (refs(), text(12), text(64), text(32), option::of(sizes()));
    let optional = (
        any::<Option<bool>>(),
        option::of(text(24)),
        option::of(0..=DATE_MS_MAX),
        option::of(text(64)),
        option::of(objects()),
    );
    (required, optional).prop_map(|(required, optional)| {
        let (upload, upload_name, client_name, client_type, client_size) = required;
        let (resumable, client_id, last_modified, relative_path, meta) = optional;
        Register {
            upload,
            upload_name,
            client_name,
            client_type,
            client_size,
            resumable,
            client_id,
            last_modified,
            relative_path,
            meta,
        }
    })
}

/// Makes resumes by `ref` and by `upload_id`.
pub fn resumes() -> impl Strategy<Value = Resume> {
    let client_id = option::of(text(24));
    (refs(), any::<bool>(), any::<Option<u64>>(), client_id).prop_map(
        |(upload, by_upload_id, offset, client_id)| Resume {
            upload,
            by_upload_id,
            offset,
            client_id,
        },
    )
}

/// Makes calls of any event with any parameters.
pub fn event_calls() -> impl Strategy<Value = EventCall> {
    let uploads = option::of(vec(refs(), 0..4));
    (text(16), objects(), option::of(event_ids()), uploads).prop_map(
        |(event, params, id, uploads)| EventCall {
            event,
            params,
            id,
            uploads,
        },
    )
}

/// Makes JSON of a few levels, without numbers that text could not carry exactly.
pub fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        text(12).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(8), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Makes text of up to `chars_max` characters, with controls, quotes and characters outside the BMP.
pub fn text(chars_max: usize) -> impl Strategy<Value = String> + Clone {
    let character = prop_oneof![4 => proptest::char::range(' ', '~'), 1 => any::<char>()];
    vec(character, 0..=chars_max).prop_map(String::from_iter)
}

fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(SIZE_MAX), 1..100_000_u64, 0..=SIZE_MAX,]
}

fn objects() -> impl Strategy<Value = Map<String, Value>> {
    vec((text(8), json_values()), 0..4)
        .prop_map(Map::from_iter)
        .prop_filter("larger than a message may carry", |map| {
            serde_json::to_string(map).is_ok_and(|json| json.len() <= META_BYTES_MAX)
        })
}

fn event_ids() -> impl Strategy<Value = EventId> {
    prop_oneof![
        any::<i64>().prop_map(EventId::Integer),
        // A character has at most four bytes.
        text(EVENT_ID_BYTES_MAX / 4).prop_map(EventId::Text),
    ]
}
