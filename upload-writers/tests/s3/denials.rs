//! RESUME-10: who has no credentials for a moment loses nothing that is stored.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_credential_types::provider::{
    ProvideCredentials, error::CredentialsError, future::ProvideCredentials as Provided,
};
use aws_sdk_s3::config::{Credentials, IdentityCache};
use bytes::Bytes;
use upload_writers::{
    S3WriterFactory, WriteErrorKind,
    conformance::{facts, pattern},
};

use super::{
    MIB, assert_stored, config, factory,
    stage::{Asked, Fault, Stage, client_with},
    store,
};

/// Gives credentials for one request each, and none for some of them.
#[derive(Clone, Debug)]
struct Sometimes {
    asked: Arc<AtomicUsize>,
    fails: fn(usize) -> bool,
}

impl ProvideCredentials for Sometimes {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        Provided::ready(if (self.fails)(asked) {
            Err(CredentialsError::provider_error("no answer"))
        } else {
            Ok(Credentials::new("key", "secret", None, None, "test"))
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_without_credentials_is_waited_out() {
    let stage = Stage::new().await;
    for (fails, is_short) in [
        // The beginning, two parts, and then one request of the third.
        ((|asked| asked == 3) as fn(usize) -> bool, true),
        (|asked| asked >= 3, false),
    ] {
        let provider = Sometimes {
            asked: Arc::default(),
            fails,
        };
        let client = client_with(stage.addr, provider, IdentityCache::no_cache());
        let factory = S3WriterFactory::new(&client, config()).expect("a good configuration");
        let bytes = Bytes::from(pattern(1, 16 * MIB));
        let stored = store(&factory, &facts(1, bytes.len()), &bytes).await;
        if is_short {
            assert_stored(&stage, &stored.expect("stores"), &bytes).await;
        } else {
            let error = stored.expect_err("there are none any more");
            assert_eq!(error.kind, WriteErrorKind::Throttled);
        }
    }
}

/// Credentials that ran out are renewed, and clocks are set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denials_that_pass_are_waited_out() {
    for (status, code) in [
        (400, "ExpiredToken"),
        (400, "InvalidToken"),
        (403, "RequestTimeTooSkewed"),
    ] {
        let stage = Stage::new().await;
        let mut left = 1;
        stage.disturb(move |asked| {
            let strikes = *asked == Asked::Part(3) && left > 0;
            left -= i32::from(strikes);
            strikes.then_some(Fault::Code(status, code))
        });
        let bytes = Bytes::from(pattern(2, 11 * MIB));
        let stored = store(&factory(&stage), &facts(2, bytes.len()), &bytes).await;
        assert_stored(&stage, &stored.expect(code), &bytes).await;
    }
}
