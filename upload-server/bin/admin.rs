//! `upload-server list`, `show` and `cancel`: asks a running server on this machine about its uploads.

use std::{net::SocketAddr, path::Path, process::ExitCode};

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde::Deserialize;
use upload_server::config::Config;

/// Where uploads are listed; each is below it, by its ref.
const LIST: &str = "/admin/uploads";

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is asked.
pub(crate) enum Ask {
    List,
    Show(String),
    Cancel(String),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    uploads: Vec<Upload>,
    #[serde(default)]
    cancelled: u64,
}

#[derive(Deserialize)]
struct Upload {
    owner: String,
    upload: String,
    slot: String,
    client_name: String,
    status: String,
    size: Option<u64>,
    received: u64,
    resumable: bool,
}

/// Asks, and prints a line for each upload.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(file: Option<&Path>, ask: Ask) -> anyhow::Result<ExitCode> {
    let address = address_of(&Config::load(file)?)?;
    let (method, path) = match &ask {
        Ask::List => (Method::GET, LIST.to_owned()),
        Ask::Show(upload) => (Method::GET, format!("{LIST}/{upload}")),
        Ask::Cancel(upload) => (Method::DELETE, format!("{LIST}/{upload}")),
    };
    let Some(answer) = call(address, method, &path).await? else {
        // Who is not shown the list learns nothing of an upload either.
        if matches!(ask, Ask::List) || call(address, Method::GET, LIST).await?.is_none() {
            bail!("the server at {address} has no {LIST} for us; is it another one?");
        }
        eprintln!("there is no such upload in flight");
        return Ok(ExitCode::FAILURE);
    };
    if let Ask::Cancel(_) = ask {
        println!("cancelled {}", answer.cancelled);
        return Ok(ExitCode::SUCCESS);
    }
    for upload in answer.uploads {
        let size = upload.size.map_or("?".to_owned(), |size| size.to_string());
        let resumable = if upload.resumable { "resumable" } else { "-" };
        println!(
            "{} {} {} {}/{size} {resumable} {} {:?}",
            upload.upload,
            upload.slot,
            upload.status,
            upload.received,
            upload.owner,
            upload.client_name,
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns where the server of a configuration answers this machine.
fn address_of(config: &Config) -> anyhow::Result<SocketAddr> {
    if let Some(address) = config.admin_listen {
        return Ok(address);
    }
    if config.tls.is_some() {
        bail!("a server with [tls] needs admin_listen for this");
    }
    // Who connects to another address of this machine has that address, and is not known to be on it.
    let ip = config.listen.ip().to_canonical();
    if !(ip.is_unspecified() || ip.is_loopback()) {
        bail!("a server that listens at {ip} needs admin_listen for this");
    }
    Ok(config.listen)
}

/// Sends a request; none where there is nothing of this name.
async fn call(
    mut address: SocketAddr,
    method: Method,
    path: &str,
) -> anyhow::Result<Option<Answer>> {
    // A server that listens everywhere is asked on this machine.
    if address.ip().is_unspecified() {
        let ip = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(ip);
    }
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header("x-upload-admin", "1")
        .body(Empty::<Bytes>::new())
        .context("no upload has such a ref")?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await;
    let answer = answer.with_context(|| format!("no server answers at {address}"))?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        status => bail!("the server at {address} answered {status}"),
    }
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
    let body = body
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!(error))?;
    serde_json::from_slice(&body.to_bytes())
        .map(Some)
        .context("the server answered something else")
}
