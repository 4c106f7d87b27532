//! Every rule of PROTOCOL 3 to 8 that the core decides, on a scripted host.
//!
//! The rooms: `rig` (the host), `chunks`, `completion`, `control`,
//! `registration`, `counting`, `credit`, `resume`, `takeover`, `leaving`,
//! `cancelling`, `lifecycle` (writers and their ends), `stored` (files without their record), `records` (trouble with
//! the store), `sending` (the client's side).

mod cancelling;
mod chunks;
mod completion;
mod control;
mod counting;
mod credit;
mod fences;
mod gate;
mod layout;
mod leaving;
mod lifecycle;
mod records;
mod registration;
mod resume;
mod rig;
mod rights;
mod sending;
mod stored;
mod takeover;
mod waiting;
