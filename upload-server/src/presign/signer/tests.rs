//! Signatures, checked by hand-made HMACs, and what is bound into them.

use std::future::ready;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::*;

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: &str = "2013-05-24T00:00:00Z";

fn credentials(token: Option<&str>) -> AwsCredentials {
    AwsCredentials {
        access_key_id: KEY_ID.to_owned(),
        secret: SECRET.to_owned(),
        session_token: token.map(str::to_owned),
    }
}

fn presigner(config: PresignConfig) -> Presigner {
    Presigner::new(config, || ready(Some(credentials(None)))).expect("a good configuration")
}

fn sign(presigner: &Presigner, name: &str, media_type: &str, size: u64) -> PresignedPut {
    sign_with(presigner, None, name, media_type, size)
}

fn sign_with(
    presigner: &Presigner,
    token: Option<&str>,
    name: &str,
    media_type: &str,
    size: u64,
) -> PresignedPut {
    let now = NOW.parse().expect("a time");
    let id = UploadRef::from_bytes([0x11; 16]);
    let key = presigner.key(None, id, name);
    presigner.sign_with(credentials(token), id, key, media_type, size, &now)
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    mac.chain_update(text.as_bytes())
        .finalize()
        .into_bytes()
        .to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Computes the signature of the request a client would send, as the SigV4 documentation says.
fn signature_of(
    url: &str,
    method: &str,
    headers: &BTreeMap<String, String>,
    region: &str,
) -> String {
    let (address, query) = url.split_once('?').expect("a query");
    let (_, rest) = address.split_once("://").expect("a scheme");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut query: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with("X-Amz-Signature="))
        .collect();
    query.sort_unstable();
    let date = |pair: &&str| pair.strip_prefix("X-Amz-Date=").map(str::to_owned);
    let date = query.iter().find_map(date).expect("a date");
    let day = &date[..8];
    let mut all = headers.clone();
    all.insert("host".to_owned(), host.to_owned());
    let lines: String = all
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    let canonical = format!(
        "{method}\n/{path}\n{}\n{lines}\n{}\nUNSIGNED-PAYLOAD",
        query.join("&"),
        names.join(";"),
    );
    let scope = format!("{day}/{region}/s3/aws4_request");
    let hash = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
    let key = hmac(format!("AWS4{SECRET}").as_bytes(), day);
    let key = [region, "s3", "aws4_request"]
        .iter()
        .fold(key, |key, step| hmac(&key, step));
    hex(&hmac(&key, &text))
}

fn given(url: &str) -> &str {
    let (_, signature) = url.split_once("X-Amz-Signature=").expect("signed");
    signature.split('&').next().expect("a value")
}

/// The example of the SigV4 documentation ("query parameters"), so that the check itself is right.
#[test]
fn the_check_knows_the_documented_signature() {
    let url = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
        &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host";
    let expected = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let found = signature_of(url, "GET", &BTreeMap::new(), "us-east-1");
    assert_eq!(found, expected);
}

#[test]
fn signatures_hold() {
    let aws = PresignConfig::new("b", "eu-west-1");
    let local = PresignConfig {
        endpoint: Some("http://127.0.0.1:3900".to_owned()),
        expires_in: Duration::from_secs(300),
        prefix: "in+coming/".to_owned(),
        ..PresignConfig::new("b", "garage")
    };
    for (config, region, start) in [
        (
            aws,
            "eu-west-1",
            "https://b.s3.eu-west-1.amazonaws.com/uploads/",
        ),
        (local, "garage", "http://127.0.0.1:3900/b/in%2Bcoming/"),
    ] {
        for token in [None, Some("to/ken+=")] {
            let presigner = presigner(config.clone());
            let name = "résumé #1 (x).pdf";
            let put = sign_with(&presigner, token, name, "application/pdf", 4096);
            assert!(put.url.starts_with(start), "{}", put.url);
            let found = signature_of(&put.url, "PUT", &put.fields, region);
            assert_eq!(found, given(&put.url), "{}", put.url);
            assert_eq!(put.url.contains("X-Amz-Security-Token="), token.is_some());
            let expires = format!("X-Amz-Expires={}", config.expires_in.as_secs());
            assert!(put.url.contains(&expires));
        }
    }
}

#[test]
fn a_folder_comes_after_the_prefix() {
    let id = UploadRef::from_bytes([0x11; 16]);
    for (prefix, begins) in [("", "a/b/"), ("u/", "u/a/b/"), ("u-", "u-/a/b/")] {
        let mut config = PresignConfig::new("bucket", "r");
        config.prefix = prefix.to_owned();
        let key = presigner(config).key(Some("a/b".to_owned()), id, "../x.pdf");
        assert_eq!(key, format!("{begins}{id}/x.pdf"));
    }
}

