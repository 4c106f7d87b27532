//! What tests, the fuzzer and the guides need of the inside.

#[cfg(all(feature = "testing", feature = "presign"))]
pub(crate) mod fuzz;
#[cfg(test)]
pub(crate) mod gated_writer;
mod guides;
#[cfg(feature = "testing")]
pub mod testing;
