//! Finished files, given out so that no browser runs what is in them.

mod names;
pub(crate) mod range;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::{self, Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use axum_extra::headers::{
    ETag, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince,
    LastModified,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt, SeekFrom},
};
use tokio_util::io::ReaderStream;
use upload_validate::{extension, is_active, media_type_for_extension};
use upload_writers::is_coding;

use self::{
    names::{is_name, name_of},
    range::{Ranged, ranged},
};
use super::state::App;

/// What a file may do in a browser that shows it: nothing.
const POLICY: &str = "default-src 'none'; sandbox";

/// Browsers ask each time; an unchanged file costs a 304.
const CACHE: &str = "private, no-cache";

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 * 1024;

/// What RFC 5987 lets stand for itself.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A finished file that is about to be given to a browser.
///
/// The answer has `nosniff`, a policy of `sandbox`, a `Content-Disposition`, and what resuming a download
/// and asking for changes need (RFC 9110: ranges and conditions). A browser saves the file, and shows it
/// only where [`inline`](Self::inline) says so.
///
/// ```
/// use axum::{extract::Path, http::{HeaderMap, StatusCode}, response::IntoResponse};
/// use upload_server::{StoredFile, validate::safe_name};
///
/// async fn avatar(Path(user): Path<u64>, headers: HeaderMap) -> Result<impl IntoResponse, StatusCode> {
///     let file = StoredFile::open(format!("avatars/{user}.png")).await;
///     let file = file.map_err(|_| StatusCode::NOT_FOUND)?;
///     Ok(file.inline().answer(&headers).await)
/// }
///
/// let app: axum::Router = axum::Router::new().route("/avatars/{user}", axum::routing::get(avatar));
/// ```
#[derive(Debug)]
pub struct StoredFile {
    file: File,
    bytes: u64,
    modified: SystemTime,
    name: String,
    coding: Option<HeaderValue>,
    inline: bool,
}

