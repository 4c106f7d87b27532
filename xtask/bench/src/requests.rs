//! One connection that uploads by HTTP requests: the whole file in one, or pieces of it by tus.

use std::{io::IoSlice, rc::Rc};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::unpaced;

/// Slices of data in one vectored write.
const BATCH: usize = 8;

/// What the requests speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// tus 1.0.0: a creation, then a PATCH for each piece.
    Tus,
    /// One POST, whose body is the file.
    Plain,
}

/// A file, and how it is sent.
pub struct Shape {
    /// What the requests speak.
    pub door: Door,
    /// Data that the file repeats.
    pub data: Vec<u8>,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of a PATCH.
    pub piece: u64,
}

/// A connection and the upload it carries.
pub struct Requests {
    stream: TcpStream,
    address: String,
    path: String,
    shape: Rc<Shape>,
}

/// An answer.
struct Answer {
    status: u16,
    head: String,
}

impl Requests {
    /// Connects, and creates the upload if that takes a separate request.
    ///
    /// # Errors
    ///
    /// The server does not answer, or refuses.
    pub async fn open(address: &str, slot: &str, shape: Rc<Shape>) -> Result<Self> {
        let stream = unpaced::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut requests = Self {
            stream,
            address: address.to_owned(),
            path: format!("/uploads/files/{slot}"),
            shape,
        };
        if requests.shape.door == Door::Tus {
            let length = format!("upload-length: {}\r\n", requests.shape.size);
            requests.begin("POST", &length, 0).await?;
            let answer = requests.answer(201).await?;
            requests.path = answer.header("location").context("no location")?.to_owned();
        }
        Ok(requests)
    }

    /// Sends the whole file, and waits until it is stored.
    ///
    /// # Errors
    ///
    /// The server refuses it or is gone.
    pub async fn upload(&mut self) -> Result<()> {
        let shape = Rc::clone(&self.shape);
        if shape.door == Door::Plain {
            let kind = "content-type: application/octet-stream\r\n";
            self.begin("POST", kind, shape.size).await?;
            self.body(&shape.data, shape.size).await?;
            return self.answer(201).await.map(drop);
        }
        let mut at = 0;
        while at < shape.size {
            let length = shape.piece.min(shape.size - at);
            let headers =
                format!("content-type: application/offset+octet-stream\r\nupload-offset: {at}\r\n");
            self.begin("PATCH", &headers, length).await?;
            self.body(&shape.data, length).await?;
            at += length;
            let answer = self.answer(204).await?;
            let offset = answer.header("upload-offset").context("no offset")?;
            if offset.parse() != Ok(at) {
                bail!("the offset is {offset}, and not {at}");
            }
        }
        Ok(())
    }

    async fn begin(&mut self, method: &str, headers: &str, length: u64) -> Result<()> {
        let version = match self.shape.door {
            Door::Tus => "tus-resumable: 1.0.0\r\n",
            Door::Plain => "",
        };
        let head = format!(
            "{method} {} HTTP/1.1\r\nhost: {}\r\n{version}{headers}content-length: {length}\r\n\r\n",
            self.path, self.address
        );
        Ok(self.stream.write_all(head.as_bytes()).await?)
    }

    /// Sends this many bytes of the data that repeats.
    async fn body(&mut self, data: &[u8], length: u64) -> Result<()> {
        let mut left = usize::try_from(length)?;
        while left > 0 {
            let mut slices = [IoSlice::new(&[]); BATCH];
            let mut batch = 0;
            for slice in &mut slices {
                let bytes = data.len().min(left - batch);
                *slice = IoSlice::new(&data[..bytes]);
                batch += bytes;
            }
            let mut rest = &mut slices[..];
            while rest.iter().any(|slice| !slice.is_empty()) {
                let written = self.stream.write_vectored(rest).await?;
                if written == 0 {
                    bail!("the server hung up");
                }
                IoSlice::advance_slices(&mut rest, written);
            }
            left -= batch;
        }
        Ok(())
    }

    /// Reads an answer, whose body is dropped.
    async fn answer(&mut self, status: u16) -> Result<Answer> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(self.stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let found = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        let answer = Answer {
            status: found.context("no status")?,
            head,
        };
        let length = answer.header("content-length").map_or(Ok(0), str::parse)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        if answer.status != status {
            bail!("{}{}", answer.head, String::from_utf8_lossy(&body));
        }
        Ok(answer)
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}
