//! The core of tus: versions, offsets, and content that is appended.

use super::{OFFSET_TYPE, Tus, VERSION};
use crate::{
    check::{
        Check,
        Level::{Must, Should},
        Outcome, ensure,
    },
    wire::pattern,
};

pub(super) const CHECKS: &[Check<Tus>] = &[
    Check {
        rules: &["T1"],
        level: Must,
        says: "every answer carries Tus-Resumable, refusals too",
        run: every_answer_has_the_version,
    },
    Check {
        rules: &["T2"],
        level: Must,
        says: "a request of another version is answered 412 with Tus-Version, and not processed",
        run: another_version_is_refused,
    },
    Check {
        rules: &["T3"],
        level: Should,
        says: "HEAD without a version is served",
        run: head_is_served_without_a_version,
    },
    Check {
        rules: &["T4"],
        level: Must,
        says: "OPTIONS is answered 200 or 204 with Tus-Version",
        run: options_have_the_version,
    },
    Check {
        rules: &["T4"],
        level: Must,
        says: "OPTIONS is answered whatever version it names",
        run: options_ignore_the_version,
    },
    Check {
        rules: &["T5"],
        level: Must,
        says: "X-HTTP-Method-Override makes a PATCH of a POST",
        run: the_method_is_overridden,
    },
    Check {
        rules: &["T6"],
        level: Must,
        says: "HEAD of a new upload has Upload-Offset 0, Upload-Length and no-store",
        run: head_of_a_new_upload,
    },
    Check {
        rules: &["T6", "T18"],
        level: Must,
        says: "HEAD of a complete upload has its length as the offset",
        run: head_of_a_complete_upload,
    },
    Check {
        rules: &["T7"],
        level: Should,
        says: "HEAD of an unknown upload is answered 404, 410 or 403, without an offset",
        run: head_of_an_unknown_upload,
    },
    Check {
        rules: &["T9"],
        level: Should,
        says: "PATCH with content of another type is answered 415",
        run: appended_content_has_a_type,
    },
    Check {
        rules: &["T10"],
        level: Must,
        says: "PATCH at another offset is answered 409 and changes nothing",
        run: another_offset_is_refused,
    },
    Check {
        rules: &["T10"],
        level: Should,
        says: "PATCH without an offset, or with one that is no number, is answered 400",
        run: the_offset_is_a_number,
    },
    Check {
        rules: &["T11"],
        level: Must,
        says: "PATCH is answered 204 with the new offset",
        run: appending_moves_the_offset,
    },
    Check {
        rules: &["T12"],
        level: Should,
        says: "what came of a PATCH that broke off is kept",
        run: broken_content_is_kept,
    },
    Check {
        rules: &["T13"],
        level: Should,
        says: "PATCH needs no Content-Length",
        run: content_may_be_chunked,
    },
    Check {
        rules: &["T13"],
        level: Should,
        says: "content past the length is refused, and the offset never exceeds the length",
        run: the_length_is_the_end,
    },
    Check {
        rules: &["T14"],
        level: Should,
        says: "PATCH of an unknown upload is answered 404, 410 or 403",
        run: appending_to_nothing,
    },
    Check {
        rules: &["T15"],
        level: Should,
        says: "an empty PATCH is answered 204 and changes nothing, before the end and at it",
        run: an_empty_append,
    },
    Check {
        rules: &["T16"],
        level: Must,
        says: "Expect: 100-continue is answered before the content comes",
        run: content_is_asked_for,
    },
    Check {
        rules: &["T16"],
        level: Should,
        says: "what the headers refuse is answered instead of 100 Continue",
        run: refused_content_is_not_asked_for,
    },
];

fn every_answer_has_the_version(tus: &Tus) -> Outcome {
    let path = tus.create(3)?;
    let unknown = tus.unknown();
    let answers = [
        tus.post(&[], b"")?,
        tus.ask("HEAD", &path, &[], b"")?,
        tus.append(&path, 1, b"a")?,
        tus.append(&path, 0, b"abc")?,
        tus.ask("HEAD", &unknown, &[], b"")?,
    ];
    for answer in answers {
        answer.says("tus-resumable", "1.0.0")?;
    }
    Ok(())
}

