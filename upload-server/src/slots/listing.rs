//! What a page hears when it asks for the uploads of its owner.

use upload_core::{Record, RecordPhase};
use upload_proto::{ListedUpload, Status, UploadList, UploadRef};
use upload_stores::{Cursor, PAGE_RECORDS_MAX};

use super::{
    slot::Slots,
    timeouts,
    unclaimed::{Unclaimed, unix_ms},
};

/// How many uploads an answer has at most, and how many bytes of JSON.
const UPLOADS_MAX: usize = 256;
const BYTES_MAX: usize = 256 * 1024;
/// How many pages of an owner's records are looked through for one answer.
const PAGES_MAX: usize = 16;

impl Unclaimed {
    /// Lists the uploads of an owner that wait or can be resumed, the newest first; `None` if a store
    /// does not answer.
    pub(crate) async fn list_for_page(
        &self,
        owner: &str,
        slot: Option<&str>,
        slots: &Slots,
    ) -> Option<UploadList> {
        let now = unix_ms();
        let (mut all, mut more) = (Vec::new(), false);
        for store in self.stores(slots) {
            let mut after: Option<Cursor> = None;
            for _ in 0..PAGES_MAX {
                let page = store.list(Some(owner), after.as_ref(), PAGE_RECORDS_MAX);
                let page = timeouts::of_store(page).await?.ok()?;
                for listed in page.records {
                    let upload = UploadRef::from_bytes(*listed.key.upload());
                    if let Ok(record) = Record::decode(&listed.stored.record)
                        && slots.contains_key(&record.slot)
                        && slot.is_none_or(|slot| slot == record.slot)
                        && self.keeps(slots.get(&record.slot), &store)
                    {
                        all.extend(shown(upload, &record, now));
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            more |= after.is_some();
        }
        all.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
        let (mut uploads, mut bytes) = (Vec::new(), 0_usize);
        for (_, upload) in all {
            let length = serde_json::to_vec(&upload).map_or(usize::MAX, |json| json.len());
            bytes = bytes.saturating_add(length);
            if uploads.len() >= UPLOADS_MAX || bytes > BYTES_MAX {
                more = true;
                break;
            }
            uploads.push(upload);
        }
        let id = None;
        Some(UploadList { id, uploads, more })
    }
}

/// Returns what a page sees of an upload and when it was registered, unless it is over.
fn shown(upload: UploadRef, record: &Record, unix_ms: u64) -> Option<(u64, ListedUpload)> {
    let until = record
        .unclaimed
        .as_ref()
        .map(|unclaimed| unclaimed.until_unix_ms);
    let is_complete = match record.phase {
        RecordPhase::Receiving | RecordPhase::Completing => false,
        RecordPhase::Waiting if until.is_some_and(|until| until > unix_ms) => true,
        RecordPhase::Lent => true,
        RecordPhase::Waiting | RecordPhase::Complete | RecordPhase::Taken | RecordPhase::Ended => {
            return None;
        }
    };
    let listed = ListedUpload {
        upload,
        upload_name: record.slot.clone(),
        client_name: record.client_name.clone(),
        client_size: record.length.known(),
        status: match is_complete {
            true => Status::Complete,
            false => Status::Uploading,
        },
        bytes_received: match is_complete {
            true => record.length.max(),
            false => record.offset,
        },
        result: is_complete.then(|| record.result.clone()),
        expires_in: until.map(|until| until.saturating_sub(unix_ms) / 1000),
    };
    Some((record.created_unix_ms, listed))
}
