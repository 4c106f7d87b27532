//! The program that sends a load, and its arguments.

use std::process::Command;

use super::subject::{Bed, Load, Sink, Spoken};

/// Returns the command that sends a load.
pub(super) fn generator(bed: &Bed, address: &str, sink: Sink, load: Load) -> Command {
    let program = match load.spoken {
        Spoken::Socket => "load",
        Spoken::Tus { .. } | Spoken::Plain => "http-load",
    };
    let mut command = Command::new(bed.program(program));
    command
        .args(["--address", address, "--slot", &sink.to_string()])
        .args(["--connections", &load.connections.to_string()])
        .args(["--bytes", &load.bytes.to_string()]);
    match load.spoken {
        Spoken::Socket => command
            .args(["--uploads", &load.uploads.to_string()])
            .args(["--files", &load.files.to_string()])
            .args(["--in-flight", &load.in_flight.to_string()])
            .args(["--chunk", &load.chunk.to_string()])
            .args(["--round-trip-ms", &load.round_trip_ms.to_string()])
            .args(["--stall-one-in", &load.stall_one_in.to_string()])
            .args(load.is_begun.then_some("--begun"))
            .args(load.is_cut.then_some("--cut")),
        Spoken::Tus { piece } => {
            let piece = piece.min(load.bytes).to_string();
            command.args(["--door", "tus", "--piece", &piece])
        }
        Spoken::Plain => command.args(["--door", "plain"]),
    };
    command
}
