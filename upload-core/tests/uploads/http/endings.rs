//! How files end that end by word.

use upload_core::{Content, ContentEnd, Ends, Refusal, Reply, Request};
use upload_proto::Code;

use super::{
    is_done, offset,
    rig::{Rig, ietf},
};
use crate::support::Storage;

/// A file without a length that is more than the slot takes is too large, and not longer than declared.
#[test]
fn content_past_what_the_slot_takes_is_too_large() {
    for ends in [Ends::Later, Ends::Here] {
        let mut rig = Rig::with(1, Storage::default(), |slot| slot.max_file_size = 4);
        rig.create(None, None);
        let id = rig.ask(Request::Append(ietf(0, ends)));
        rig.send(id, "abcdef");
        assert!(matches!(
            rig.reply(id),
            Reply::Refused(Refusal {
                code: Code::TooLarge,
                ..
            })
        ));
        assert!(rig.storage.records.is_empty());
    }
}

/// PAGE-4: the checksum of the whole file decides with the end, and not before.
#[test]
fn a_file_with_another_checksum_is_none() {
    for (crc32c, is_good) in [(crc32c::crc32c(b"abcd"), true), (1, false)] {
        let mut rig = Rig::new(1, Storage::default());
        rig.create(4, None);
        let id = rig.ask(Request::Append(ietf(0, Ends::Later)));
        rig.send(id, "abcd");
        rig.end(id, ContentEnd::Whole);
        assert_eq!(offset(rig.reply(id)), 4);
        let id = rig.ask(Request::Append(Content {
            crc32c: Some(crc32c),
            ..ietf(4, Ends::Here)
        }));
        rig.end(id, ContentEnd::Whole);
        let reply = rig.reply(id);
        match is_good {
            true => assert!(is_done(&reply), "{reply:?}"),
            false => assert!(matches!(
                reply,
                Reply::Refused(Refusal {
                    code: Code::ChecksumMismatch,
                    ..
                })
            )),
        }
    }
}
