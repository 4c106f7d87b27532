//! Where writers keep bytes: files that several processes see.
//!
//! Modelled on the file writer: a holder that reopens a file discards its tail.
//! If an earlier holder still has it open, the durable bytes are copied to a file of the next generation and the old
//! one loses its name.
//! Late writes and a late close of the old holder then change nothing.
//! Reopening is fenced by the epoch: a slow holder takes nothing from a newer one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{plan::Keeping, world::Key};

/// One writer in somebody's hands; numbers are never used again.
pub(crate) type Handle = u32;

/// All files and everybody who holds one.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    pub(crate) lines: Vec<Line>,
    files: Vec<File>,
    handles: BTreeMap<Handle, usize>,
    next: Handle,
    /// Most parts that fit into a checkpoint.
    parts_told_max: u64,
}

/// One upload's files, from its first writer to its last.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) key: Key,
    /// The file that has the name.
    current: Option<usize>,
    pub(crate) published: Option<Vec<u8>>,
    /// Somebody learned that it is published.
    sealed: bool,
    /// The newest epoch under which it was continued; an older one is too late.
    epoch: u64,
}

#[derive(Debug)]
struct File {
    line: usize,
    bytes: Vec<u8>,
    durable: usize,
    node: usize,
    holder: Option<Handle>,
}

/// What reopening found.
pub(crate) enum Reopened {
    Open(Handle),
    Closed(Value),
    Gone,
    /// A newer holder was here.
    TooLate,
    /// The core asked for what it can not have been promised.
    Wrong(String),
}

impl Storage {
    pub(crate) fn new(parts_told_max: u64) -> Self {
        Self {
            parts_told_max,
            ..Self::default()
        }
    }

    pub(crate) fn open(&mut self, key: Key, node: usize) -> Handle {
        let line = self.lines.len();
        let file = self.files.len();
        self.lines.push(Line {
            key,
            current: Some(file),
            published: None,
            sealed: false,
            epoch: 0,
        });
        self.add(line, Vec::new(), node)
    }

    fn add(&mut self, line: usize, bytes: Vec<u8>, node: usize) -> Handle {
        self.next += 1;
        let handle = self.next;
        self.handles.insert(handle, self.files.len());
        self.files.push(File {
            line,
            durable: bytes.len(),
            bytes,
            node,
            holder: Some(handle),
        });
        handle
    }

    pub(crate) fn reopen(
        &mut self,
        key: Key,
        node: usize,
        keeping: Keeping,
        checkpoint: &Value,
        (offset, epoch): (u64, u64),
    ) -> Reopened {
        let number = checkpoint["line"].as_u64().map(|line| line as usize);
        let Some(number) = number.filter(|line| *line < self.lines.len()) else {
            return Reopened::Wrong(format!("{checkpoint} is no checkpoint"));
        };
        if self.lines[number].key != key {
            return Reopened::Wrong("the checkpoint of another upload".into());
        }
        if self.lines[number].published.is_some() {
            self.lines[number].sealed = true;
            return Reopened::Closed(result(number));
        }
        let Some(old) = self.lines[number].current else {
            return Reopened::Gone;
        };
        if epoch < self.lines[number].epoch {
            return Reopened::TooLate;
        }
        self.lines[number].epoch = epoch;
        let file = &mut self.files[old];
        let end = offset as usize;
        if end > file.bytes.len() {
            let kept = file.bytes.len();
            return Reopened::Wrong(format!("RESUME-2: offset {offset} of {kept} bytes kept"));
        }
        if let Keeping::Parts(_) = keeping {
            let kept = checkpoint["kept"].as_u64().unwrap_or_default();
            if kept < offset {
                return Reopened::Wrong(format!("offset {offset} with a checkpoint of {kept}"));
            }
        }
        let handle = if file.holder.is_some() {
            let copy = file.bytes[..end].to_vec();
            self.lines[number].current = Some(self.files.len());
            self.add(number, copy, node)
        } else {
            file.bytes.truncate(end);
            file.durable = end;
            file.node = node;
            self.next += 1;
            file.holder = Some(self.next);
            self.handles.insert(self.next, old);
            self.next
        };
        Reopened::Open(handle)
    }