impl StoredFile {
    /// Opens a file, under the name of its path.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] where there is no plain file of that name, a link included, or it
    /// cannot be opened.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let mut options = OpenOptions::new();
        options.read(true);
        // A pipe would be waited for, and a link may lead anywhere.
        #[cfg(unix)]
        {
            use rustix::fs::OFlags;
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
            options.custom_flags(flags.bits().cast_signed());
        }
        let file = options.open(path).await?;
        let metadata = file.metadata().await?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            bytes: metadata.len(),
            modified: metadata.modified().unwrap_or(UNIX_EPOCH),
            name: name.into_owned(),
            coding: None,
            inline: false,
            file,
        })
    }

    /// Sets the name under which a browser saves the file.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Says in which coding the file is, such as `gzip`: the answer then has a `Content-Encoding`. What
    /// [can be no coding](crate::writers::is_coding) changes nothing.
    ///
    /// The [`meta`](crate::UploadedEntry::meta) of a file that was uploaded so has its coding below `content-encoding`.
    #[must_use]
    pub fn coding(mut self, coding: &str) -> Self {
        let coding = Some(coding).filter(|coding| is_coding(coding));
        self.coding = coding.and_then(|coding| HeaderValue::from_str(coding).ok());
        self
    }

    /// Lets a browser show the file in place, if it is a picture, a sound, a video, a PDF or plain text
    /// by its extension.
    #[must_use]
    pub fn inline(mut self) -> Self {
        self.inline = true;
        self
    }

    /// Answers a request with these headers: the whole file, one range of it, or that it is unchanged.
    pub async fn answer(mut self, request: &HeaderMap) -> Response {
        let tag = self.tag();
        let headers = self.headers(&tag);
        let tag: Option<ETag> = tag.parse().ok();
        if let Some(status) = unmet(request, tag.as_ref(), self.modified) {
            return (status, headers).into_response();
        }
        let is_same = request.typed_get::<IfRange>().is_none_or(|condition| {
            let modified = LastModified::from(self.modified);
            !condition.is_modified(tag.as_ref(), Some(&modified))
        });
        let wanted = request.get(header::RANGE).filter(|_| is_same);
        let (status, range, first, bytes) = match ranged(wanted, self.bytes) {
            Ranged::Whole => (StatusCode::OK, None, 0, self.bytes),
            Ranged::Part { first, bytes } => {
                let last = first.saturating_add(bytes).saturating_sub(1);
                let range = format!("bytes {first}-{last}/{}", self.bytes);
                (StatusCode::PARTIAL_CONTENT, Some(range), first, bytes)
            }
            Ranged::Nothing => {
                let range = [(header::CONTENT_RANGE, format!("bytes */{}", self.bytes))];
                return (StatusCode::RANGE_NOT_SATISFIABLE, headers, range).into_response();
            }
        };
        if first > 0 && self.file.seek(SeekFrom::Start(first)).await.is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let length = [(header::CONTENT_LENGTH, bytes)];
        let range = range.map(|range| [(header::CONTENT_RANGE, range)]);
        let coding = self
            .coding
            .map(|coding| [(header::CONTENT_ENCODING, coding)]);
        let body = ReaderStream::with_capacity(self.file.take(bytes), READ_BYTES);
        let body = Body::from_stream(body);
        (status, headers, length, range, coding, body).into_response()
    }

    /// Returns an entity tag that is another one when the file is another one.
    fn tag(&self) -> String {
        let since = self.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("\"{:x}-{:x}\"", self.bytes, since.as_nanos())
    }

    fn headers(&self, tag: &str) -> [(HeaderName, HeaderValue); 8] {
        let (media_type, is_shown) = media_type(&self.name);
        let how = match self.inline && is_shown {
            true => "inline",
            false => "attachment",
        };
        let modified = jiff::Timestamp::try_from(self.modified).unwrap_or_default();
        let modified =
            jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&modified);
        let text = |text: &str| HeaderValue::from_str(text);
        let empty = HeaderValue::from_static("");
        [
            (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (
                header::CONTENT_DISPOSITION,
                text(&disposition(how, &self.name))
                    .unwrap_or(HeaderValue::from_static("attachment")),
            ),
            (
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ),
            (
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(POLICY),
            ),
            (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            (header::CACHE_CONTROL, HeaderValue::from_static(CACHE)),
            (header::ETAG, text(tag).unwrap_or(empty.clone())),
            (
                header::LAST_MODIFIED,
                text(&modified.unwrap_or_default()).unwrap_or(empty),
            ),
        ]
    }
}

/// Returns the answer to a request whose conditions are not met (RFC 9110, 13.2.2).
fn unmet(request: &HeaderMap, tag: Option<&ETag>, modified: SystemTime) -> Option<StatusCode> {
    let failed = Some(StatusCode::PRECONDITION_FAILED);
    let unchanged = Some(StatusCode::NOT_MODIFIED);
    let tag = tag?;
    if let Some(condition) = request.typed_get::<IfMatch>() {
        if !condition.precondition_passes(tag) {
            return failed;
        }
    } else if let Some(condition) = request.typed_get::<IfUnmodifiedSince>()
        && !condition.precondition_passes(modified)
    {
        return failed;
    }
    if let Some(condition) = request.typed_get::<IfNoneMatch>() {
        (!condition.precondition_passes(tag)).then_some(StatusCode::NOT_MODIFIED)
    } else {
        let condition = request.typed_get::<IfModifiedSince>()?;
        if condition.is_modified(modified) {
            None
        } else {
            unchanged
        }
    }
}

/// Returns the type of a file by its extension, and whether a browser may show it.
fn media_type(name: &str) -> (&'static str, bool) {
    const UNKNOWN: &str = "application/octet-stream";

    let known = extension(name).and_then(media_type_for_extension);
    match known {
        Some(known) if !is_active(name, known) => {
            let (family, _) = known.split_once('/').unwrap_or((known, ""));
            let is_shown = ["image", "audio", "video"].contains(&family)
                || ["application/pdf", "text/plain"].contains(&known);
            (known, is_shown)
        }
        _ => (UNKNOWN, false),
    }
}

