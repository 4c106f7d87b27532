//! The files of the browser client and, with the feature `cli`, of the demo page, built into the program.
//!
//! Only what a browser loads: type declarations and the manifest are for bundlers.

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// What the demo page may load: only files of this server, and previews of picked files.
#[cfg(feature = "cli")]
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
    object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Files may change with every release, so browsers ask each time; an unchanged one costs a 304.
const CACHE: &str = "no-cache";

/// A file built into the program.
struct Asset {
    name: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal at $path:literal),* $(,)?) => {
        &[$(Asset { name: $name, bytes: include_bytes!($path) },)*]
    };
}

static CLIENT: &[Asset] = assets![
    "announcer.js" at "../../client/announcer.js",
    "attend.js" at "../../client/attend.js",
    "crc32c.js" at "../../client/crc32c.js",
    "directives.js" at "../../client/directives.js",
    "dropzone.js" at "../../client/dropzone.js",
    "dropzone/dom.js" at "../../client/dropzone/dom.js",
    "dropzone/element.js" at "../../client/dropzone/element.js",
    "dropzone/english.js" at "../../client/dropzone/english.js",
    "dropzone/icons.js" at "../../client/dropzone/icons.js",
    "dropzone/languages/ar.js" at "../../client/dropzone/languages/ar.js",
    "dropzone/languages/de.js" at "../../client/dropzone/languages/de.js",
    "dropzone/languages/en.js" at "../../client/dropzone/languages/en.js",
    "dropzone/list.js" at "../../client/dropzone/list.js",
    "dropzone/notices.js" at "../../client/dropzone/notices.js",
    "dropzone/offers.js" at "../../client/dropzone/offers.js",
    "dropzone/rendered.js" at "../../client/dropzone/rendered.js",
    "dropzone/row.js" at "../../client/dropzone/row.js",
    "dropzone/status.js" at "../../client/dropzone/status.js",
    "dropzone/style.js" at "../../client/dropzone/style.js",
    "dropzone/view.js" at "../../client/dropzone/view.js",
    "explain.js" at "../../client/explain.js",
    "fallback.js" at "../../client/fallback.js",
    "forms.js" at "../../client/forms.js",
    "frame.js" at "../../client/frame.js",
    "index.js" at "../../client/index.js",
    "intake.js" at "../../client/intake.js",
    "kept.js" at "../../client/kept.js",
    "languages/ar.js" at "../../client/languages/ar.js",
    "languages/de.js" at "../../client/languages/de.js",
    "languages/en.js" at "../../client/languages/en.js",
    "lifecycle.js" at "../../client/lifecycle.js",
    "outgoing.js" at "../../client/outgoing.js",
    "presigned.js" at "../../client/presigned.js",
    "protocol.js" at "../../client/protocol.js",
    "questions.js" at "../../client/questions.js",
    "queue.js" at "../../client/queue.js",
    "react.js" at "../../client/react.js",
    "reports.js" at "../../client/reports.js",
    "resize.js" at "../../client/resize.js",
    "results.js" at "../../client/results.js",
    "resume.js" at "../../client/resume.js",
    "rows.js" at "../../client/rows.js",
    "sender.js" at "../../client/sender.js",
    "shown.js" at "../../client/shown.js",
    "socket.js" at "../../client/socket.js",
    "source.js" at "../../client/source.js",
    "states.js" at "../../client/states.js",
    "tab.js" at "../../client/tab.js",
    "tally.js" at "../../client/tally.js",
    "texts.js" at "../../client/texts.js",
    "thumbnails.js" at "../../client/thumbnails.js",
    "transfer.js" at "../../client/transfer.js",
    "upload.js" at "../../client/upload.js",
    "uploads.css" at "../../client/uploads.css",
    "uploads.js" at "../../client/uploads.js",
];

/// The demo page.
#[cfg(feature = "cli")]
static DEMO: &[Asset] = assets![
    "attributes.css" at "../../demo/attributes.css",
    "attributes.html" at "../../demo/attributes.html",
    "attributes.js" at "../../demo/attributes.js",
    "demo.css" at "../../demo/demo.css",
    "demo.js" at "../../demo/demo.js",
    "icon.svg" at "../../demo/icon.svg",
    "index.html" at "../../demo/index.html",
];
#[cfg(not(feature = "cli"))]
static DEMO: &[Asset] = &[];

/// Tells versions of files apart: the same for all files of one build.
#[expect(
    clippy::expect_used,
    reason = "made of digits and this crate's version"
)]
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let assets = CLIENT.iter().chain(DEMO);
    let sum = assets.fold(0, |sum, asset| crc32c::crc32c_append(sum, asset.bytes));
    let tag = format!("\"{}-{sum:08x}\"", env!("CARGO_PKG_VERSION"));
    HeaderValue::from_str(&tag).expect("a version and digits are header text")
});

/// Answers a file of the browser client.
pub(crate) fn client(name: &str, request: &HeaderMap) -> Response {
    answer(CLIENT, name, request)
}

/// Answers a file of the demo page.
#[cfg(feature = "cli")]
pub(crate) fn demo(name: &str, request: &HeaderMap) -> Response {
    let mut response = answer(DEMO, name, request);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    response
}

fn answer(assets: &'static [Asset], name: &str, request: &HeaderMap) -> Response {
    let Some(asset) = assets.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::ETAG, TAG.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static(CACHE)),
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(content_type(name)),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    if request.get(header::IF_NONE_MATCH) == Some(&*TAG) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, asset.bytes).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn names(assets: &[Asset]) -> BTreeSet<String> {
        assets.iter().map(|asset| asset.name.to_owned()).collect()
    }

    /// Files of the folder and of those in it, but for the tests.
    fn on_disk(folder: &str) -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&folder).expect("the folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a plain name");
            let is_folder = entry.file_type().expect("its type").is_dir();
            // `cargo xtask release` packs the client there.
            if is_folder && (name == "test" || name == "dist") {
                continue;
            }
            if is_folder {
                let inner = on_disk(&folder.join(&name).to_string_lossy());
                names.extend(inner.into_iter().map(|inner| format!("{name}/{inner}")));
            } else if name != "package.json" && content_type(&name) != "application/octet-stream" {
                names.insert(name);
            }
        }
        names
    }

    #[test]
    fn every_file_of_the_folders_is_built_in() {
        assert_eq!(names(CLIENT), on_disk("client"));
        #[cfg(feature = "cli")]
        assert_eq!(names(DEMO), on_disk("demo"));
    }

    #[test]
    fn files_carry_their_type_and_a_tag_that_spares_sending_them_again() {
        let first = client("index.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let headers = first.headers();
        assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let mut request = HeaderMap::new();
        request.insert(header::IF_NONE_MATCH, headers["etag"].clone());
        assert_eq!(
            client("index.js", &request).status(),
            StatusCode::NOT_MODIFIED
        );
        request.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(client("index.js", &request).status(), StatusCode::OK);
    }

    #[test]
    fn what_is_not_built_in_is_not_found() {
        for name in ["", "..", "../Cargo.toml", "index.js/", "INDEX.JS"] {
            assert_eq!(
                client(name, &HeaderMap::new()).status(),
                StatusCode::NOT_FOUND
            );
        }
    }

    /// The page runs no script that stands in it, and nothing of other hosts.
    #[cfg(feature = "cli")]
    #[test]
    fn the_page_has_a_strict_policy() {
        let page = demo("index.html", &HeaderMap::new());
        let policy = page.headers()["content-security-policy"]
            .to_str()
            .expect("text");
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"));
    }
}
