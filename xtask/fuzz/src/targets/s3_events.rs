//! Bodies of S3's events.

use upload_server::testing;

pub(super) fn run(input: &[u8]) {
    let Some(created) = testing::s3_event(input) else {
        return;
    };
    for object in created {
        assert!(!object.bucket.is_empty() && object.bucket.len() <= 1024);
        assert!(!object.key.is_empty() && object.key.len() <= 1024);
        assert!(object.size <= 1 << 53);
        assert!(!object.upload_id.is_empty());
        assert!(object.etag.is_none_or(|tag| !tag.starts_with('"')));
    }
}
