//! The guides of `docs/`, whose Rust blocks are compiled as documentation tests.

#![cfg(doctest)]

#[doc = include_str!("../../README.md")]
mod readme {}

#[doc = include_str!("../../docs/getting-started.md")]
mod getting_started {}

#[doc = include_str!("../../docs/slots-and-validation.md")]
mod slots_and_validation {}

#[doc = include_str!("../../docs/writers.md")]
mod writers {}

#[doc = include_str!("../../docs/resume-and-stores.md")]
mod resume_and_stores {}

#[doc = include_str!("../../docs/browser-client.md")]
mod browser_client {}

#[doc = include_str!("../../docs/security.md")]
mod security {}

#[doc = include_str!("../../docs/operating.md")]
mod operating {}

#[doc = include_str!("../../docs/moving-from-djust.md")]
mod moving_from_djust {}

#[cfg(feature = "presign")]
#[doc = include_str!("../../docs/presigned-and-events.md")]
mod presigned_and_events {}