/// Method, type, length and headers are bound: another request has another signature.
#[test]
fn nothing_else_is_signed_for() {
    let presigner = presigner(PresignConfig::new("b", "r"));
    let put = sign(&presigner, "a.png", "image/png", 10);
    assert!(
        put.url
            .contains("X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost")
    );
    assert_ne!(
        signature_of(&put.url, "GET", &put.fields, "r"),
        given(&put.url)
    );
    for (name, value) in [("content-length", "11"), ("content-type", "text/html")] {
        let mut fields = put.fields.clone();
        fields.insert(name.to_owned(), value.to_owned());
        assert_ne!(signature_of(&put.url, "PUT", &fields, "r"), given(&put.url));
    }
    let longer = put
        .url
        .replace("X-Amz-Expires=3600", "X-Amz-Expires=604800");
    assert_ne!(
        signature_of(&longer, "PUT", &put.fields, "r"),
        given(&put.url)
    );
}

/// The weaknesses of the reference: names that lead elsewhere, control characters, long keys.
#[test]
fn keys_are_safe_whatever_the_name() {
    let config = PresignConfig {
        prefix: "p".repeat(511) + "/",
        ..PresignConfig::new("b", "r")
    };
    let long = presigner(config);
    let short = presigner(PresignConfig::new("b", "r"));
    let id = "11111111-1111-1111-1111-111111111111";
    for (name, safe) in [
        ("..", "upload"),
        ("/etc/../report.pdf", "report.pdf"),
        ("..\\..\\evil.sh", "evil.sh"),
        ("a\r\nb\0.txt", "ab.txt"),
        ("x.jpg", "x.jpg"),
    ] {
        let put = sign(&short, name, "", 1);
        assert_eq!(put.key, format!("uploads/{id}/{safe}"));
        assert_eq!(put.fields["content-type"], ANY_TYPE);
    }
    let put = sign(&long, &"é".repeat(2000), "text/plain; charset=utf-8", 0);
    assert!(put.key.len() <= 1024);
    assert_eq!(put.fields["content-type"], "text/plain");
    assert_eq!(put.fields["content-length"], "0");
    assert_eq!(
        sign(&short, "a", "a/b\r\nx: y", 0).fields["content-type"],
        ANY_TYPE
    );
}

/// A second `PUT` is another matter of the store's, which is asked by a header that is signed too.
#[test]
fn a_file_can_be_put_once() {
    let config = PresignConfig {
        put_once: true,
        ..PresignConfig::new("b", "r")
    };
    let put = sign(&presigner(config), "a.png", "image/png", 10);
    assert_eq!(put.fields["if-none-match"], "*");
    assert_eq!(
        signature_of(&put.url, "PUT", &put.fields, "r"),
        given(&put.url)
    );
    let mut fields = put.fields.clone();
    fields.remove("if-none-match");
    assert_ne!(signature_of(&put.url, "PUT", &fields, "r"), given(&put.url));
}

#[tokio::test]
async fn what_cannot_be_signed_is_an_error() {
    let presigner = presigner(PresignConfig::new("b", "r"));
    let most = PRESIGNED_BYTES_MAX;
    assert!(presigner.sign("a", "", most).await.is_ok());
    let over = presigner.sign("a", "", most + 1).await;
    assert_eq!(over, Err(SignError::TooLarge));
    let none = Presigner::new(PresignConfig::new("b", "r"), || ready(None)).expect("good");
    assert_eq!(none.sign("a", "", 1).await, Err(SignError::NoCredentials));
    let new = |config| Presigner::new(config, || ready(None)).map(|_| ());
    let good = || PresignConfig::new("b", "r");
    assert_eq!(new(PresignConfig::new("", "r")), Err(PresignError::Bucket));
    let prefix = "/a".to_owned();
    let bad = PresignConfig { prefix, ..good() };
    assert_eq!(new(bad), Err(PresignError::Prefix));
    let endpoint = Some("here".to_owned());
    let bad = PresignConfig { endpoint, ..good() };
    assert_eq!(new(bad), Err(PresignError::Endpoint));
    let expires_in = Duration::from_secs(604_801);
    let bad = PresignConfig {
        expires_in,
        ..good()
    };
    assert_eq!(new(bad), Err(PresignError::Expires));
}
