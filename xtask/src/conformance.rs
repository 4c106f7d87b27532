//! `cargo xtask conformance`: a server of anyone against the rules, by name.

use anyhow::{Context, Result, bail};
use clap::Args;
use upload_conformance::{Address, Ietf, Report, Site, Socket, Tus};

/// Which server, and what it is checked for.
#[derive(Args)]
#[group(id = "protocols", required = true, multiple = true, args = ["tus", "ietf", "socket"])]
pub(crate) struct Conformance {
    /// Address where a tus 1.0.0 server creates uploads
    #[arg(long, value_name = "URL")]
    tus: Option<Address>,
    /// Address that takes uploads of the IETF's draft
    #[arg(long, value_name = "URL")]
    ietf: Option<Address>,
    /// Address of a socket of this project's protocol
    #[arg(long, value_name = "URL")]
    socket: Option<Address>,
    /// Header of every request, such as "Authorization: Bearer x"; may be repeated
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Origin whose pages the server lets in, for the checks of CORS
    #[arg(long, default_value = "https://conformance.example")]
    origin: String,
    /// Slot of the socket that takes the files; by default one that takes any
    #[arg(long)]
    slot: Option<String>,
}

/// Runs the checks and prints a table for each protocol.
///
/// # Errors
///
/// A MUST failed, or a header has no colon.
pub(crate) fn run(conformance: &Conformance) -> Result<()> {
    let mut reports = Vec::new();
    if let Some(address) = &conformance.tus {
        reports.push(shown(Tus::new(conformance.site(address)?).run()));
    }
    if let Some(address) = &conformance.ietf {
        reports.push(shown(Ietf::new(conformance.site(address)?).run()));
    }
    if let Some(address) = &conformance.socket {
        let socket = Socket::new(conformance.site(address)?);
        let socket = match &conformance.slot {
            Some(slot) => socket.slot(slot),
            None => socket,
        };
        reports.push(shown(socket.run()));
    }
    if !reports.iter().all(Report::meets_every_must) {
        bail!("a MUST failed");
    }
    Ok(())
}

fn shown(report: Report) -> Report {
    println!("{}", report.table());
    report
}

impl Conformance {
    fn site(&self, address: &Address) -> Result<Site> {
        let mut site = Site::new(address.clone()).origin(&self.origin);
        for header in &self.header {
            let parts = header.split_once(':');
            let (name, value) = parts.with_context(|| format!("no colon in {header}"))?;
            site = site.header(name.trim(), value.trim());
        }
        Ok(site)
    }
}
