//! What a server said must stay true.

use upload_proto::{ResumeStatus, Retry, ServerMessage, Snapshot, Status, UploadRef, crc32c_hex};

use super::Uploader;

impl Uploader {
    /// Holds the server to its word.
    pub(super) fn witness(&mut self, message: &ServerMessage, upload: UploadRef) {
        match message {
            ServerMessage::Draining { .. } => self.heard.send_modify(|heard| heard.drains += 1),
            ServerMessage::Registered(registered) if registered.upload == upload => {
                self.heard.send_modify(|heard| {
                    heard.upload = Some(upload);
                    (heard.sent, heard.received, heard.durable) = (0, 0, 0);
                    if !registered.resumable {
                        heard.resumable.push((false, None));
                    }
                });
            }
            ServerMessage::Resumed(resumed) if resumed.upload == upload => match resumed.status {
                ResumeStatus::Resumed => {
                    let (at, durable) = (resumed.bytes_received, self.heard.borrow().durable);
                    // RESUME-2: at least what was announced as durable.
                    assert!(
                        at >= durable || self.may_restart,
                        "offered {at}, announced {durable} durable: {:?}",
                        self.heard.borrow()
                    );
                    // CHUNK-4.
                    assert_eq!(resumed.next_index, at / u64::from(resumed.chunk_size));
                    // RESUME-6: the server's prefix is the file's.
                    let ours = self.prefix_crc(at);
                    assert_eq!(
                        resumed.crc32c.as_deref(),
                        Some(&*ours),
                        "the first {at} bytes"
                    );
                    self.heard.send_modify(|heard| {
                        heard.resumes += 1;
                        heard.offered += at;
                        (heard.sent, heard.received) = (at, at);
                    });
                }
                ResumeStatus::NotFound => {
                    let durable = self.heard.borrow().durable;
                    assert!(
                        durable == 0 || self.may_restart,
                        "not found, but {durable} bytes were announced durable"
                    );
                }
                ResumeStatus::Locked | ResumeStatus::Complete => {}
            },
            ServerMessage::Progress(snapshot) if snapshot.upload == upload => self.told(snapshot),
            _ => {}
        }
    }

    fn told(&mut self, snapshot: &Snapshot) {
        let size = self.file.len() as u64;
        if snapshot.status == Status::Complete {
            // COMPLETE-3: the checksum of the whole file.
            let ours = crc32c_hex(crc32c::crc32c(&self.file));
            assert_eq!(snapshot.crc32c.as_deref(), Some(&*ours));
            assert_eq!(snapshot.bytes_durable, size);
        }
        assert!(
            snapshot.bytes_durable <= snapshot.bytes_received,
            "{snapshot:?}"
        );
        self.heard.send_modify(|heard| {
            // MSG-2: nothing goes back within one attachment.
            if snapshot.status == Status::Uploading {
                assert!(
                    snapshot.bytes_received >= heard.received,
                    "{snapshot:?} after {heard:?}"
                );
            }
            heard.received = snapshot.bytes_received;
            heard.durable = heard.durable.max(snapshot.bytes_durable);
            if let Some(resumable) = snapshot.resumable {
                heard.resumable.push((resumable, snapshot.code));
            }
            if snapshot.retry == Some(Retry::Resend) {
                heard.sent = snapshot.bytes_received;
            }
            if snapshot.detached == Some(true) {
                heard.detached.push(snapshot.code);
            }
        });
    }

    fn prefix_crc(&mut self, offset: u64) -> String {
        let file = &self.file;
        self.checked
            .entry(offset)
            .or_insert_with(|| crc32c_hex(crc32c::crc32c(&file[..offset as usize])))
            .clone()
    }
}