/// Writes `Content-Disposition` (RFC 6266): the name for old clients, and the whole one.
fn disposition(how: &str, name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ';
    let plain: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    let whole = utf8_percent_encode(name, PLAIN);
    format!("{how}; filename=\"{plain}\"; filename*=UTF-8''{whole}")
}

/// Chooses the folder of an owner; `None`: the slots are public.
pub(crate) type OwnersFolder = Box<dyn Fn(&str) -> String + Send + Sync>;

/// What a router gives out.
pub(crate) struct Files {
    app: Arc<App>,
    /// The slots, each with the directory of its files.
    slots: Vec<(String, PathBuf)>,
    folder_of: Option<OwnersFolder>,
}

/// Returns `GET /{slot}/{file}` over finished files of these slots.
pub(crate) fn routes(
    app: &Arc<App>,
    slots: Vec<(String, PathBuf)>,
    folder_of: Option<OwnersFolder>,
) -> Router {
    let files = Files {
        app: Arc::clone(app),
        slots,
        folder_of,
    };
    let router = Router::new()
        .route("/{slot}/{file}", get(file))
        .with_state(Arc::new(files));
    app.guard(router)
}

/// Gives out a file; whatever there is no right to is not there.
async fn file(
    State(files): State<Arc<Files>>,
    extract::Path((slot, name)): extract::Path<(String, String)>,
    request: Request,
) -> Response {
    const NOTHING: StatusCode = StatusCode::NOT_FOUND;

    let (mut parts, _) = request.into_parts();
    let mut path = match files.slots.iter().find(|(of, _)| *of == slot) {
        Some((_, data_dir)) => data_dir.clone(),
        None => return NOTHING.into_response(),
    };
    if let Some(folder_of) = &files.folder_of {
        let owner = match files.app.identity.recognise(&mut parts).await {
            Ok(Some(who)) => who.owner,
            Ok(None) => return NOTHING.into_response(),
            Err(no_owner) => return no_owner.into_response(),
        };
        let folder = folder_of(&owner);
        if !folder.split('/').all(is_name) {
            return NOTHING.into_response();
        }
        path.push(folder);
    }
    // Only what the writer of files has put there, under the name that it gives.
    let Some((coding, shown)) = is_name(&name).then(|| name_of(&name)).flatten() else {
        return NOTHING.into_response();
    };
    path.push(&slot);
    path.push(&name);
    let Ok(file) = StoredFile::open(&path).await else {
        return NOTHING.into_response();
    };
    // Other slots judged the bytes as they are, so these are no others in a browser.
    let takes_coded = files.app.shared.slots.get(&slot);
    let takes_coded = takes_coded.is_some_and(|slot| slot.checks.take_anything());
    let file = match coding.filter(|_| takes_coded) {
        Some(coding) => file.coding(coding),
        None => file,
    };
    file.name(shown).inline().answer(&parts.headers).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_would_run_is_never_shown() {
        for name in ["a.html", "a.svg", "a.js", "a.xhtml", "a", "a.unheardof"] {
            assert_eq!(
                media_type(name),
                ("application/octet-stream", false),
                "{name}"
            );
        }
        assert_eq!(media_type("a.png"), ("image/png", true));
        assert_eq!(media_type("a.pdf"), ("application/pdf", true));
        assert!(!media_type("a.docx").1);
    }

    #[test]
    fn names_are_quoted_and_encoded() {
        let text = disposition("attachment", "ré \"1\"\r\n.txt");
        let wanted = "attachment; filename=\"r_ _1___.txt\"; \
            filename*=UTF-8''r%C3%A9%20%221%22%0D%0A.txt";
        assert_eq!(text, wanted);
    }
}
