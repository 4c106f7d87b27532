//! `[slots.NAME]`: the rules of a slot and where its bytes go.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde::Deserialize;
use upload_writers::{DiscardWriterFactory, WriterFactory};

use super::{ConfigError, ObjectStoreConfig, S3Config, Size, StoreKind};
use crate::options::{SlotDefaults, SlotOptions};

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
    /// Whether clients put files straight into the bucket of `s3`, with signed URLs.
    pub direct: bool,
    /// The bucket, for `writer = "s3"` or `direct = true`.
    pub s3: Option<S3Config>,
    /// The store, for `writer = "object_store"`.
    pub object_store: Option<ObjectStoreConfig>,
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
            direct: false,
            s3: None,
            object_store: None,
        }
    }
}

impl SlotConfig {
    /// Checks the slot without making anything.
    pub(super) fn check(&self, name: &str) -> Result<(), ConfigError> {
        self.check_storage(name)?;
        let nowhere = SlotDefaults {
            writers: Arc::new(DiscardWriterFactory),
            data_dir: PathBuf::new(),
            authorize: None,
            shared_store: false,
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
        if self.direct {
            return self.direct_options(name, options);
        }
        Ok(match self.writer {
            WriterKind::Discard => options.writer(DiscardWriterFactory),
            // What needs a network is made when the server opens.
            WriterKind::File | WriterKind::S3 | WriterKind::ObjectStore => options,
        })
    }

    #[cfg(feature = "presign")]
    fn direct_options(&self, name: &str, options: SlotOptions) -> Result<SlotOptions, ConfigError> {
        let section = format!("slots.{name}.s3");
        let s3 = self.s3.as_ref();
        let s3 = s3.ok_or_else(|| ConfigError::invalid(&section, "is missing"))?;
        Ok(options.direct(s3.presigner(&section)?))
    }

    #[cfg(not(feature = "presign"))]
    fn direct_options(&self, name: &str, _: SlotOptions) -> Result<SlotOptions, ConfigError> {
        let why = "needs a build with the feature \"presign\"";
        Err(ConfigError::invalid(&format!("slots.{name}.direct"), why))
    }

    /// Returns the factory of a writer that needs a network, if the slot has one.
    pub(super) async fn remote_writer(
        &self,
        name: &str,
    ) -> Result<Option<Arc<dyn WriterFactory>>, ConfigError> {
        match (self.writer, &self.s3, &self.object_store) {
            _ if self.direct => Ok(None),
            (WriterKind::S3, Some(s3), _) => s3.writer(&format!("slots.{name}.s3")).await.map(Some),
            (WriterKind::ObjectStore, _, Some(store)) => store
                .writer(&format!("slots.{name}.object_store"))
                .map(Some),
            _ => Ok(None),
        }
    }

    /// Checks that writer, `direct` and the sections of buckets go together.
    fn check_storage(&self, name: &str) -> Result<(), ConfigError> {
        let invalid =
            |key: &str, why: &str| Err(ConfigError::invalid(&format!("slots.{name}.{key}"), why));
        let built = [
            (WriterKind::S3, cfg!(feature = "s3"), "s3", "s3"),
            (
                WriterKind::ObjectStore,
                cfg!(feature = "object-store"),
                "object_store",
                "object-store",
            ),
        ];
        for (kind, is_built, writer, feature) in built {
            if self.writer == kind && !self.direct && !is_built {
                let why = format!("{writer:?} needs a build with the feature {feature:?}");
                return invalid("writer", &why);
            }
        }
        let wants_s3 = self.direct || self.writer == WriterKind::S3;
        match &self.s3 {
            None if wants_s3 => return invalid("s3", "is missing"),
            Some(_) if !wants_s3 => {
                return invalid("s3", "is for writer = \"s3\" or direct = true only");
            }
            Some(s3) => s3.check(&format!("slots.{name}.s3"))?,
            None => {}
        }
        let wants_store = !self.direct && self.writer == WriterKind::ObjectStore;
        match &self.object_store {
            None if wants_store => return invalid("object_store", "is missing"),
            Some(_) if !wants_store => {
                return invalid("object_store", "is for writer = \"object_store\" only");
            }
            Some(store) if store.url.is_empty() => {
                return invalid("object_store.url", "is missing");
            }
            Some(store) if self.resumable && !store.can_reopen() => {
                let why = "must be false: unfinished uploads below file:// cannot be gone on with";
                return invalid("resumable", why);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Where a slot's bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriterKind {
    /// Files below `data_dir`.
    File,
    /// A bucket, with a build that has the feature `s3`.
    S3,
    /// A store of the `object_store` crate, with a build that has the feature `object-store`.
    ObjectStore,
    /// Nowhere: for benchmarks.
    Discard,
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
