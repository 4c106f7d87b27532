//! The guide to object storage, whose Rust blocks are compiled as documentation tests.

#![cfg(doctest)]

#[doc = include_str!("../../docs/object-storage.md")]
mod object_storage {}
