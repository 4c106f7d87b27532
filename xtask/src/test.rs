//! `cargo xtask test`: everything that must pass before a change lands.

use anyhow::Result;

use crate::{
    bench, browser, client, examples, fences, guides, integration,
    run::{cargo, must_succeed, server_binary, watch},
    services, sim, soak,
    stages::{Stage, Tally},
    tidy,
};

/// The stages, the quick ones first.
pub(crate) const STAGES: &[Stage] = &[
    ("format", format),
    ("tidy", tidy::check),
    ("fences", fences::check),
    ("clippy", clippy),
    ("tests", tests),
    ("sim", sim::check),
    ("examples", examples::run),
    ("codes", tidy::check_codes),
    ("binary", binary),
    ("guides", guides::run),
    ("integration", || integration::run(None, &[])),
    ("soak", soak::smoke),
    ("client", client::tests),
    ("types", client::types),
    ("browser", || browser::run(&[])),
    ("bench", bench::smoke),
];

fn format() -> Result<Tally> {
    must_succeed(&mut cargo(["fmt", "--all", "--check"]))?;
    Ok(Tally::ONE)
}

/// Every target; those that a plain `cargo test` leaves out, `--all-targets` leaves out too.
fn clippy() -> Result<Tally> {
    let everywhere = ["clippy", "--workspace", "--all-features"];
    must_succeed(cargo(everywhere).args(["--all-targets", "--", "--deny", "warnings"]))?;
    let named = integration::targets()?;
    if !named.is_empty() {
        let mut command = cargo(everywhere);
        command.args(named.iter().flat_map(|name| ["--test", name]));
        must_succeed(command.args(["--", "--deny", "warnings"]))?;
    }
    Ok(Tally::ONE)
}

/// Unit, property and documentation tests of every crate; examples are compiled on the way.
fn tests() -> Result<Tally> {
    services::redis()?;
    services::postgres()?;
    let mut tally = Tally::default();
    let status = watch(
        &mut cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]),
        |line| tally.add_line(line),
    )?;
    Ok(tally.of_run(status.success()))
}

fn binary() -> Result<Tally> {
    server_binary()?;
    Ok(Tally::ONE)
}
