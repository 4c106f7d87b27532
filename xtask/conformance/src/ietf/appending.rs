//! Offsets, and content that is appended.

use super::{Ietf, LAST, MORE, PARTIAL, VERSION, is_problem, succeeded};
use crate::{
    check::{
        Check,
        Level::{Must, Should},
        Outcome, ensure,
    },
    wire::{Answer, pattern},
};

/// SHA-256 of `abc`, and of the empty text (FIPS 180).
const SHA256_OF_ABC: &str = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
const SHA256_OF_NOTHING: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

pub(super) const CHECKS: &[Check<Ietf>] = &[
    Check {
        rules: &["R10"],
        level: Must,
        says: "HEAD is answered 200 or 204 with offset, completeness, length and no-store",
        run: head_tells_how_far,
    },
    Check {
        rules: &["R10"],
        level: Should,
        says: "HEAD has Upload-Limit",
        run: head_has_limits,
    },
    Check {
        rules: &["R10"],
        level: Should,
        says: "HEAD that brings an offset or completeness is answered 400",
        run: head_brings_no_offset,
    },
    Check {
        rules: &["R10"],
        level: Must,
        says: "HEAD of an unknown upload is refused, without an offset",
        run: head_of_an_unknown_upload,
    },
    Check {
        rules: &["R11", "R14"],
        level: Must,
        says: "PATCH with ?0 succeeds with Upload-Complete: ?0, and its offset is accepted next",
        run: appending_moves_the_offset,
    },
    Check {
        rules: &["R12"],
        level: Must,
        says: "PATCH without an offset, or without completeness, is answered 400",
        run: an_append_has_its_fields,
    },
    Check {
        rules: &["R12"],
        level: Should,
        says: "PATCH with content of another type is answered 415",
        run: an_append_has_a_type,
    },
    Check {
        rules: &["R1"],
        level: Should,
        says: "a malformed field counts as absent",
        run: malformed_fields_are_absent,
    },
    Check {
        rules: &["R13"],
        level: Must,
        says: "PATCH at another offset is answered 409 with the current one, and changes nothing",
        run: another_offset_is_refused,
    },
    Check {
        rules: &["R13"],
        level: Should,
        says: "another offset is the problem mismatching-upload-offset, with both offsets",
        run: another_offset_is_a_problem,
    },
    Check {
        rules: &["R8"],
        level: Must,
        says: "a PATCH that broke off completes nothing, and its upload continues",
        run: broken_content_continues,
    },
    Check {
        rules: &["R20"],
        level: Should,
        says: "content with another Content-Digest is refused, and none of it is kept",
        run: another_digest,
    },
    Check {
        rules: &["R20"],
        level: Should,
        says: "content with its Content-Digest is taken",
        run: the_right_digest,
    },
    Check {
        rules: &["R21"],
        level: Should,
        says: "a PATCH that stopped does not hold up the next request, and completes nothing",
        run: the_newest_request_wins,
    },
];

fn head_tells_how_far(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    for at in [0, 3] {
        let answer = ietf.head(&path)?;
        answer.one_of(&[200, 204])?;
        answer.counts("upload-offset", at)?;
        answer.says("upload-complete", "?0")?;
        answer.counts("upload-length", 6)?;
        ensure!(
            answer.has("cache-control", "no-store"),
            "HEAD may be cached"
        );
        if at == 0 {
            succeeded(&ietf.append(&path, 0, MORE, b"abc")?)?;
        }
    }
    Ok(())
}

fn head_has_limits(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    ietf.head(&path)?.wanted("upload-limit").map(drop)
}

fn head_brings_no_offset(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    for extra in [("upload-offset", "0"), MORE] {
        ietf.ask("HEAD", &path, &[extra], b"")?.is(400)?;
    }
    Ok(())
}

fn head_of_an_unknown_upload(ietf: &Ietf) -> Outcome {
    let answer = ietf.ask("HEAD", &ietf.unknown(), &[], b"")?;
    answer.is_refusal()?;
    answer.lacks("upload-offset")
}

fn appending_moves_the_offset(ietf: &Ietf) -> Outcome {
    let bytes = pattern(100_000);
    let path = ietf.create(bytes.len())?;
    let mut at = 0;
    for piece in bytes.chunks(33_000) {
        let answer = ietf.append(&path, at, MORE, piece)?;
        succeeded(&answer)?;
        answer.says("upload-complete", "?0")?;
        at += piece.len();
        ietf.is_at(&path, at)?;
    }
    Ok(())
}

