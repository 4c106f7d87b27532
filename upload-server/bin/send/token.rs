//! Whose a token is, as far as it says so itself: a visitor who signs in again has another one.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, header};
use jsonwebtoken::dangerous::insecure_decode;
use serde_json::Value;

/// Claims that tell one token of a visitor from the next: its times, its names, and the sign-in that it came from.
const OF_ONE_TOKEN: [&str; 13] = [
    "aio",
    "at_hash",
    "auth_time",
    "c_hash",
    "exp",
    "iat",
    "jti",
    "nbf",
    "nonce",
    "rh",
    "session_state",
    "sid",
    "uti",
];

/// Returns what a signed token (RFC 7519) says, without what only this one says.
///
/// Nothing is verified, so it serves to compare with what was said before, and for nothing else. Which claim is the
/// owner is the server's choice, so all that could be are in it.
pub(super) fn visitor_of(name: &HeaderName, value: &HeaderValue) -> Option<Vec<u8>> {
    if *name != header::AUTHORIZATION {
        return None;
    }
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let token = insecure_decode::<BTreeMap<String, Value>>(token.trim()).ok()?;
    let mut claims = token.claims;
    claims.retain(|name, _| !OF_ONE_TOKEN.contains(&name.as_str()));
    match claims.is_empty() {
        true => None,
        false => serde_json::to_vec(&claims).ok(),
    }
}

#[cfg(test)]
mod tests {
    use base64_simd::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn visitor(claims: Value) -> Option<Vec<u8>> {
        let encode = |part: Value| URL_SAFE_NO_PAD.encode_to_string(part.to_string());
        let head = encode(json!({ "alg": "HS256", "typ": "JWT" }));
        of_value(&format!("Bearer {head}.{}.signature", encode(claims)))
    }

    fn of_value(value: &str) -> Option<Vec<u8>> {
        let value = HeaderValue::from_str(value).expect("a value");
        visitor_of(&header::AUTHORIZATION, &value)
    }

    #[test]
    fn a_later_token_is_of_the_same_visitor() {
        let alice = visitor(json!({ "sub": "alice", "exp": 1, "jti": "a" }));
        assert!(alice.is_some());
        let later = json!({ "jti": "b", "exp": 2, "iat": 1, "sub": "alice" });
        assert_eq!(visitor(later), alice);
        for other in [
            json!({ "sub": "bob", "exp": 1 }),
            json!({ "sub": "alice", "iss": "another", "exp": 1 }),
            json!({ "sub": "alice", "tenant": 7, "exp": 1 }),
        ] {
            assert_ne!(visitor(other.clone()), alice, "{other}");
        }
    }

    #[test]
    fn other_tokens_say_nothing() {
        assert_eq!(visitor(json!({ "exp": 1 })), None);
        assert_eq!(visitor(json!("alice")), None);
        for value in [
            "",
            "Bearer",
            "Bearer t0k3n",
            "Bearer a.b.c",
            "Basic e30.e30.e30",
        ] {
            assert_eq!(of_value(value), None, "{value}");
        }
        let token = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.";
        assert!(of_value(token).is_some());
        assert_eq!(of_value(&format!("{token}.")), None);
        let value = HeaderValue::from_str(token).expect("a value");
        assert_eq!(visitor_of(&header::COOKIE, &value), None);
    }
}
