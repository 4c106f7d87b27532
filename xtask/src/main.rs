//! Everything a developer of this workspace runs.
fn main() {}
