//! Generators of what a server says.

use proptest::{collection, option, prelude::*, sample};

use super::{event_ids, json_values, refs, text};
use crate::{
    codes::{Code, Retry},
    message::{
        Configs, ErrorMessage, EventPush, EventResult, Limits, ListedUpload, Registered, ResumeAck,
        ResumeStatus, Resumed, ServerMessage, SlotConfig, Snapshot, Status, UploadList, crc32c_hex,
    },
};

/// Makes messages of every type a server has.
pub fn server_messages() -> impl Strategy<Value = ServerMessage> {
    prop_oneof![
        1 => configs().prop_map(ServerMessage::Configs),
        2 => registered().prop_map(ServerMessage::Registered),
        4 => snapshots().prop_map(|snapshot| ServerMessage::Progress(Box::new(snapshot))),
        2 => resumed().prop_map(ServerMessage::Resumed),
        1 => (refs(), any::<bool>(), any::<u64>()).prop_map(|(upload_id, accepted, offset)| {
            ServerMessage::ResumeAck(ResumeAck { upload_id, accepted, offset })
        }),
        2 => event_results().prop_map(|result| ServerMessage::EventResult(Box::new(result))),
        1 => (text(16), json_values())
            .prop_map(|(event, value)| ServerMessage::EventPush(EventPush { event, value })),
        2 => (codes(), option::of(refs()), option::of(text(8))).prop_map(|(code, upload, reason)| {
            ServerMessage::Error(ErrorMessage { reason, ..ErrorMessage::new(code, upload) })
        }),
        1 => any::<u64>()
            .prop_map(|reconnect_after_ms| ServerMessage::Draining { reconnect_after_ms }),
        1 => lists().prop_map(ServerMessage::List),
        1 => Just(ServerMessage::Pong),
    ]
}

fn lists() -> impl Strategy<Value = UploadList> {
    let size = option::of(0..1_u64 << 53);
    let result = option::of(json_values()).prop_map(|it| it.filter(|it| !it.is_null()));
    let listed = (refs(), text(8), text(8), size, any::<u64>(), result).prop_map(
        |(upload, upload_name, client_name, client_size, bytes_received, result)| ListedUpload {
            upload,
            upload_name,
            client_name,
            client_size,
            status: Status::Complete,
            bytes_received,
            result,
            expires_in: client_size,
        },
    );
    let uploads = collection::vec(listed, 0..3);
    (option::of(event_ids()), uploads, any::<bool>()).prop_map(|(id, uploads, more)| UploadList {
        id,
        uploads,
        more,
    })
}

fn codes() -> impl Strategy<Value = Code> {
    sample::select(Code::ALL)
}

fn checksums() -> impl Strategy<Value = Option<String>> {
    option::of(any::<u32>().prop_map(crc32c_hex))
}

fn configs() -> impl Strategy<Value = Configs> {
    let numbers = any::<(u32, u64, u64, u64, u64, u32, u32)>();
    let slots = collection::btree_map(text(8), slot_configs(), 0..4);
    (any::<u32>(), slots, numbers).prop_map(|(protocol, upload_configs, numbers)| Configs {
        protocol,
        upload_configs,
        limits: Limits {
            max_uploads_per_owner: numbers.0,
            message_bytes_max: numbers.1,
            window_bytes: numbers.2,
            idle_upload_seconds: numbers.3,
            ping_seconds: numbers.4,
            meta_bytes_max: numbers.5,
            name_bytes_max: numbers.6,
        },
    })
}

fn slot_configs() -> impl Strategy<Value = SlotConfig> {
    let numbers = any::<(u32, u64, u32)>();
    let flags = any::<([bool; 5], Option<bool>)>();
    (text(8), text(16), numbers, flags).prop_map(|(name, accept, numbers, (flags, consumes))| {
        SlotConfig {
            name,
            accept,
            max_entries: numbers.0,
            max_file_size: numbers.1,
            chunk_size: numbers.2,
            auto_upload: flags[0],
            resumable: flags[1],
            allow_active_content: flags[2],
            direct: flags[3],
            unknown_size: flags[4],
            consumes_on_complete: consumes,
        }
    })
}

fn registered() -> impl Strategy<Value = Registered> {
    let rest = any::<(u32, u64, bool, Option<u64>)>();
    (refs(), text(8), rest).prop_map(|(upload, upload_name, rest)| Registered {
        upload,
        upload_name,
        chunk_size: rest.0,
        credit: rest.1,
        resumable: rest.2,
        expires_in: rest.3,
    })
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let status = sample::select(vec![
        Status::Uploading,
        Status::Complete,
        Status::Error,
        Status::Cancelled,
    ]);
    let retry = sample::select(vec![
        Retry::Resend,
        Retry::Later,
        Retry::Restart,
        Retry::Never,
    ]);
    let reason = (
        option::of(codes()),
        option::of(text(16)),
        option::of(retry),
        option::of(text(8)),
    );
    let ending = (option::of(json_values()), checksums());
    let flags = any::<(Option<u64>, Option<bool>, Option<bool>)>();
    (
        refs(),
        0..=100_u8,
        status,
        any::<[u64; 4]>(),
        reason,
        ending,
        flags,
    )
        .prop_map(
            |(upload, progress, status, numbers, reason, ending, flags)| Snapshot {
                upload,
                progress,
                status,
                bytes_received: numbers[0],
                bytes_durable: numbers[1],
                next_index: numbers[2],
                credit: numbers[3],
                code: reason.0,
                reason: reason.3,
                error: reason.1,
                retry: reason.2,
                retry_after_ms: flags.0,
                resumable: flags.1,
                detached: flags.2,
                result: ending.0,
                crc32c: ending.1,
            },
        )
}

fn resumed() -> impl Strategy<Value = Resumed> {
    let status = sample::select(vec![
        ResumeStatus::Resumed,
        ResumeStatus::Complete,
        ResumeStatus::NotFound,
        ResumeStatus::Locked,
    ]);
    let ranges = collection::vec(any::<[u64; 2]>(), 0..4);
    let numbers = any::<(u64, u64, u32, u64)>();
    (refs(), status, ranges, checksums(), numbers).prop_map(
        |(upload, status, chunks_received, crc32c, numbers)| Resumed {
            upload,
            status,
            bytes_received: numbers.0,
            next_index: numbers.1,
            chunks_received,
            crc32c,
            chunk_size: numbers.2,
            credit: numbers.3,
        },
    )
}

fn event_results() -> impl Strategy<Value = EventResult> {
    let id = option::of(event_ids());
    let failure = option::of(codes());
    (
        id,
        text(16),
        any::<bool>(),
        option::of(json_values()),
        failure,
        (collection::vec(refs(), 0..3), collection::vec(refs(), 0..3)),
    )
        .prop_map(
            |(id, event, ok, result, code, (taken, unknown))| EventResult {
                id,
                event,
                ok,
                result,
                code,
                reason: code.map(|code| code.as_str().to_owned()),
                error: code.map(|code| code.text().to_owned()),
                taken,
                unknown,
            },
        )
}
