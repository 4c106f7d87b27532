//! Accept rules, safe names, active content and content sniffing for uploaded files.
//!
//! The crate answers four questions about a file that a stranger offers, without I/O, clocks or async:
//!
//! 1. [`safe_name`]: under which name may it be stored?
//! 2. [`Rules::screen`]: do its name and declared type fit the slot? Asked at registration, before a byte came.
//! 3. [`Rules::inspect`]: do its first bytes fit what was declared? Asked with every byte that arrives,
//!    it answers [`Verdict::NeedMore`] until the answer is certain, at most [`HEAD_BYTES`] long.
//! 4. [`Validator`]: does it fit what the application wants besides?
//!
//! ```
//! use upload_validate::{Accept, FileFacts, Head, Refusal, Rules, Verdict, safe_name};
//!
//! let rules = Rules::new(Accept::parse(".jpg, .jpeg, .png")?);
//! assert_eq!(rules.screen("photo.jpg", "image/jpeg"), Ok(()));
//! assert_eq!(rules.screen("evil.svg", ""), Err(Refusal::ActiveContent));
//!
//! let facts = FileFacts { name: "photo.jpg", media_type: "image/jpeg", size: 2 };
//! let head = Head { bytes: b"MZ", is_whole: true };
//! assert_eq!(rules.inspect(&facts, &head), Verdict::Refuse(Refusal::ContentMismatch));
//!
//! assert_eq!(&*safe_name("../../etc/passwd"), "passwd");
//! # Ok::<(), upload_validate::AcceptError>(())
//! ```
// What a peer sends reaches this code: nothing in it may be able to panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod accept;
mod active;
mod file;
mod head;
mod markup;
mod media_types;
mod name;
mod picture;
mod rules;
mod signatures;
mod sniff;
mod verdict;

pub use accept::{ACCEPT_BYTES_MAX, ACCEPT_TOKENS_MAX, Accept, AcceptError};
pub use active::{ActiveContent, is_active};
pub use head::{HEAD_BYTES, Head};
pub use media_types::{essence, media_type_for_extension};
pub use name::{NAME_BYTES_MAX, SafeName, extension, safe_name};
pub use rules::Rules;
pub use sniff::{FileFacts, Validator};
pub use verdict::{OWN_CODE_BYTES_MAX, OWN_TEXT_BYTES_MAX, OwnRefusal, Refusal, Verdict};
