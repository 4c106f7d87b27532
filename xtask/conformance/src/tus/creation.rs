//! Creation: lengths that are known, follow later or are missing, metadata, and content that comes at once.

use super::{OFFSET_TYPE, Tus};
use crate::check::{
    Check,
    Level::{Must, Should},
    Outcome, Stop, ensure,
};

pub(super) const CHECKS: &[Check<Tus>] = &[
    Check {
        rules: &["T20"],
        level: Must,
        says: "a creation without a length, or with one that is no number, is refused",
        run: a_creation_has_a_length,
    },
    Check {
        rules: &["T20"],
        level: Should,
        says: "Upload-Defer-Length with another value than 1 is answered 400",
        run: the_length_is_deferred_by_one,
    },
    Check {
        rules: &["T21"],
        level: Must,
        says: "a creation is answered 201 with the Location of the upload",
        run: a_creation_has_a_location,
    },
    Check {
        rules: &["T22"],
        level: Must,
        says: "a length above Tus-Max-Size is answered 413",
        run: too_much_is_refused,
    },
    Check {
        rules: &["T17"],
        level: Should,
        says: "an upload of length 0 is complete with its creation",
        run: an_empty_file,
    },
    Check {
        rules: &["T6", "T23"],
        level: Must,
        says: "HEAD has Upload-Metadata as it was sent, values without a text too",
        run: metadata_comes_back,
    },
    Check {
        rules: &["T23"],
        level: Should,
        says: "an empty Upload-Metadata counts as absent",
        run: metadata_may_be_empty,
    },
    Check {
        rules: &["T25"],
        level: Should,
        says: "unknown headers are ignored",
        run: unknown_headers_are_ignored,
    },
    Check {
        rules: &["T26"],
        level: Must,
        says: "a creation may bring the first bytes, and is answered with the offset",
        run: a_creation_brings_the_first_bytes,
    },
    Check {
        rules: &["T26"],
        level: Must,
        says: "a creation may bring the whole file",
        run: a_creation_brings_everything,
    },
    Check {
        rules: &["T26"],
        level: Should,
        says: "a creation with content of another type stores none of it",
        run: content_of_a_creation_has_a_type,
    },
    Check {
        rules: &["T27"],
        level: Must,
        says: "HEAD has Upload-Defer-Length: 1 until a PATCH brings the length",
        run: the_length_follows,
    },
    Check {
        rules: &["T27"],
        level: Must,
        says: "a length that is known is never changed",
        run: the_length_stays,
    },
    Check {
        rules: &["T28"],
        level: Should,
        says: "an empty PATCH with the length completes an upload, and may be repeated",
        run: an_empty_append_completes,
    },
];

fn a_creation_has_a_length(tus: &Tus) -> Outcome {
    for headers in [
        &[][..],
        &[("upload-length", "-1")],
        &[("upload-length", "many")],
    ] {
        let answer = tus.post(headers, b"")?;
        answer.is_refusal()?;
        answer.lacks("location")?;
    }
    Ok(())
}

fn the_length_is_deferred_by_one(tus: &Tus) -> Outcome {
    tus.need("creation-defer-length")?;
    tus.post(&[("upload-defer-length", "2")], b"")?.is(400)
}

fn a_creation_has_a_location(tus: &Tus) -> Outcome {
    let path = tus.create(3)?;
    tus.has_come(&path, 0)
}

fn too_much_is_refused(tus: &Tus) -> Outcome {
    let max = tus
        .max_size
        .ok_or_else(|| Stop::not_announced("Tus-Max-Size"))?;
    let length = max.saturating_add(1).to_string();
    let answer = tus.post(&[("upload-length", &length)], b"")?;
    answer.is(413)?;
    answer.lacks("location")
}

fn an_empty_file(tus: &Tus) -> Outcome {
    let path = tus.create(0)?;
    let answer = tus.head(&path)?;
    answer.one_of(&[200, 204])?;
    answer.counts("upload-offset", 0)?;
    answer.counts("upload-length", 0)
}

