//! The ready upload server.
fn main() {}
