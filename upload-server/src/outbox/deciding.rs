//! The hook that decides: an address that is asked before an upload begins, and before it is complete.
//!
//! Unlike a hook that tells, it is waited for, and nothing of it is kept: a question without an answer is
//! answered as configured.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::{sync::Semaphore, time::timeout};
use upload_core::{Amendment, AuthorizeStage, Refusal};
use upload_proto::{Code, limits::CLIENT_NAME_BYTES_MAX};
use upload_validate::OwnRefusal;
use upload_writers::is_folder;
use uuid::Uuid;

use super::signature::{self, Signer};
use crate::{
    outgoing::{self, HttpClient},
    slots::slot::{AuthorizeRequest, in_words},
};

/// Questions running at a time; further ones wait, and their limit runs.
const UNDER_WAY_MAX: usize = 256;
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Largest metadata that an answer may set, in bytes of JSON.
const META_BYTES_MAX: usize = 4 * 1024;
/// Longest prefix that an answer may set, in bytes.
const PREFIX_BYTES_MAX: usize = 256;
/// Idle connections kept to the address.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// What a refusal may be to the client.
const CODES: [Code; 8] = [
    Code::Forbidden,
    Code::BadName,
    Code::TooLarge,
    Code::TooManyEntries,
    Code::TypeNotAccepted,
    Code::ActiveContent,
    Code::ContentMismatch,
    Code::RateLimited,
];

/// Whom to ask, and how.
pub(crate) struct DeciderParts<'a> {
    pub(crate) uri: Uri,
    pub(crate) secret: &'a [u8],
    pub(crate) limit: Duration,
    /// Whether no answer is a yes.
    pub(crate) fails_open: bool,
    pub(crate) begin: bool,
    pub(crate) complete: bool,
}

/// Asks an address about uploads.
pub(crate) struct Decider {
    uri: Uri,
    signer: Signer,
    client: HttpClient,
    limit: Duration,
    fails_open: bool,
    begin: bool,
    complete: bool,
    places: Semaphore,
}

/// What is asked.
#[derive(Serialize)]
struct Question<'a> {
    /// Another one each time.
    event_id: String,
    event: &'static str,
    slot: &'a str,
    owner: &'a str,
    /// For display; never use it in a path or key.
    client_name: &'a str,
    safe_client_name: &'a str,
    client_type: &'a str,
    /// Null where the client does not know it yet.
    size: Option<u64>,
    relative_path: Option<&'a str>,
    meta: &'a Map<String, Value>,
    /// RFC 3339, in UTC.
    at: String,
}

/// What is answered.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    accept: Option<bool>,
    code: Option<String>,
    /// For the user.
    text: Option<String>,
    name: Option<String>,
    /// The folder below which the file is stored, or what its key begins with.
    prefix: Option<String>,
    meta: Option<Map<String, Value>>,
}

impl Answer {
    /// Returns the refusal that it is: a code that clients know, or the hook's own with its text.
    fn refusal(self) -> Refusal {
        let named = self.code.as_deref();
        let known = CODES.into_iter().find(|code| Some(code.as_str()) == named);
        let code = known.unwrap_or(Code::Forbidden);
        let Some(text) = self.text.as_deref().filter(|text| !text.is_empty()) else {
            return code.into();
        };
        let own = OwnRefusal::new(text).with_code(named.unwrap_or(code.as_str()));
        in_words(code, own.code(), own.text())
    }
}

impl Decider {
    /// Prepares to ask.
    ///
    /// # Errors
    ///
    /// The address is called over TLS, and the system's certificates cannot be read.
    pub(crate) fn new(parts: DeciderParts<'_>) -> std::io::Result<Self> {
        Ok(Self {
            client: outgoing::client(IDLE_CONNECTIONS_MAX, [&parts.uri])?,
            signer: Signer::new(parts.secret),
            uri: parts.uri,
            limit: parts.limit,
            fails_open: parts.fails_open,
            begin: parts.begin,
            complete: parts.complete,
            places: Semaphore::new(UNDER_WAY_MAX),
        })
    }

    /// Asks about an upload, and leaves in the request as what it is taken.
    ///
    /// # Errors
    ///
    /// It is refused, in the words of the answer.
    pub(crate) async fn decide(&self, request: AuthorizeRequest) -> Result<(), Refusal> {
        let event = match request.stage {
            AuthorizeStage::Register if self.begin => "before_begin",
            AuthorizeStage::Complete if self.complete => "before_complete",
            _ => return Ok(()),
        };
        let question = question(event, &request);
        let answer = match timeout(self.limit, self.ask(question)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return self.without_answer(&why),
            Err(_) => return self.without_answer("no answer in time"),
        };
        if answer.accept == Some(false) {
            let (slot, code, text) = (&request.slot, &answer.code, &answer.text);
            tracing::info!(slot, code, text, "the deciding hook refused an upload");
            return Err(answer.refusal());
        }
        if let Some(name) = &answer.name
            && (name.is_empty() || name.len() > CLIENT_NAME_BYTES_MAX)
        {
            return self.without_answer("its name is empty or too long");
        }
        if let Some(meta) = &answer.meta
            && serde_json::to_vec(meta).map_or(usize::MAX, |text| text.len()) > META_BYTES_MAX
        {
            return self.without_answer("its metadata is too large");
        }
        // A prefix is a folder with or without the slash that ends it.
        let folder = answer.prefix.map(|mut prefix| {
            prefix.truncate(prefix.strip_suffix('/').unwrap_or(&prefix).len());
            prefix
        });
        if let Some(folder) = &folder
            && !(is_folder(folder) && folder.len() <= PREFIX_BYTES_MAX)
        {
            return self.without_answer("its prefix is no folder, or too long");
        }
        request.amend(Amendment {
            client_name: answer.name,
            folder,
            meta: answer.meta,
        });
        Ok(())
    }

    fn without_answer(&self, why: &str) -> Result<(), Refusal> {
        let fails_open = self.fails_open;
        tracing::warn!(why, fails_open, "the deciding hook did not answer");
        fails_open.then_some(()).ok_or(Code::Forbidden.into())
    }

    async fn ask(&self, body: Vec<u8>) -> Result<Answer, String> {
        let place = self.places.acquire().await;
        let _place = place.map_err(|error| error.to_string())?;
        let request = Request::post(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::USER_AGENT,
                concat!("upload-server/", env!("CARGO_PKG_VERSION")),
            )
            .header(signature::HEADER, self.signer.sign(&body))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = outgoing::ask(&self.client, request, self.limit, ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status {
            StatusCode::NO_CONTENT => Ok(Answer::default()),
            StatusCode::OK => {
                serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
            }
            StatusCode::FORBIDDEN => Ok(Answer {
                accept: Some(false),
                ..Answer::default()
            }),
            status => Err(status.to_string()),
        }
    }
}

#[expect(clippy::expect_used, reason = "a struct of texts and numbers is JSON")]
fn question(event: &'static str, request: &AuthorizeRequest) -> Vec<u8> {
    let question = Question {
        event_id: Uuid::new_v4().to_string(),
        event,
        slot: &request.slot,
        owner: &request.owner,
        client_name: &request.client_name,
        safe_client_name: &request.safe_client_name,
        client_type: &request.client_type,
        size: request.client_size,
        relative_path: request.relative_path.as_deref(),
        meta: &request.meta,
        at: jiff::Timestamp::now().to_string(),
    };
    serde_json::to_vec(&question).expect("a question is JSON")
}
