//! Creation: with all of the content, with some of it, and with none.

use super::{Ietf, LAST, MORE, PARTIAL, is_problem, succeeded};
use crate::check::{
    Check,
    Level::{Must, Should},
    Outcome, Stop, ensure,
};

pub(super) const CHECKS: &[Check<Ietf>] = &[
    Check {
        rules: &["R2", "R7"],
        level: Must,
        says: "POST with Upload-Complete: ?1 takes a whole file, and is answered with ?1",
        run: a_whole_file,
    },
    Check {
        rules: &["R5"],
        level: Should,
        says: "the answer to a whole file has the Location of the upload",
        run: a_whole_file_has_a_location,
    },
    Check {
        rules: &["R6"],
        level: Must,
        says: "a creation with ?0 is answered 201 with Location and Upload-Complete: ?0",
        run: the_first_bytes,
    },
    Check {
        rules: &["R6"],
        level: Should,
        says: "a creation with ?0 is answered with Upload-Offset and Upload-Limit",
        run: the_first_bytes_are_counted,
    },
    Check {
        rules: &["R2", "R6"],
        level: Must,
        says: "a creation may be empty, and its length may follow",
        run: an_empty_creation,
    },
    Check {
        rules: &["R3"],
        level: Must,
        says: "lengths that disagree are answered 400",
        run: lengths_agree,
    },
    Check {
        rules: &["R3"],
        level: Should,
        says: "lengths that disagree are the problem inconsistent-upload-length",
        run: lengths_that_disagree_are_a_problem,
    },
    Check {
        rules: &["R4"],
        level: Must,
        says: "a client that names no interop version is sent no 104",
        run: no_unasked_104,
    },
    Check {
        rules: &["R2", "R6"],
        level: Should,
        says: "a client of interop version 6 is served",
        run: version_6,
    },
    Check {
        rules: &["R2", "R12"],
        level: Should,
        says: "a client of interop version 5, which appends without a media type, is served",
        run: version_5,
    },
    Check {
        rules: &["R18"],
        level: Should,
        says: "OPTIONS has Upload-Limit",
        run: options_have_limits,
    },
    Check {
        rules: &["R18"],
        level: Must,
        says: "what exceeds max-size of Upload-Limit is answered 413",
        run: too_much_is_refused,
    },
];

fn a_whole_file(ietf: &Ietf) -> Outcome {
    let answer = ietf.post(&[LAST], b"abc")?;
    succeeded(&answer)?;
    answer.says("upload-complete", "?1")
}

fn a_whole_file_has_a_location(ietf: &Ietf) -> Outcome {
    let answer = ietf.post(&[LAST], b"abc")?;
    succeeded(&answer)?;
    let head = ietf.head(&ietf.path_in(&answer)?)?;
    head.one_of(&[200, 204])?;
    head.says("upload-complete", "?1")
}

fn the_first_bytes(ietf: &Ietf) -> Outcome {
    let answer = ietf.post(&[MORE, ("upload-length", "6")], b"abc")?;
    answer.is(201)?;
    answer.says("upload-complete", "?0")?;
    ietf.is_at(&ietf.path_in(&answer)?, 3)
}

fn the_first_bytes_are_counted(ietf: &Ietf) -> Outcome {
    let answer = ietf.post(&[MORE, ("upload-length", "6")], b"abc")?;
    answer.is(201)?;
    answer.counts("upload-offset", 3)?;
    answer.wanted("upload-limit").map(drop)
}

fn an_empty_creation(ietf: &Ietf) -> Outcome {
    let answer = ietf.post(&[MORE], b"")?;
    answer.is(201)?;
    let path = ietf.path_in(&answer)?;
    ietf.is_at(&path, 0)?;
    succeeded(&ietf.append(&path, 0, MORE, b"abc")?)?;
    let done = ietf.append(&path, 3, LAST, b"de")?;
    succeeded(&done)?;
    done.says("upload-complete", "?1")
}

fn lengths_agree(ietf: &Ietf) -> Outcome {
    ietf.post(&[LAST, ("upload-length", "5")], b"abc")?.is(400)
}

fn lengths_that_disagree_are_a_problem(ietf: &Ietf) -> Outcome {
    let answer = ietf.post(&[LAST, ("upload-length", "5")], b"abc")?;
    is_problem(&answer, "#inconsistent-upload-length")
}

fn no_unasked_104(ietf: &Ietf) -> Outcome {
    let mut wire = ietf.site.connect()?;
    wire.send(
        "POST",
        ietf.site.path(),
        &[MORE, ("upload-length", "6")],
        b"abc",
    )?;
    let answer = wire.first_answer("POST")?;
    ensure!(answer.status != 104, "POST was answered 104 first");
    answer.is(201)
}

/// Creates, appends and asks as a client of another version does.
fn version(ietf: &Ietf, version: &str, media_type: &[(&str, &str)]) -> Outcome {
    let version = ("upload-draft-interop-version", version);
    let length = ("upload-length", "6");
    let path = ietf.site.path();
    let created = ietf
        .site
        .ask("POST", path, &[version, MORE, length], b"abc")?;
    created.is(201)?;
    created.says("upload-complete", "?0")?;
    let path = ietf.path_in(&created)?;
    let head = ietf.site.ask("HEAD", &path, &[version], b"")?;
    head.one_of(&[200, 204])?;
    head.counts("upload-offset", 3)?;
    head.says("upload-complete", "?0")?;
    let headers = [&[version, LAST, ("upload-offset", "3")], media_type].concat();
    let done = ietf.site.ask("PATCH", &path, &headers, b"def")?;
    succeeded(&done)
}

fn version_6(ietf: &Ietf) -> Outcome {
    version(ietf, "6", &[PARTIAL])
}

fn version_5(ietf: &Ietf) -> Outcome {
    version(ietf, "5", &[])
}

fn options_have_limits(ietf: &Ietf) -> Outcome {
    let answer = ietf.site.ask("OPTIONS", ietf.site.path(), &[], b"")?;
    succeeded(&answer)?;
    answer.wanted("upload-limit").map(drop)
}

fn too_much_is_refused(ietf: &Ietf) -> Outcome {
    let answer = ietf.site.ask("OPTIONS", ietf.site.path(), &[], b"")?;
    let limits = answer.header("upload-limit").unwrap_or_default();
    let max = limits
        .split(',')
        .find_map(|limit| limit.trim().strip_prefix("max-size="))
        .and_then(|digits| digits.parse::<u64>().ok())
        .ok_or_else(|| Stop::not_announced("max-size in Upload-Limit of OPTIONS"))?;
    let length = max.saturating_add(1).to_string();
    let refused = ietf.post(&[MORE, ("upload-length", &length)], b"")?;
    refused.is(413)
}
