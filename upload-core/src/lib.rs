//! The sans-IO core of resumable uploads: one connection, one upload, one sender, as state machines.