fn another_version_is_refused(tus: &Tus) -> Outcome {
    tus.need("creation")?;
    let headers = [("tus-resumable", "0.2.2"), ("upload-length", "3")];
    let answer = tus.site.ask("POST", tus.site.path(), &headers, b"")?;
    answer.is(412)?;
    ensure!(
        answer.has("tus-version", "1.0.0"),
        "412 has no Tus-Version: 1.0.0"
    );
    answer.lacks("location")
}

fn head_is_served_without_a_version(tus: &Tus) -> Outcome {
    let path = tus.create(3)?;
    let answer = tus.site.ask("HEAD", &path, &[], b"")?;
    answer.one_of(&[200, 204])?;
    answer.counts("upload-offset", 0)
}

fn options_have_the_version(tus: &Tus) -> Outcome {
    let answer = tus.site.ask("OPTIONS", tus.site.path(), &[], b"")?;
    answer.one_of(&[200, 204])?;
    ensure!(
        answer.has("tus-version", "1.0.0"),
        "OPTIONS has no Tus-Version: 1.0.0"
    );
    Ok(())
}

fn options_ignore_the_version(tus: &Tus) -> Outcome {
    let other = [("tus-resumable", "9.9.9")];
    let answer = tus.site.ask("OPTIONS", tus.site.path(), &other, b"")?;
    answer.one_of(&[200, 204])?;
    ensure!(
        answer.has("tus-version", "1.0.0"),
        "OPTIONS has no Tus-Version: 1.0.0"
    );
    Ok(())
}

fn the_method_is_overridden(tus: &Tus) -> Outcome {
    let path = tus.create(3)?;
    let headers = [
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("x-http-method-override", "PATCH"),
    ];
    let answer = tus.ask("POST", &path, &headers, b"ab")?;
    answer.is(204)?;
    answer.counts("upload-offset", 2)?;
    tus.has_come(&path, 2)
}

fn head_of_a_new_upload(tus: &Tus) -> Outcome {
    let path = tus.create(5)?;
    let answer = tus.head(&path)?;
    answer.one_of(&[200, 204])?;
    answer.counts("upload-offset", 0)?;
    answer.counts("upload-length", 5)?;
    ensure!(
        answer.has("cache-control", "no-store"),
        "HEAD may be cached"
    );
    Ok(())
}

fn head_of_a_complete_upload(tus: &Tus) -> Outcome {
    let path = tus.create(4)?;
    tus.append(&path, 0, b"abcd")?.is(204)?;
    let answer = tus.head(&path)?;
    answer.one_of(&[200, 204])?;
    answer.counts("upload-offset", 4)?;
    answer.counts("upload-length", 4)
}

fn head_of_an_unknown_upload(tus: &Tus) -> Outcome {
    let answer = tus.ask("HEAD", &tus.unknown(), &[], b"")?;
    answer.one_of(&[403, 404, 410])?;
    answer.lacks("upload-offset")
}

fn appended_content_has_a_type(tus: &Tus) -> Outcome {
    let path = tus.create(3)?;
    let headers = [("upload-offset", "0"), ("content-type", "text/plain")];
    tus.ask("PATCH", &path, &headers, b"abc")?.is(415)?;
    tus.has_come(&path, 0)
}

fn another_offset_is_refused(tus: &Tus) -> Outcome {
    let path = tus.create(5)?;
    tus.append(&path, 0, b"ab")?.is(204)?;
    for at in [0, 1, 3, 99] {
        tus.append(&path, at, b"x")?.is(409)?;
        tus.has_come(&path, 2)?;
    }
    Ok(())
}

fn the_offset_is_a_number(tus: &Tus) -> Outcome {
    let path = tus.create(5)?;
    tus.ask("PATCH", &path, &[OFFSET_TYPE], b"abc")?.is(400)?;
    for bad in ["-1", "a", "1.0"] {
        let headers = [OFFSET_TYPE, ("upload-offset", bad)];
        tus.ask("PATCH", &path, &headers, b"abc")?.is(400)?;
    }
    tus.has_come(&path, 0)
}

