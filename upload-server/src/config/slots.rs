//! `[slots.NAME]`: the rules of a slot and where its bytes go.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde::{Deserialize, Deserializer, de};
use upload_writers::DiscardWriterFactory;

use super::{ConfigError, Size, StoreKind};
use crate::options::{SlotFiles, SlotOptions};

/// The rules of one slot.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SlotConfig {
    /// Extensions and types, separated by commas; empty for all.
    pub accept: String,
    /// Files at a time per connection.
    pub max_entries: u32,
    /// Largest file.
    pub max_file_size: Size,
    /// Size of a full chunk.
    pub chunk_size: Size,
    /// Whether pages send a file as soon as it is picked.
    pub auto_upload: bool,
    /// Whether uploads outlive their connection.
    pub resumable: bool,
    /// Whether a resumable upload outlives a closed tab.
    pub keep_on_leave: bool,
    /// Whether files that a browser would run are taken.
    pub allow_active_content: bool,
    /// Where bytes go.
    pub writer: WriterKind,
    /// Where records live, if not where `[state]` says.
    pub store: Option<StoreKind>,
}

impl Default for SlotConfig {
    fn default() -> Self {
        Self {
            accept: String::new(),
            max_entries: 1,
            max_file_size: Size(10_000_000),
            chunk_size: Size(65_536),
            auto_upload: true,
            resumable: false,
            keep_on_leave: false,
            allow_active_content: false,
            writer: WriterKind::File,
            store: None,
        }
    }
}

impl SlotConfig {
    /// Checks the slot without making anything.
    pub(super) fn check(&self, name: &str) -> Result<(), ConfigError> {
        let nowhere = SlotFiles {
            writers: Arc::new(DiscardWriterFactory),
            data_dir: PathBuf::new(),
        };
        match self.options(name)?.into_slot(name, &nowhere) {
            Ok(_) => Ok(()),
            Err(error) => Err(ConfigError::invalid(
                &format!("slots.{name}"),
                error.to_string(),
            )),
        }
    }

    /// Returns the slot's options; completion consumes, since no application takes the entries.
    pub(super) fn options(&self, name: &str) -> Result<SlotOptions, ConfigError> {
        let chunk_size = u32::try_from(self.chunk_size.0).map_err(|_| {
            ConfigError::invalid(&format!("slots.{name}.chunk_size"), "is too large")
        })?;
        let options = SlotOptions::new()
            .accept(&*self.accept)
            .max_entries(self.max_entries)
            .max_file_size(self.max_file_size.0)
            .chunk_size(chunk_size)
            .auto_upload(self.auto_upload)
            .resumable(self.resumable)
            .keep_on_leave(self.keep_on_leave)
            .allow_active_content(self.allow_active_content)
            .consume_on_complete(true);
        Ok(match self.writer {
            WriterKind::File => options,
            WriterKind::Discard => options.writer(DiscardWriterFactory),
        })
    }
}

/// Where a slot's bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterKind {
    /// Files below `data_dir`.
    File,
    /// Nowhere: for benchmarks.
    Discard,
}

impl<'de> Deserialize<'de> for WriterKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "file" => Ok(Self::File),
            "discard" => Ok(Self::Discard),
            name @ ("s3" | "object_store") => Err(de::Error::custom(format_args!(
                "this build has no writer {name:?} yet, only \"file\" and \"discard\""
            ))),
            name => Err(de::Error::unknown_variant(name, &["file", "discard"])),
        }
    }
}

/// Returns the slots of the demo page.
pub(super) fn demo() -> BTreeMap<String, SlotConfig> {
    let slot = |accept: &str, max_entries, max_file_size, resumable| SlotConfig {
        accept: accept.to_owned(),
        max_entries,
        max_file_size: Size(max_file_size),
        resumable,
        ..SlotConfig::default()
    };
    const MB: u64 = 1_000_000;
    let images = ".jpg,.jpeg,.png,.gif,.webp";
    let documents = ".pdf,.txt,.md,.csv,.docx,.xlsx,.pptx,.odt,.ods,.odp,.zip";
    let video = ".mp4,.mov,.webm,.mkv,.m4v";
    BTreeMap::from([
        ("avatar".to_owned(), slot(images, 1, 5 * MB, false)),
        ("photos".to_owned(), slot(images, 20, 50 * MB, true)),
        ("documents".to_owned(), slot(documents, 10, 200 * MB, true)),
        ("video".to_owned(), slot(video, 4, 8_000 * MB, true)),
    ])
}