    /// Appends; returns how far it came and what of it is durable.
    pub(crate) fn write(&mut self, handle: Handle, data: &[u8], keeping: Keeping) -> (u64, u64) {
        let file = &mut self.files[self.handles[&handle]];
        file.bytes.extend_from_slice(data);
        match keeping {
            Keeping::AtOnce | Keeping::NoCheckpoint => file.durable = file.bytes.len(),
            Keeping::OnFlush => {}
            Keeping::Parts(size) => {
                // The last part is on its way still.
                let size = size as usize;
                let before = file.bytes.len() - data.len();
                file.durable = file.durable.max(before / size * size);
            }
        }
        (file.bytes.len() as u64, file.durable as u64)
    }

    pub(crate) fn flush(&mut self, handle: Handle, keeping: Keeping) -> (u64, u64) {
        let file = &mut self.files[self.handles[&handle]];
        let written = (file.bytes.len() as u64, file.durable as u64);
        let (received, durable) = keeping.flushed(written);
        file.durable = durable as usize;
        (received, durable)
    }

    pub(crate) fn checkpoint(&self, handle: Handle, keeping: Keeping) -> Option<Value> {
        let file = &self.files[self.handles[&handle]];
        match keeping {
            Keeping::NoCheckpoint => None,
            Keeping::Parts(size) if file.durable as u64 / size > self.parts_told_max => None,
            Keeping::Parts(_) => Some(json!({"line": file.line, "kept": file.durable})),
            _ => Some(json!({"line": file.line})),
        }
    }

    /// Publishes; `None` where another holder took the file away.
    pub(crate) fn close(&mut self, handle: Handle) -> Option<Value> {
        let number = self.handles[&handle];
        let file = &self.files[number];
        let line = &mut self.lines[file.line];
        if line.current != Some(number) {
            return None;
        }
        line.published = Some(file.bytes.clone());
        line.current = None;
        Some(result(file.line))
    }

    /// Removes the file that was published with this result.
    pub(crate) fn remove(&mut self, result: Option<&Value>) {
        let number = result.and_then(|result| result["line"].as_u64());
        if let Some(line) = number.and_then(|number| self.lines.get_mut(number as usize)) {
            line.published = None;
        }
    }

    /// Undoes everything this holder may undo. In object storage all holders have
    /// the same multipart upload, and it is gone for all of them.
    pub(crate) fn abort(&mut self, handle: Handle, closed: bool, keeping: Keeping) {
        let Some(number) = self.handles.remove(&handle) else {
            return;
        };
        let file = &mut self.files[number];
        file.holder = None;
        let line = &mut self.lines[file.line];
        if line.current == Some(number) || matches!(keeping, Keeping::Parts(_)) {
            line.current = None;
        }
        if closed && !line.sealed {
            line.published = None;
        }
    }

    /// A parked writer is continued.
    pub(crate) fn unpark(&mut self, handle: Handle, epoch: u64) {
        let line = self.files[self.handles[&handle]].line;
        self.lines[line].epoch = self.lines[line].epoch.max(epoch);
    }

    pub(crate) fn release(&mut self, handle: Handle) {
        if let Some(number) = self.handles.remove(&handle) {
            self.files[number].holder = None;
        }
    }

    /// The process dies: of each file it held, anything past the durable bytes
    /// may be lost.
    pub(crate) fn crash(&mut self, node: usize, mut survives: impl FnMut(usize, usize) -> usize) {
        for file in self.files.iter_mut().filter(|file| file.node == node) {
            if let Some(handle) = file.holder.take() {
                self.handles.remove(&handle);
                let length = survives(file.durable, file.bytes.len());
                file.bytes.truncate(length);
            }
        }
    }

    /// Returns how much of an upload's present file is durable.
    pub(crate) fn durable(&self, key: Key) -> u64 {
        let of_key = self.lines.iter().rev().filter(|line| line.key == key);
        of_key
            .map(|line| match (&line.published, line.current) {
                (Some(bytes), _) => bytes.len() as u64,
                (None, Some(file)) => self.files[file].durable as u64,
                _ => 0,
            })
            .max()
            .unwrap_or(0)
    }

    pub(crate) fn published(&self, key: Key) -> impl Iterator<Item = &Vec<u8>> {
        let of_key = self.lines.iter().filter(move |line| line.key == key);
        of_key.filter_map(|line| line.published.as_ref())
    }

    /// Returns whether a file under way is left with nobody to end it.
    pub(crate) fn is_under_way(&self, key: Key) -> bool {
        let mut of_key = self.lines.iter().filter(|line| line.key == key);
        of_key.any(|line| line.current.is_some())
    }

    pub(crate) fn open_handles(&self) -> usize {
        self.handles.len()
    }
}

fn result(line: usize) -> Value {
    json!({ "line": line })
}