fn appending_moves_the_offset(tus: &Tus) -> Outcome {
    let bytes = pattern(100_000);
    let path = tus.create(bytes.len())?;
    let mut at = 0;
    for piece in bytes.chunks(33_000) {
        let answer = tus.append(&path, at, piece)?;
        at += piece.len();
        answer.is(204)?;
        answer.counts("upload-offset", at)?;
        tus.has_come(&path, at)?;
    }
    Ok(())
}

fn broken_content_is_kept(tus: &Tus) -> Outcome {
    let (all, sent) = (100_000, 60_000);
    let bytes = pattern(all);
    let path = tus.create(all)?;
    let (length, headers) = (
        all.to_string(),
        [VERSION, OFFSET_TYPE, ("upload-offset", "0")],
    );
    let headers = [&headers[..], &[("content-length", &*length)]].concat();
    let mut wire = tus.site.connect()?;
    let (first, _) = bytes.split_at(sent);
    wire.send("PATCH", &path, &headers, first)?;
    wire.break_off();
    let at = tus.offset(&path)?;
    ensure!((1..=sent).contains(&at), "of {sent} bytes {at} are kept");
    let answer = tus.append(&path, at, bytes.split_at(at).1)?;
    answer.is(204)?;
    answer.counts("upload-offset", all)
}

fn content_may_be_chunked(tus: &Tus) -> Outcome {
    let path = tus.create(4)?;
    let headers = [
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("transfer-encoding", "chunked"),
    ];
    let answer = tus.ask("PATCH", &path, &headers, b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")?;
    answer.is(204)?;
    answer.counts("upload-offset", 4)
}

fn the_length_is_the_end(tus: &Tus) -> Outcome {
    for chunked in [false, true] {
        let path = tus.create(4)?;
        let answer = if chunked {
            let headers = [
                OFFSET_TYPE,
                ("upload-offset", "0"),
                ("transfer-encoding", "chunked"),
            ];
            tus.ask("PATCH", &path, &headers, b"6\r\nabcdef\r\n0\r\n\r\n")?
        } else {
            tus.append(&path, 0, b"abcdef")?
        };
        answer.is_refusal()?;
        let at = tus.offset(&path)?;
        ensure!(at <= 4, "an upload of 4 bytes has {at}");
    }
    Ok(())
}

fn appending_to_nothing(tus: &Tus) -> Outcome {
    tus.append(&tus.unknown(), 0, b"abc")?
        .one_of(&[403, 404, 410])
}

fn an_empty_append(tus: &Tus) -> Outcome {
    let path = tus.create(4)?;
    for at in [0, 4] {
        let answer = tus.append(&path, at, b"")?;
        answer.is(204)?;
        answer.counts("upload-offset", at)?;
        tus.has_come(&path, at)?;
        if at == 0 {
            tus.append(&path, 0, b"abcd")?.is(204)?;
        }
    }
    Ok(())
}

fn content_is_asked_for(tus: &Tus) -> Outcome {
    let path = tus.create(4)?;
    let mut wire = tus.site.connect()?;
    wire.send("PATCH", &path, &expecting("0"), b"")?;
    wire.first_answer("PATCH")?.is(100)?;
    wire.write(b"abcd")?;
    let answer = wire.answer("PATCH")?;
    answer.is(204)?;
    answer.counts("upload-offset", 4)
}

fn refused_content_is_not_asked_for(tus: &Tus) -> Outcome {
    let path = tus.create(4)?;
    let mut wire = tus.site.connect()?;
    wire.send("PATCH", &path, &expecting("1"), b"")?;
    wire.first_answer("PATCH")?.is(409)
}

fn expecting(at: &str) -> [(&str, &str); 5] {
    [
        VERSION,
        OFFSET_TYPE,
        ("upload-offset", at),
        ("content-length", "4"),
        ("expect", "100-continue"),
    ]
}
