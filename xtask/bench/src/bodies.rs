//! The least an HTTP server could do with a file: take bodies with hyper, compute their CRC32C, write them, and
//! sync before each answer.
//!
//! It speaks just enough of tus to serve the load generator: POST with `Upload-Length` makes a file, PATCH
//! appends to it, and any other POST is a whole file.
//! What it costs is the floor that uploads by HTTP requests are measured against.

use std::{
    collections::HashMap,
    fs::File,
    io::Write,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rustix::fs::{FallocateFlags, fallocate};
use tokio::{net::TcpListener, task::spawn_blocking};

/// A sink for bodies that promises nothing but that they are on the disk.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Where the files go
    #[arg(long)]
    folder: PathBuf,
}

/// A file that grows by requests.
struct Upload {
    file: Arc<File>,
    written: u64,
    crc32c: u32,
}

/// The uploads by their path.
struct Sink {
    folder: PathBuf,
    created: AtomicU64,
    uploads: Mutex<HashMap<String, Upload>>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let listener = TcpListener::bind(&args.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let sink = Arc::new(Sink {
        folder: args.folder,
        created: AtomicU64::new(0),
        uploads: Mutex::default(),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let sink = Arc::clone(&sink);
        let service = service_fn(move |request| {
            let sink = Arc::clone(&sink);
            async move { sink.answer(request).await }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

impl Sink {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>> {
        let (head, body) = request.into_parts();
        let number = |name| -> Option<u64> { head.headers.get(name)?.to_str().ok()?.parse().ok() };
        let mut answer = Response::new(Empty::new());
        if let Some(length) = number("upload-length") {
            let (number, upload) = self.create(length)?;
            let path = format!("/uploads/files/file/{number}");
            self.uploads().insert(path.clone(), upload);
            *answer.status_mut() = StatusCode::CREATED;
            let location = HeaderValue::from_str(&path)?;
            answer.headers_mut().insert("location", location);
            return Ok(answer);
        }
        let path = head.uri.path();
        let mut upload = if head.method == Method::PATCH {
            *answer.status_mut() = StatusCode::NO_CONTENT;
            self.take(path).context("an unknown upload")?
        } else {
            *answer.status_mut() = StatusCode::CREATED;
            self.create(number("content-length").unwrap_or(0))?.1
        };
        upload.receive(body).await?;
        let offset = HeaderValue::from(upload.written);
        answer.headers_mut().insert("upload-offset", offset);
        let crc32c = HeaderValue::from(upload.crc32c);
        answer.headers_mut().insert("crc32c", crc32c);
        if head.method == Method::PATCH {
            self.uploads().insert(path.to_owned(), upload);
        }
        Ok(answer)
    }

    /// Makes a file and reserves its room.
    fn create(&self, length: u64) -> Result<(u64, Upload)> {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        let file = File::create(self.folder.join(format!("body-{number}")))?;
        if length > 0 {
            fallocate(&file, FallocateFlags::empty(), 0, length)?;
        }
        let upload = Upload {
            file: Arc::new(file),
            written: 0,
            crc32c: 0,
        };
        Ok((number, upload))
    }

    fn take(&self, path: &str) -> Option<Upload> {
        self.uploads().remove(path)
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    async fn receive(&mut self, mut body: Incoming) -> Result<()> {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            self.crc32c = crc32c::crc32c_append(self.crc32c, &data);
            (&*self.file).write_all(&data)?;
            self.written += data.len() as u64;
        }
        let file = Arc::clone(&self.file);
        spawn_blocking(move || file.sync_all()).await??;
        Ok(())
    }
}
