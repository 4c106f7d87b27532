//! Who a request belongs to: the application's answer, the cookie, or the address of the upload itself.
//!
//! Programs keep no cookies. An upload without an owner belongs to all who know its address: 128
//! random bits behind its ref, of which the server keeps the hash only.

use http::{HeaderValue, request::Parts};
use sha2::{Digest, Sha256};
use upload_proto::UploadRef;
use uuid::Uuid;

use crate::{
    http::{identity::NoOwner, state::App},
    server::owner_counts::CAPABILITY,
};

/// What separates a ref from its capability in an address.
const SEPARATOR: char = '~';

/// Who a request belongs to.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) owner: String,
    pub(crate) set_cookie: Option<HeaderValue>,
    /// What the address of an upload ends with, where it is its owner.
    capability: Option<String>,
}

/// The address of an upload below its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) upload: UploadRef,
    capability: Option<String>,
}

impl Address {
    /// Reads the last part of a path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (upload, capability) = match text.split_once(SEPARATOR) {
            Some((upload, capability)) => {
                let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                let is_one = capability.len() == 32 && capability.bytes().all(is_hex);
                (upload, is_one.then(|| Some(capability.to_owned()))?)
            }
            None => (text, None),
        };
        let upload: UploadRef = upload.parse().ok()?;
        (!upload.is_nil()).then_some(Self { upload, capability })
    }
}

impl Visitor {
    /// Identifies who creates an upload.
    ///
    /// # Errors
    ///
    /// The application says that the request has no owner, or cannot say.
    pub(crate) async fn creating(app: &App, parts: &mut Parts) -> Result<Self, NoOwner> {
        if app.doors.capabilities && app.identity.recognise(parts).await?.is_none() {
            let capability = Uuid::new_v4().simple().to_string();
            return Ok(Self {
                owner: owner_of(&capability),
                set_cookie: None,
                capability: Some(capability),
            });
        }
        let who = app.identity.identify(parts).await?;
        Ok(Self {
            owner: who.owner,
            set_cookie: who.set_cookie,
            capability: None,
        })
    }

    /// Identifies who comes back to an upload; `None` for a stranger.
    ///
    /// # Errors
    ///
    /// The application says that the request has no owner, or cannot say.
    pub(crate) async fn returning(
        app: &App,
        parts: &mut Parts,
        address: &Address,
    ) -> Result<Option<Self>, NoOwner> {
        let known = app.identity.recognise(parts).await?;
        let owner = match &address.capability {
            Some(capability) if app.doors.capabilities => Some(owner_of(capability)),
            _ => known.map(|who| who.owner),
        };
        Ok(owner.map(|owner| Self {
            owner,
            set_cookie: None,
            capability: address.capability.clone(),
        }))
    }

    /// Returns the last part of the path to an upload.
    pub(crate) fn name_of(&self, upload: UploadRef) -> String {
        match &self.capability {
            Some(capability) => format!("{upload}{SEPARATOR}{capability}"),
            None => upload.to_string(),
        }
    }
}

/// The capability itself is kept nowhere.
fn owner_of(capability: &str) -> String {
    format!(
        "{CAPABILITY}{}",
        hex(&Sha256::digest(capability.as_bytes()))
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPLOAD: &str = "11111111-2222-3333-4444-555555555555";

    #[test]
    fn t37_addresses_are_uuids() {
        let parse = Address::parse;
        assert!(parse(UPLOAD).is_some());
        let with = format!("{UPLOAD}~{}", "0123456789abcdef".repeat(2));
        assert!(parse(&with).expect("an address").capability.is_some());
        for bad in [
            "",
            "..",
            "~",
            "a/../b",
            "00000000-0000-0000-0000-000000000000",
            &format!("{UPLOAD}~"),
            &format!("{UPLOAD}~{}", "G".repeat(32)),
            &format!("{UPLOAD}~{}~", "0".repeat(32)),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn owners_of_capabilities_do_not_tell_them() {
        let owner = owner_of("secret");
        assert!(owner.starts_with(CAPABILITY) && !owner.contains("secret"));
        assert_eq!(owner, owner_of("secret"));
        assert_ne!(owner, owner_of("other"));
    }
}
