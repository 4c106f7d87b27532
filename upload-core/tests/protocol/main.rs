//! Every rule of PROTOCOL 3 to 8 that the core decides, on a scripted host.
//!
//! The rooms: `rig` (the host), `chunks`, `completion`, `control`, `credit`,
//! `resume`, `lifecycle` (writers and their ends), `records` (trouble with the
//! store), `sending` (the client's side).

mod chunks;
mod completion;
mod control;
mod credit;
mod fences;
mod gate;
mod lifecycle;
mod records;
mod resume;
mod rig;
mod rights;
mod sending;