fn metadata_comes_back(tus: &Tus) -> Outcome {
    let pairs = ["zeta Yg==", "filename YS50eHQ=", "empty"];
    let metadata = pairs.join(",");
    let headers = [("upload-length", "5"), ("upload-metadata", &*metadata)];
    let path = tus.path_in(&tus.post(&headers, b"")?)?;
    let answer = tus.head(&path)?;
    let echo = answer.wanted("upload-metadata")?;
    let mut echoed: Vec<_> = echo.split(',').map(str::trim).collect();
    let mut wanted = pairs;
    wanted.sort_unstable();
    echoed.sort_unstable();
    ensure!(
        echoed == wanted,
        "HEAD has upload-metadata: {echo}, and not {metadata}"
    );
    Ok(())
}

fn metadata_may_be_empty(tus: &Tus) -> Outcome {
    let headers = [("upload-length", "3"), ("upload-metadata", "")];
    tus.post(&headers, b"")?.is(201)
}

fn unknown_headers_are_ignored(tus: &Tus) -> Outcome {
    let headers = [("upload-length", "3"), ("upload-future", "1")];
    tus.post(&headers, b"")?.is(201)
}

fn a_creation_brings_the_first_bytes(tus: &Tus) -> Outcome {
    tus.need("creation-with-upload")?;
    let created = tus.post(&[OFFSET_TYPE, ("upload-length", "5")], b"abc")?;
    let path = tus.path_in(&created)?;
    created.counts("upload-offset", 3)?;
    let answer = tus.append(&path, 3, b"de")?;
    answer.is(204)?;
    answer.counts("upload-offset", 5)
}

fn a_creation_brings_everything(tus: &Tus) -> Outcome {
    tus.need("creation-with-upload")?;
    let created = tus.post(&[OFFSET_TYPE, ("upload-length", "5")], b"abcde")?;
    let path = tus.path_in(&created)?;
    created.counts("upload-offset", 5)?;
    tus.has_come(&path, 5)
}

/// Either the creation is refused, or the content is not taken.
fn content_of_a_creation_has_a_type(tus: &Tus) -> Outcome {
    tus.need("creation-with-upload")?;
    let headers = [("content-type", "text/plain"), ("upload-length", "5")];
    let answer = tus.post(&headers, b"abc")?;
    if answer.status == 201 {
        return tus.has_come(&tus.path_in(&answer)?, 0);
    }
    answer.is(415)
}

fn the_length_follows(tus: &Tus) -> Outcome {
    let path = deferred(tus)?;
    for data in ["ab", "cd"] {
        let answer = tus.head(&path)?;
        answer.says("upload-defer-length", "1")?;
        answer.lacks("upload-length")?;
        let at = tus.offset(&path)?;
        tus.append(&path, at, data.as_bytes())?.is(204)?;
    }
    with_length(tus, &path, "6", b"ef")?.is(204)?;
    let answer = tus.head(&path)?;
    answer.counts("upload-length", 6)?;
    answer.counts("upload-offset", 6)?;
    answer.lacks("upload-defer-length")
}

fn the_length_stays(tus: &Tus) -> Outcome {
    let path = deferred(tus)?;
    tus.append(&path, 0, b"abcd")?.is(204)?;
    with_length(tus, &path, "6", b"")?.is(204)?;
    with_length(tus, &path, "7", b"")?.is_refusal()?;
    let answer = tus.head(&path)?;
    answer.counts("upload-length", 6)?;
    answer.counts("upload-offset", 4)
}

fn an_empty_append_completes(tus: &Tus) -> Outcome {
    let path = deferred(tus)?;
    tus.append(&path, 0, b"abcd")?.is(204)?;
    for _ in 0..2 {
        let answer = with_length(tus, &path, "4", b"")?;
        answer.is(204)?;
        answer.counts("upload-offset", 4)?;
    }
    let answer = tus.head(&path)?;
    answer.counts("upload-length", 4)?;
    answer.counts("upload-offset", 4)
}

fn deferred(tus: &Tus) -> Outcome<String> {
    tus.need("creation-defer-length")?;
    tus.path_in(&tus.post(&[("upload-defer-length", "1")], b"")?)
}

/// Appends content behind the first four bytes, and says the length.
fn with_length(tus: &Tus, path: &str, length: &str, data: &[u8]) -> Outcome<crate::wire::Answer> {
    let headers = [
        OFFSET_TYPE,
        ("upload-offset", "4"),
        ("upload-length", length),
    ];
    tus.ask("PATCH", path, &headers, data)
}
