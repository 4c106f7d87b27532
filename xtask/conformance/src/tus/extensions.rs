//! Expiration, checksum, termination, concatenation.

use super::{OFFSET_TYPE, Tus, VERSION};
use crate::{
    check::{
        Check,
        Level::{Must, Should},
        Outcome, ensure,
    },
    wire::Answer,
};

/// SHA-1 of `abc`, and of the empty text (FIPS 180).
const SHA1_OF_ABC: &str = "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=";
const SHA1_OF_NOTHING: &str = "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=";

pub(super) const CHECKS: &[Check<Tus>] = &[
    Check {
        rules: &["T30"],
        level: Must,
        says: "PATCH of an unfinished upload is answered with Upload-Expires, an HTTP date",
        run: appends_tell_the_end,
    },
    Check {
        rules: &["T30"],
        level: Should,
        says: "creation and HEAD are answered with Upload-Expires",
        run: creations_tell_the_end,
    },
    Check {
        rules: &["T31"],
        level: Must,
        says: "OPTIONS has sha1 among Tus-Checksum-Algorithm",
        run: sha1_is_announced,
    },
    Check {
        rules: &["T31"],
        level: Must,
        says: "content with its checksum is taken",
        run: the_right_checksum,
    },
    Check {
        rules: &["T31"],
        level: Must,
        says: "content with another checksum is answered 460, and none of it is kept",
        run: another_checksum,
    },
    Check {
        rules: &["T31"],
        level: Must,
        says: "a checksum of an unknown algorithm is answered 400, and nothing is kept",
        run: an_unknown_algorithm,
    },
    Check {
        rules: &["T33"],
        level: Must,
        says: "DELETE is answered 204",
        run: a_delete_is_confirmed,
    },
    Check {
        rules: &["T33"],
        level: Should,
        says: "a deleted upload is answered 404 or 410, without an offset",
        run: a_deleted_upload_is_gone,
    },
    Check {
        rules: &["T5", "T33"],
        level: Must,
        says: "X-HTTP-Method-Override makes a DELETE of a POST",
        run: a_delete_by_post,
    },
    Check {
        rules: &["T34"],
        level: Should,
        says: "DELETE succeeds while a PATCH runs",
        run: a_delete_ends_an_append,
    },
    Check {
        rules: &["T36"],
        level: Should,
        says: "Upload-Concat is obeyed, or refused where it is not announced",
        run: concatenation_is_not_ignored,
    },
];

fn appends_tell_the_end(tus: &Tus) -> Outcome {
    tus.need("expiration")?;
    let path = tus.create(3)?;
    let answer = tus.append(&path, 0, b"a")?;
    answer.is(204)?;
    is_date(answer.wanted("upload-expires")?)
}

fn creations_tell_the_end(tus: &Tus) -> Outcome {
    tus.need("expiration")?;
    let created = tus.post(&[("upload-length", "3")], b"")?;
    let path = tus.path_in(&created)?;
    is_date(created.wanted("upload-expires")?)?;
    is_date(tus.head(&path)?.wanted("upload-expires")?)
}

/// An IMF-fixdate (RFC 9110, section 5.6.7), such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_date(text: &str) -> Outcome {
    const FORM: &str = "Aaa, 00 Aaa 0000 00:00:00 GMT";
    let fits = text.len() == FORM.len()
        && text
            .chars()
            .zip(FORM.chars())
            .all(|(found, form)| match form {
                '0' => found.is_ascii_digit(),
                'A' => found.is_ascii_uppercase(),
                'a' => found.is_ascii_lowercase(),
                _ => found == form,
            });
    ensure!(fits, "this is no HTTP date: {text}");
    Ok(())
}

fn sha1_is_announced(tus: &Tus) -> Outcome {
    tus.need("checksum")?;
    let answer = tus.site.ask("OPTIONS", tus.site.path(), &[], b"")?;
    ensure!(
        answer.has("tus-checksum-algorithm", "sha1"),
        "OPTIONS has no sha1 among Tus-Checksum-Algorithm"
    );
    Ok(())
}

