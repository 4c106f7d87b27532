//! Windows into private parsers, for the fuzzer; not part of the interface.

use std::{collections::BTreeMap, future::ready};

use futures_util::FutureExt;
use http::{HeaderMap, Uri};
use upload_proto::Code;

use crate::{
    ObjectCreated, Uploads,
    http::{origin::Origins, presign, s3_events, session_cookie::CookieKeys},
    presign::{AwsCredentials, PresignConfig, Presigner},
};

/// What a server holds at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Tasks of connections, uploads and handlers.
    pub connections: usize,
    /// Payload bytes that wait for writers.
    pub buffered_bytes: u64,
}

/// Looks at what a server holds.
pub fn load(uploads: &Uploads) -> Load {
    let shared = &uploads.app.shared;
    Load {
        connections: shared.tracker.len(),
        buffered_bytes: shared.budget.buffered(),
    }
}

/// Reads the body of an S3 event; none if it is rubbish.
pub fn s3_event(body: &[u8]) -> Option<Vec<ObjectCreated>> {
    s3_events::read(body)
}

/// Tells whether a page may connect; none if the list is none.
pub fn origin(list: &[String], headers: &HeaderMap) -> Option<bool> {
    let origins = Origins::new(list, false).ok()?;
    Some(
        origins
            .check(headers, &Uri::from_static("/uploads/ws"), None)
            .is_ok(),
    )
}

/// Returns the cookie of a session with this token, as a browser sends it.
pub fn session_cookie(token: &str) -> Option<String> {
    let cookie = cookie_keys().issue(token, false, COOKIE_TIME_S)?;
    let pair = cookie.to_str().ok()?.split(';').next()?;
    Some(pair.to_owned())
}

/// Reads the token of the session that the cookies of a request prove.
pub fn session(headers: &HeaderMap) -> Option<String> {
    let session = cookie_keys().read(headers, false, COOKIE_TIME_S)?;
    Some(session.token)
}

/// When the cookies of [`session_cookie`] are issued and read, in seconds since 1970.
const COOKIE_TIME_S: u64 = 1_700_000_000;

fn cookie_keys() -> CookieKeys {
    CookieKeys::new(&[7; 32], [])
}

/// Reads a body that asks for a signature, and returns the key and the headers that are signed.
///
/// # Errors
///
/// The code of the refusal.
pub fn presign(body: &[u8]) -> Result<(String, BTreeMap<String, String>), Code> {
    let register = presign::read(body)?;
    let config = PresignConfig::new("bucket", "here");
    let credentials = || {
        ready(Some(AwsCredentials {
            access_key_id: "id".to_owned(),
            secret: "secret".to_owned(),
            session_token: None,
        }))
    };
    let presigner = Presigner::new(config, credentials).map_err(|_| Code::StorageFailed)?;
    let size = register.client_size.ok_or(Code::BadSize)?;
    let signed = presigner.sign(&register.client_name, &register.client_type, size);
    let put = signed.now_or_never().ok_or(Code::StorageFailed)?;
    let put = put.map_err(|_| Code::TooLarge)?;
    Ok((put.key, put.fields))
}
