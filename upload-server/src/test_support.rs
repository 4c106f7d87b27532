//! What tests, the fuzzer and the guides need of the inside.

#[cfg(all(feature = "testing", feature = "presign"))]
pub(crate) mod fuzz;
#[cfg(test)]
pub(crate) mod gated_writer;
mod guides;
#[cfg(all(feature = "testing", feature = "doors"))]
pub(crate) mod headers;
#[cfg(feature = "testing")]
pub mod testing;
