//! Signed bodies: `hex(HMAC-SHA256(secret, body))` in a header (PROTOCOL section 11).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The header of what this server signs, and the first one it looks at.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-upload-signature");

/// The header senders made for djust use.
const HEADER_DJUST: HeaderName = HeaderName::from_static("x-djust-signature");

/// Length of a signature: the digits of 32 bytes.
const SIGNATURE_BYTES: usize = 64;

/// Signs and verifies bodies with one secret, which stays out of debug output.
#[derive(Clone)]
pub(crate) struct Signer(Hmac<Sha256>);

impl Signer {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// Returns the signature of `body` in lower-case hex.
    pub(crate) fn sign(&self, body: &[u8]) -> String {
        let mac = self.0.clone().chain_update(body).finalize().into_bytes();
        hex(&mac)
    }

    /// Returns whether the headers carry the one signature of `body`, in constant time.
    ///
    /// There is one way to write it: 64 lower-case digits, nothing before or after, once.
    pub(crate) fn is_signed(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let Some(value) = only_value(headers) else {
            return false;
        };
        let expected = self.sign(body);
        // Slices of different lengths are unequal at once, which tells nothing about the secret.
        expected.as_bytes().ct_eq(value.as_bytes()).into()
    }
}

/// Returns whether the headers carry something that is written as a signature: nothing else can be
/// one, whatever the body is.
pub(crate) fn is_claimed(headers: &HeaderMap) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let value = only_value(headers).map(HeaderValue::as_bytes);
    value.is_some_and(|value| value.len() == SIGNATURE_BYTES && value.iter().all(is_digit))
}

fn only_value(headers: &HeaderMap) -> Option<&HeaderValue> {
    let name = if headers.contains_key(HEADER) {
        HEADER
    } else {
        HEADER_DJUST
    };
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// Writes bytes as lower-case hex.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text += &format!("{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"what do ya want for nothing?";

    fn accepts(headers: &[(HeaderName, &[u8])]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value).expect("a value");
            map.append(name.clone(), value);
        }
        let is_signed = Signer::new(b"Jefe").is_signed(&map, BODY);
        // What is signed claims to be; what does not claim it is not even read.
        assert!(is_claimed(&map) || !is_signed);
        is_signed
    }

    /// What no signature could be is refused by its header.
    #[test]
    fn a_claim_has_the_form_of_a_signature() {
        let claims = |text: &str| {
            let mut map = HeaderMap::new();
            map.append(HEADER, HeaderValue::from_str(text).expect("a value"));
            is_claimed(&map)
        };
        assert!(claims(&"0".repeat(64)) && claims(&"f".repeat(64)));
        for bad in [
            "F".repeat(64),
            "0".repeat(63),
            "0".repeat(65),
            String::new(),
        ] {
            assert!(!claims(&bad), "{bad}");
        }
        assert!(!is_claimed(&HeaderMap::new()));
    }

    /// RFC 4231, test case 2.
    #[test]
    fn signatures_are_hmac_sha256() {
        let signature = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(Signer::new(b"Jefe").sign(BODY), signature);
        assert!(accepts(&[(HEADER, signature.as_bytes())]));
        assert!(accepts(&[(HEADER_DJUST, signature.as_bytes())]));
    }

    #[test]
    fn a_signature_is_written_in_one_way() {
        let good = Signer::new(b"Jefe").sign(BODY);
        let upper = good.to_uppercase();
        let prefixed = format!("sha256={good}");
        let longer = format!("{good}0");
        for bad in [&*upper, &prefixed, &longer, &good[..63], "", "é"] {
            assert!(!accepts(&[(HEADER, bad.as_bytes())]), "{bad}");
        }
        assert!(!accepts(&[]));
        assert!(!accepts(&[(HEADER, &[0xff; 64])]));
        assert!(!accepts(&[
            (HEADER, good.as_bytes()),
            (HEADER, good.as_bytes())
        ]));
        // The name of its own comes first, whatever the other says.
        assert!(!accepts(&[(HEADER, b"x"), (HEADER_DJUST, good.as_bytes())]));
    }
}
