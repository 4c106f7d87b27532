//! Windows into private parsers, for the fuzzer; not part of the interface.

use std::collections::BTreeMap;

use http::{HeaderMap, Uri};
use upload_proto::Code;

use crate::{
    ObjectCreated, Uploads,
    origin::Origins,
    presign::{self, AwsCredentials, PresignConfig, Presigner},
    s3_events,
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
            .check(headers, &Uri::from_static("/uploads/ws"))
            .is_ok(),
    )
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
        Some(AwsCredentials {
            access_key_id: "id".to_owned(),
            secret: "secret".to_owned(),
            session_token: None,
        })
    };
    let presigner = Presigner::new(config, credentials).map_err(|_| Code::StorageFailed)?;
    let put = presigner
        .sign(
            &register.client_name,
            &register.client_type,
            register.client_size,
        )
        .map_err(|_| Code::TooLarge)?;
    Ok((put.key, put.fields))
}
