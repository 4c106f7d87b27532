//! Keys and what they sign.

use std::time::{SystemTime, UNIX_EPOCH};

use base64_simd::URL_SAFE_NO_PAD as BASE64;
use rcgen::{KeyPair, PublicKeyData};
use ring::{hmac, rand::SystemRandom, signature as ring_signature};
use serde_json::{Value, json};

pub(super) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The secret half of a key.
pub(super) enum Signer {
    Hmac(Vec<u8>),
    Rsa(KeyPair),
    Ec(KeyPair),
    Ed(KeyPair),
}

impl Signer {
    pub(super) fn rsa() -> Self {
        Self::Rsa(KeyPair::from_pem(include_str!("rsa.pem")).expect("a key"))
    }

    pub(super) fn ec() -> Self {
        Self::Ec(KeyPair::generate().expect("a key"))
    }

    pub(super) fn ed() -> Self {
        Self::Ed(KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key"))
    }

    fn pair(&self) -> &KeyPair {
        match self {
            Self::Hmac(_) => panic!("a secret has no public half"),
            Self::Rsa(pair) | Self::Ec(pair) | Self::Ed(pair) => pair,
        }
    }

    pub(super) fn public_pem(&self) -> String {
        self.pair().public_key_pem()
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Hmac(_) => "HS256",
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    /// Returns the public half as a document lists it.
    pub(super) fn jwk(&self, id: &str) -> Value {
        let raw = self.pair().der_bytes();
        let text = |bytes: &[u8]| BASE64.encode_to_string(bytes);
        match self {
            Self::Hmac(_) => panic!("a secret has no public half"),
            Self::Rsa(_) => {
                let der = self.pair().serialize_der();
                let pair = ring_signature::RsaKeyPair::from_pkcs8(&der).expect("a key");
                let public: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({ "kty": "RSA", "kid": id, "n": text(&public.n), "e": text(&public.e) })
            }
            Self::Ec(_) => json!({
                "kty": "EC", "crv": "P-256", "kid": id, "use": "sig",
                "x": text(&raw[1..33]), "y": text(&raw[33..]),
            }),
            Self::Ed(_) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "alg": "EdDSA", "x": text(raw) })
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Hmac(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let pair = ring_signature::RsaKeyPair::from_pkcs8(&pair.serialize_der());
                let pair = pair.expect("a key");
                let mut signature = vec![0; pair.public().modulus_len()];
                let with = &ring_signature::RSA_PKCS1_SHA256;
                pair.sign(with, &random, message, &mut signature)
                    .expect("signed");
                signature
            }
            Self::Ec(pair) => {
                let with = &ring_signature::ECDSA_P256_SHA256_FIXED_SIGNING;
                let der = pair.serialize_der();
                let pair = ring_signature::EcdsaKeyPair::from_pkcs8(with, &der, &random);
                let signed = pair.expect("a key").sign(&random, message);
                signed.expect("signed").as_ref().to_vec()
            }
            Self::Ed(pair) => {
                let der = pair.serialize_der();
                let pair = ring_signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
                pair.expect("a key").sign(message).as_ref().to_vec()
            }
        }
    }

    /// Signs claims under a header of this algorithm.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.algorithm(), "typ": "JWT" }), claims)
    }

    /// Names the key in the header.
    pub(super) fn named_token(&self, id: &str, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.algorithm(), "kid": id }), claims)
    }

    /// Signs claims under any header.
    pub(super) fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    pub(super) fn token_of(&self, header: &str, claims: &str) -> String {
        let text = |text: &str| BASE64.encode_to_string(text);
        let message = format!("{}.{}", text(header), text(claims));
        let signature = BASE64.encode_to_string(self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// Returns the seconds since 1970, and so many more.
pub(super) fn in_seconds(seconds: i64) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("soon") + seconds
}

/// Returns the claims of a good token, with these besides or instead.
pub(super) fn claims(other: Value) -> Value {
    let mut claims =
        json!({ "sub": "alice", "iss": "us", "aud": "uploads", "exp": in_seconds(60) });
    for (name, value) in other.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}