fn the_right_checksum(tus: &Tus) -> Outcome {
    tus.need("checksum")?;
    let path = tus.create(6)?;
    let answer = summed(tus, &path, SHA1_OF_ABC)?;
    answer.is(204)?;
    answer.counts("upload-offset", 3)?;
    tus.has_come(&path, 3)
}

fn another_checksum(tus: &Tus) -> Outcome {
    tus.need("checksum")?;
    let path = tus.create(6)?;
    summed(tus, &path, SHA1_OF_NOTHING)?.is(460)?;
    tus.has_come(&path, 0)?;
    summed(tus, &path, SHA1_OF_ABC)?.is(204)
}

fn an_unknown_algorithm(tus: &Tus) -> Outcome {
    tus.need("checksum")?;
    let path = tus.create(6)?;
    summed(tus, &path, "crc99 AAAA")?.is(400)?;
    tus.has_come(&path, 0)
}

/// Appends `abc` at the beginning, with a checksum.
fn summed(tus: &Tus, path: &str, checksum: &str) -> Outcome<Answer> {
    let headers = [
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("upload-checksum", checksum),
    ];
    tus.ask("PATCH", path, &headers, b"abc")
}

fn a_delete_is_confirmed(tus: &Tus) -> Outcome {
    tus.need("termination")?;
    let path = tus.create(6)?;
    tus.append(&path, 0, b"abc")?.is(204)?;
    tus.ask("DELETE", &path, &[], b"")?.is(204)
}

fn a_deleted_upload_is_gone(tus: &Tus) -> Outcome {
    tus.need("termination")?;
    let path = tus.create(6)?;
    tus.ask("DELETE", &path, &[], b"")?.is(204)?;
    let answer = tus.head(&path)?;
    answer.one_of(&[404, 410])?;
    answer.lacks("upload-offset")?;
    tus.append(&path, 0, b"abc")?.one_of(&[404, 410])
}

fn a_delete_by_post(tus: &Tus) -> Outcome {
    tus.need("termination")?;
    let path = tus.create(6)?;
    tus.ask("POST", &path, &[("x-http-method-override", "DELETE")], b"")?
        .is(204)?;
    let answer = tus.head(&path)?;
    answer.is_refusal()?;
    answer.lacks("upload-offset")
}

fn a_delete_ends_an_append(tus: &Tus) -> Outcome {
    tus.need("termination")?;
    let path = tus.create(100)?;
    let mut wire = tus.site.connect()?;
    let headers = [
        VERSION,
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("content-length", "100"),
    ];
    wire.begin("PATCH", &path, &headers)?;
    wire.write(b"abc")?;
    tus.ask("DELETE", &path, &[], b"")?.is(204)?;
    tus.head(&path)?.lacks("upload-offset")
}

/// A server that ignores the header stores each part as a file.
fn concatenation_is_not_ignored(tus: &Tus) -> Outcome {
    if tus.need("concatenation").is_err() {
        for concat in ["partial".to_owned(), format!("final;{}", tus.unknown())] {
            let headers = [("upload-length", "3"), ("upload-concat", &*concat)];
            let answer = tus.post(&headers, b"")?;
            ensure!(
                answer.status >= 400,
                "POST with Upload-Concat: {concat} was answered {}",
                answer.status
            );
            answer.lacks("location")?;
        }
        return Ok(());
    }
    let mut parts = Vec::new();
    for data in ["abc", "de"] {
        let length = data.len().to_string();
        let headers = [("upload-length", &*length), ("upload-concat", "partial")];
        let created = tus.post(&headers, b"")?;
        parts.push(created.wanted("location")?.to_owned());
        tus.append(&tus.path_in(&created)?, 0, data.as_bytes())?
            .is(204)?;
    }
    let whole = format!("final;{}", parts.join(" "));
    let path = tus.path_in(&tus.post(&[("upload-concat", &whole)], b"")?)?;
    let answer = tus.head(&path)?;
    answer.says("upload-concat", &whole)?;
    answer.counts("upload-length", 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_one_form() {
        assert_eq!(is_date("Sun, 06 Nov 1994 08:49:37 GMT"), Ok(()));
        for bad in ["", "1994-11-06T08:49:37Z", "Sun, 6 Nov 1994 08:49:37 GMT"] {
            assert!(is_date(bad).is_err(), "{bad}");
        }
    }
}
