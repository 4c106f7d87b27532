//! How uploads end: complete, too long, too short, deleted.

use super::{Ietf, LAST, MORE, PARTIAL, succeeded};
use crate::check::{
    Check,
    Level::{Must, Should},
    Outcome, ensure,
};

pub(super) const CHECKS: &[Check<Ietf>] = &[
    Check {
        rules: &["R7"],
        level: Must,
        says: "an upload with all its bytes is complete by Upload-Complete: ?1 only",
        run: every_byte_is_not_the_end,
    },
    Check {
        rules: &["R15"],
        level: Must,
        says: "content past the length is refused",
        run: too_long,
    },
    Check {
        rules: &["R15"],
        level: Must,
        says: "?1 before the length is reached is refused and completes nothing",
        run: too_short,
    },
    Check {
        rules: &["R16"],
        level: Should,
        says: "the request that completed an upload may be repeated, or is refused as completed",
        run: the_end_may_be_repeated,
    },
    Check {
        rules: &["R16"],
        level: Must,
        says: "other content for a complete upload is refused",
        run: nothing_follows_the_end,
    },
    Check {
        rules: &["R17"],
        level: Must,
        says: "DELETE succeeds, and the upload is gone",
        run: a_deleted_upload_is_gone,
    },
    Check {
        rules: &["R17"],
        level: Should,
        says: "DELETE is answered 204, and 404 where there is no upload",
        run: deletes_are_204,
    },
    Check {
        rules: &["R22"],
        level: Should,
        says: "refusals are problem details",
        run: refusals_are_problems,
    },
];

fn every_byte_is_not_the_end(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    let answer = ietf.append(&path, 0, MORE, b"abcdef")?;
    succeeded(&answer)?;
    answer.says("upload-complete", "?0")?;
    ietf.is_at(&path, 6)?;
    let done = ietf.append(&path, 6, LAST, b"")?;
    succeeded(&done)?;
    done.says("upload-complete", "?1")
}

fn too_long(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    ietf.append(&path, 0, MORE, b"abcdefgh")?.is_refusal()
}

fn too_short(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    ietf.append(&path, 0, LAST, b"abc")?.is_refusal()?;
    let head = ietf.head(&path)?;
    ensure!(
        head.header("upload-complete") != Some("?1"),
        "HEAD has upload-complete: ?1"
    );
    Ok(())
}

/// Creates a complete upload of three bytes.
fn complete(ietf: &Ietf) -> Outcome<String> {
    let path = ietf.create(3)?;
    succeeded(&ietf.append(&path, 0, LAST, b"abc")?)?;
    Ok(path)
}

fn the_end_may_be_repeated(ietf: &Ietf) -> Outcome {
    let path = complete(ietf)?;
    let again = ietf.append(&path, 3, LAST, b"")?;
    if again.status >= 400 {
        return super::is_problem(&again, "#completed-upload");
    }
    succeeded(&again)?;
    again.says("upload-complete", "?1")
}

fn nothing_follows_the_end(ietf: &Ietf) -> Outcome {
    let path = complete(ietf)?;
    ietf.append(&path, 3, LAST, b"d")?.is_refusal()?;
    // Without a length, only the content says that there is some.
    let headers = [
        PARTIAL,
        LAST,
        ("upload-offset", "3"),
        ("transfer-encoding", "chunked"),
    ];
    let chunk = b"1\r\nd\r\n0\r\n\r\n";
    ietf.ask("PATCH", &path, &headers, chunk)?.is_refusal()
}

fn a_deleted_upload_is_gone(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    succeeded(&ietf.ask("DELETE", &path, &[], b"")?)?;
    let answer = ietf.head(&path)?;
    answer.is_refusal()?;
    answer.lacks("upload-offset")
}

fn deletes_are_204(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    ietf.ask("DELETE", &path, &[], b"")?.is(204)?;
    ietf.ask("DELETE", &ietf.unknown(), &[], b"")?.is(404)
}

fn refusals_are_problems(ietf: &Ietf) -> Outcome {
    let path = ietf.create(6)?;
    let answer = ietf.ask("PATCH", &path, &[MORE], b"abc")?;
    answer.is_refusal()?;
    super::is_problem(&answer, "")
}
