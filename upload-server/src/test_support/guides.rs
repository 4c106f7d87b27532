//! The guides of `docs/`, whose Rust blocks are compiled as documentation tests.

#![cfg(doctest)]

#[doc = include_str!("../../../README.md")]
mod readme {}

#[cfg(feature = "testing")]
#[doc = include_str!("../../../docs/getting-started.md")]
mod getting_started {}

#[doc = include_str!("../../../docs/getting-started-server.md")]
mod getting_started_server {}

#[doc = include_str!("../../../docs/getting-started-tus.md")]
mod getting_started_tus {}

#[doc = include_str!("../../../docs/forms-and-handlers.md")]
mod forms_and_handlers {}

#[doc = include_str!("../../../docs/slots-and-validation.md")]
mod slots_and_validation {}

#[doc = include_str!("../../../docs/writers.md")]
mod writers {}

#[doc = include_str!("../../../docs/resume-and-stores.md")]
mod resume_and_stores {}

#[doc = include_str!("../../../docs/browser-client.md")]
mod browser_client {}

#[cfg(feature = "doors")]
#[doc = include_str!("../../../docs/http-doors.md")]
mod http_doors {}

#[doc = include_str!("../../../docs/sign-in-and-hooks.md")]
mod sign_in_and_hooks {}

#[doc = include_str!("../../../docs/serving-files.md")]
mod serving_files {}

#[cfg(feature = "testing")]
#[doc = include_str!("../../../docs/testing.md")]
mod testing {}

#[doc = include_str!("../../../docs/security.md")]
mod security {}

#[doc = include_str!("../../../docs/operating.md")]
mod operating {}

#[doc = include_str!("../../../docs/moving-from-djust.md")]
mod moving_from_djust {}

#[cfg(feature = "presign")]
#[doc = include_str!("../../../docs/presigned-and-events.md")]
mod presigned_and_events {}
