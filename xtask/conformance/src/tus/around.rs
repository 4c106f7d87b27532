//! What holds around requests: pages of other sites, proxies, requests that stop, answers that arrive.

use super::{OFFSET_TYPE, Tus, VERSION};
use crate::{
    check::{Check, Level::Should, Outcome, Stop, ensure},
    wire::{Answer, pattern},
};

pub(super) const CHECKS: &[Check<Tus>] = &[
    Check {
        rules: &["T40"],
        level: Should,
        says: "pages of an allowed origin may read every answer, refusals too",
        run: pages_read_answers,
    },
    Check {
        rules: &["T40"],
        level: Should,
        says: "pages may read the headers of an answer that they need",
        run: pages_read_headers,
    },
    Check {
        rules: &["T41"],
        level: Should,
        says: "a preflight allows the methods and headers of tus",
        run: a_preflight_allows_tus,
    },
    Check {
        rules: &["T37"],
        level: Should,
        says: "an address that is no upload's leads nowhere",
        run: strange_addresses_lead_nowhere,
    },
    Check {
        rules: &["T42"],
        level: Should,
        says: "forwarded headers of a client make no Location",
        run: forwarded_headers_make_no_location,
    },
    Check {
        rules: &["T45"],
        level: Should,
        says: "a PATCH that stopped does not hold up the next request",
        run: the_newest_request_wins,
    },
    Check {
        rules: &["T46"],
        level: Should,
        says: "a refusal arrives at a client that sends its content first",
        run: refusals_arrive,
    },
];

/// Has a page's preflight answered, if the server lets its origin in.
fn preflight(tus: &Tus) -> Outcome<Answer> {
    let headers = [
        ("origin", tus.site.allowed_origin()),
        ("access-control-request-method", "PATCH"),
        (
            "access-control-request-headers",
            "tus-resumable,upload-offset,content-type",
        ),
    ];
    let answer = tus.site.ask("OPTIONS", tus.site.path(), &headers, b"")?;
    match answer.header("access-control-allow-origin") {
        Some(_) => Ok(answer),
        None => Err(Stop::not_announced(format!(
            "pages of {}",
            tus.site.allowed_origin()
        ))),
    }
}

/// Answers to a page: one that creates an upload, and one that is refused.
fn answers(tus: &Tus) -> Outcome<[Answer; 2]> {
    preflight(tus)?;
    let origin = ("origin", tus.site.allowed_origin());
    let created = tus.post(&[origin, ("upload-length", "3")], b"")?;
    created.is(201)?;
    let refused = tus.post(&[origin], b"")?;
    refused.is_refusal()?;
    Ok([created, refused])
}

fn pages_read_answers(tus: &Tus) -> Outcome {
    for answer in answers(tus)? {
        let allowed = answer.wanted("access-control-allow-origin")?;
        ensure!(
            allowed == tus.site.allowed_origin() || allowed == "*",
            "{allowed} is allowed"
        );
    }
    Ok(())
}

fn pages_read_headers(tus: &Tus) -> Outcome {
    for answer in answers(tus)? {
        let name = "access-control-expose-headers";
        answer.wanted(name)?;
        for header in [
            "Location",
            "Upload-Offset",
            "Upload-Length",
            "Tus-Resumable",
        ] {
            let exposed = answer.has(name, header) || answer.has(name, "*");
            ensure!(exposed, "{header} is not exposed");
        }
    }
    Ok(())
}

fn a_preflight_allows_tus(tus: &Tus) -> Outcome {
    let answer = preflight(tus)?;
    answer.one_of(&[200, 204])?;
    for (list, words) in [
        (
            "access-control-allow-methods",
            &["POST", "HEAD", "PATCH"][..],
        ),
        (
            "access-control-allow-headers",
            &[
                "Tus-Resumable",
                "Upload-Offset",
                "Upload-Length",
                "Upload-Metadata",
                "Content-Type",
            ],
        ),
    ] {
        answer.wanted(list)?;
        for word in words {
            let allowed = answer.has(list, word) || answer.has(list, "*");
            ensure!(allowed, "{list} has no {word}");
        }
    }
    Ok(())
}

fn strange_addresses_lead_nowhere(tus: &Tus) -> Outcome {
    let base = tus.site.path().trim_end_matches('/');
    for name in ["..%2f..%2fetc%2fpasswd", "nothing", "%00"] {
        let answer = tus.ask("HEAD", &format!("{base}/{name}"), &[], b"")?;
        answer.is_refusal()?;
        answer.lacks("upload-offset")?;
    }
    Ok(())
}

fn forwarded_headers_make_no_location(tus: &Tus) -> Outcome {
    let headers = [
        ("upload-length", "3"),
        ("x-forwarded-host", "other.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=other.example;proto=https"),
    ];
    let created = tus.post(&headers, b"")?;
    tus.path_in(&created)?;
    let location = created.wanted("location")?;
    ensure!(
        !location.contains("other.example"),
        "POST has location: {location}"
    );
    Ok(())
}

fn the_newest_request_wins(tus: &Tus) -> Outcome {
    let bytes = pattern(100_000);
    let path = tus.create(bytes.len())?;
    let mut wire = tus.site.connect()?;
    let headers = [
        VERSION,
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("content-length", "100000"),
    ];
    wire.begin("PATCH", &path, &headers)?;
    wire.write(bytes.split_at(50_000).0)?;
    let at = tus.offset(&path)?;
    let rest = bytes.get(at..).unwrap_or_default();
    let answer = tus.append(&path, at, rest)?;
    answer.is(204)?;
    answer.counts("upload-offset", bytes.len())?;
    tus.has_come(&path, bytes.len())
}

fn refusals_arrive(tus: &Tus) -> Outcome {
    let answer = tus.append(&tus.unknown(), 0, &pattern(4_000_000))?;
    answer.is_refusal()
}