fn an_append_has_its_fields(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    for headers in [[PARTIAL, MORE], [PARTIAL, ("upload-offset", "0")]] {
        ietf.ask("PATCH", &path, &headers, b"abc")?.is(400)?;
        ietf.is_at(&path, 0)?;
    }
    Ok(())
}

fn an_append_has_a_type(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    let headers = [MORE, ("upload-offset", "0"), ("content-type", "text/plain")];
    ietf.ask("PATCH", &path, &headers, b"abc")?.is(415)?;
    ietf.is_at(&path, 0)
}

fn malformed_fields_are_absent(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    for headers in [
        [PARTIAL, MORE, ("upload-offset", "x")],
        [PARTIAL, ("upload-complete", "no"), ("upload-offset", "0")],
    ] {
        ietf.ask("PATCH", &path, &headers, b"abc")?.is(400)?;
        ietf.is_at(&path, 0)?;
    }
    Ok(())
}

/// Appends at a wrong offset to an upload of six bytes that has three.
fn mismatched(ietf: &Ietf) -> Outcome<(String, Answer)> {
    let path = ietf.create(6)?;
    succeeded(&ietf.append(&path, 0, MORE, b"abc")?)?;
    let answer = ietf.append(&path, 5, MORE, b"f")?;
    Ok((path, answer))
}

fn another_offset_is_refused(ietf: &Ietf) -> Outcome {
    let (path, answer) = mismatched(ietf)?;
    answer.is(409)?;
    answer.counts("upload-offset", 3)?;
    ietf.is_at(&path, 3)
}

fn another_offset_is_a_problem(ietf: &Ietf) -> Outcome {
    let (_, answer) = mismatched(ietf)?;
    is_problem(&answer, "#mismatching-upload-offset")?;
    let problem = answer.json()?;
    let offsets = ["expected-offset", "provided-offset"].map(|name| problem[name].as_u64());
    ensure!(offsets == [Some(3), Some(5)], "the problem is {problem}");
    Ok(())
}

fn broken_content_continues(ietf: &Ietf) -> Outcome {
    let (all, sent) = (100_000, 60_000);
    let bytes = pattern(all);
    let path = ietf.create(all)?;
    let mut wire = ietf.site.connect()?;
    let headers = [
        VERSION,
        PARTIAL,
        LAST,
        ("upload-offset", "0"),
        ("content-length", "100000"),
    ];
    wire.send("PATCH", &path, &headers, bytes.split_at(sent).0)?;
    wire.break_off();
    let at = ietf.offset(&path)?;
    ensure!(at <= sent, "of {sent} bytes {at} are kept");
    ietf.is_at(&path, at)?;
    let done = ietf.append(&path, at, LAST, bytes.split_at(at).1)?;
    succeeded(&done)?;
    done.says("upload-complete", "?1")
}

/// Appends `abc` at the beginning, with a digest.
fn digested(ietf: &Ietf, digest: &str) -> Outcome<(String, Answer)> {
    let path = ietf.create(6)?;
    let headers = [
        PARTIAL,
        MORE,
        ("upload-offset", "0"),
        ("content-digest", digest),
    ];
    let answer = ietf.ask("PATCH", &path, &headers, b"abc")?;
    Ok((path, answer))
}

fn another_digest(ietf: &Ietf) -> Outcome {
    let (path, answer) = digested(ietf, SHA256_OF_NOTHING)?;
    answer.is_refusal()?;
    ietf.is_at(&path, 0)
}

fn the_right_digest(ietf: &Ietf) -> Outcome {
    let (path, answer) = digested(ietf, SHA256_OF_ABC)?;
    succeeded(&answer)?;
    ietf.is_at(&path, 3)
}

fn the_newest_request_wins(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    let mut wire = ietf.site.connect()?;
    let headers = [
        VERSION,
        PARTIAL,
        LAST,
        ("upload-offset", "0"),
        ("content-length", "6"),
    ];
    wire.begin("PATCH", &path, &headers)?;
    wire.write(b"abc")?;
    let at = ietf.offset(&path)?;
    // The older request sends the rest, which would complete the upload.
    wire.write(b"def")?;
    ietf.is_at(&path, at)?;
    let rest = b"abcdef".get(at..).unwrap_or_default();
    let done = ietf.append(&path, at, LAST, rest)?;
    succeeded(&done)?;
    done.says("upload-complete", "?1")
}
