//! The targets by name, with what each reads.

mod accept;
mod answers;
mod checkpoints;
mod content;
mod control;
mod cookies;
mod draft_fields;
mod file_names;
mod forwarded;
mod frames;
mod host;
mod keys;
mod names;
mod origins;
mod packets;
mod presign;
mod ranges;
mod records;
mod s3_events;
mod session;
mod tus_fields;

use std::path::Path;

/// Something that reads what a peer wrote.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line, and of its corpus.
    pub name: &'static str,
    /// What it is tried on; panics where a promise is broken.
    pub run: fn(&[u8]),
    /// The files whose coverage counts, from the workspace's folder.
    pub sources: &'static [&'static str],
    /// The longest input that is tried, in bytes.
    pub input_bytes_max: usize,
    pub(crate) seeds: Seeds,
    pub(crate) corpus: Option<&'static Path>,
}

/// The golden vectors that a target begins with.
#[derive(Clone, Copy)]
pub(crate) enum Seeds {
    None,
    Frames,
    ClientMessages,
    ServerMessages,
}

const fn reads(name: &'static str, run: fn(&[u8]), sources: &'static [&'static str]) -> Target {
    Target {
        name,
        run,
        sources,
        input_bytes_max: 4096,
        seeds: Seeds::None,
        corpus: None,
    }
}

const fn begins_with(seeds: Seeds, target: Target) -> Target {
    Target { seeds, ..target }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    begins_with(
        Seeds::Frames,
        reads(
            "frames",
            frames::run,
            &["upload-proto/src/frame.rs", "upload-proto/src/ids.rs"],
        ),
    ),
    reads("packets", packets::run, &["upload-proto/src/codec.rs"]),
    begins_with(
        Seeds::ClientMessages,
        reads(
            "control",
            control::run,
            &[
                "upload-proto/src/message/parse.rs",
                "upload-proto/src/message/scan.rs",
            ],
        ),
    ),
    begins_with(
        Seeds::ServerMessages,
        reads(
            "answers",
            answers::run,
            &[
                "upload-proto/src/message/server.rs",
                "upload-proto/src/message/snapshot.rs",
                "upload-core/src/sender/answers.rs",
                "upload-core/src/sender/feed.rs",
            ],
        ),
    ),
    reads("names", names::run, &["upload-validate/src/name.rs"]),
    reads(
        "accept",
        accept::run,
        &[
            "upload-validate/src/accept.rs",
            "upload-validate/src/accept/token.rs",
            "upload-validate/src/media_types.rs",
        ],
    ),
    reads(
        "content",
        content::run,
        &[
            "upload-validate/src/sniff.rs",
            "upload-validate/src/signatures.rs",
            "upload-validate/src/active.rs",
            "upload-validate/src/active/bytes.rs",
            "upload-validate/src/markup.rs",
        ],
    ),
    reads("records", records::run, &["upload-core/src/record.rs"]),
    reads(
        "checkpoints",
        checkpoints::run,
        &[
            "upload-writers/src/file/checkpoint.rs",
            "upload-writers/src/file/temp.rs",
            "upload-writers/src/file/place.rs",
            "upload-writers/src/object_store/resumable.rs",
        ],
    ),
    reads(
        "keys",
        keys::run,
        &["upload-writers/src/key.rs", "upload-writers/src/name.rs"],
    ),
    reads(
        "s3_events",
        s3_events::run,
        &["upload-server/src/outbox/s3_events/notification.rs"],
    ),
    reads(
        "origins",
        origins::run,
        &["upload-server/src/http/origin.rs"],
    ),
    reads(
        "cookies",
        cookies::run,
        &["upload-server/src/http/session_cookie.rs"],
    ),
    reads(
        "tus_fields",
        tus_fields::run,
        &[
            "upload-server/src/http/tus/fields.rs",
            "upload-server/src/http/tus/metadata.rs",
        ],
    ),
    reads(
        "draft_fields",
        draft_fields::run,
        &["upload-server/src/http/ietf/fields.rs"],
    ),
    reads(
        "file_names",
        file_names::run,
        &["upload-server/src/http/plain/names.rs"],
    ),
    reads(
        "forwarded",
        forwarded::run,
        &[
            "upload-server/src/http/forwarded.rs",
            "upload-server/src/http/forwarded/rfc7239.rs",
        ],
    ),
    reads(
        "ranges",
        ranges::run,
        &["upload-server/src/http/files/range.rs"],
    ),
    reads(
        "presign",
        presign::run,
        &[
            "upload-server/src/http/presign.rs",
            "upload-server/src/presign/signer.rs",
        ],
    ),
    reads(
        "session",
        session::run,
        &[
            "upload-core/src/session.rs",
            "upload-core/src/session/control.rs",
            "upload-core/src/session/register.rs",
            "upload-core/src/upload.rs",
            "upload-core/src/intake.rs",
            "upload-core/src/window.rs",
        ],
    ),
    reads(
        "host",
        host::run,
        &[
            "upload-core/src/session/resume.rs",
            "upload-core/src/lookup.rs",
            "upload-core/src/saver.rs",
            "upload-core/src/upload/keeping.rs",
            "upload-core/src/upload/leaving.rs",
            "upload-core/src/upload/writing.rs",
        ],
    ),
];

/// Returns the target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
