//! `[slots.NAME]`: the rules of a slot and where its bytes go.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde::Deserialize;
use upload_validate::{Accept, ActiveContent, Rules};
use upload_writers::{DiscardWriterFactory, WriterFactory};

use super::{ConfigError, DoorKind, ObjectStoreConfig, S3Config, Size, StoreKind};
use crate::{
    app::slot_options::{SlotDefaults, SlotOptions},
    http::demo::DemoSlot,
};

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
    /// Which files that a browser would run are taken: `"xml"` is XML that is data, `"all"` is all of them.
    pub active_content: Vec<ActiveContentKind>,
    /// The older form of `active_content`: `true` for `["all"]`.
    pub allow_active_content: Option<bool>,
    /// Whether a picture is taken under the name of another kind, and stored under the extension of what it is.
    pub any_picture: bool,
    /// Protocols by which HTTP requests may upload; all when empty.
    pub doors: Vec<DoorKind>,
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
    /// The demo page's heading for the slot; its name by default.
    pub title: Option<String>,
    /// What the demo page says below the heading; the slot's rules by default.
    pub hint: Option<String>,
    /// The words on the demo page's button.
    pub label: Option<String>,
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
            active_content: Vec::new(),
            allow_active_content: None,
            any_picture: false,
            doors: Vec::new(),
            writer: WriterKind::File,
            store: None,
            direct: false,
            s3: None,
            object_store: None,
            title: None,
            hint: None,
            label: None,
        }
    }
}

impl SlotConfig {
    /// Checks the slot without making anything.
    pub(super) fn check(&self, name: &str) -> Result<(), ConfigError> {
        self.check_storage(name)?;
        if self.allow_active_content.is_some() && !self.active_content.is_empty() {
            let key = format!("slots.{name}.allow_active_content");
            return Err(ConfigError::invalid(
                &key,
                "and active_content exclude each other",
            ));
        }
        let nowhere = SlotDefaults {
            writers: Arc::new(DiscardWriterFactory),
            data_dir: PathBuf::new(),
            authorize: None,
            on_upload_complete: None,
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

    /// Returns which active content the slot takes, by the key that says so.
    fn active_content(&self) -> ActiveContent {
        let takes_all = self.active_content.contains(&ActiveContentKind::All);
        match self.active_content.is_empty() {
            _ if takes_all || self.allow_active_content == Some(true) => ActiveContent::All,
            true => ActiveContent::None,
            false => ActiveContent::Xml,
        }
    }

    /// Returns what the slot's keys say and probably do not mean, each with the key it is about.
    pub(super) fn warnings(&self) -> Vec<(&'static str, String)> {
        let mut warnings = Vec::new();
        if let Some(allow) = self.allow_active_content {
            let new = if allow { "[\"all\"]" } else { "[]" };
            let text = format!("is the older form of active_content = {new}");
            warnings.push(("allow_active_content", text));
        }
        if self.any_picture && self.direct {
            let text = "does nothing with direct = true: the server does not see the files";
            warnings.push(("any_picture", text.to_owned()));
        }
        let Ok(accept) = Accept::parse(&self.accept) else {
            return warnings;
        };
        let rules = Rules::new(accept).active_content(self.active_content());
        for entry in rules.idle_entries() {
            let why = match entry.starts_with('.') {
                true => "such files are active content, which active_content does not allow",
                false => "no extension that may enter has this type; name the extension",
            };
            warnings.push(("accept", format!("{entry:?} takes no file: {why}")));
        }
        warnings
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
            .active_content(self.active_content())
            .any_picture(self.any_picture)
            .consume_on_complete(true);
        let options = match self.doors.is_empty() {
            true => options,
            false => options.doors(self.doors.iter().map(|door| door.door())),
        };
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

/// What a slot may take of the files that a browser would run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActiveContentKind {
    /// XML that is data.
    Xml,
    /// Everything.
    All,
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

/// Returns what the demo page shows of these slots.
pub(super) fn shown(slots: &BTreeMap<String, SlotConfig>) -> Vec<DemoSlot> {
    slots
        .iter()
        .map(|(name, slot)| DemoSlot {
            name: name.clone(),
            title: slot.title.clone(),
            hint: slot.hint.clone(),
            label: slot.label.clone(),
        })
        .collect()
}

/// Returns the slots of the demo page.
pub(super) fn demo() -> BTreeMap<String, SlotConfig> {
    let slot = |title: &str, accept: &str, max_entries, max_file_size, resumable| SlotConfig {
        title: Some(title.to_owned()),
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
    let slots = [
        ("avatar", slot("Avatar", images, 1, 5 * MB, false)),
        ("photos", slot("Photos", images, 20, 50 * MB, true)),
        (
            "documents",
            slot("Documents", documents, 10, 200 * MB, true),
        ),
        ("video", slot("Videos", video, 4, 8_000 * MB, true)),
    ];
    slots.map(|(name, slot)| (name.to_owned(), slot)).into()
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format, Toml},
    };

    use crate::config::{Config, ConfigError};

    fn read(toml: &str) -> Result<Config, ConfigError> {
        Config::read(&Figment::new().merge(Toml::string(toml)))
    }

    fn refused(toml: &str) -> String {
        read(toml).expect_err("refused").to_string()
    }

    #[test]
    fn entries_that_take_no_file_and_older_keys_are_warned_of() {
        let warnings = |slot: &str| {
            let config = read(&format!("[slots.a]\n{slot}\n")).expect("good");
            config.warnings()
        };
        assert_eq!(warnings("accept = \".jpg,image/*\""), [""; 0]);
        assert_eq!(
            warnings("accept = \".gpx\"\nactive_content = [\"xml\"]"),
            [""; 0]
        );
        for (slot, expected) in [
            (
                "accept = \".svg\"",
                "slots.a.accept: \".svg\" takes no file",
            ),
            (
                "accept = \".html,.jpg\"",
                "slots.a.accept: \".html\" takes no file",
            ),
            (
                "accept = \".svg\"\nactive_content = [\"xml\"]",
                "slots.a.accept: \".svg\" takes no file",
            ),
            (
                "accept = \"application/x-ours\"",
                "slots.a.accept: \"application/x-ours\" takes no file",
            ),
            (
                "allow_active_content = true",
                "slots.a.allow_active_content: is the older form of active_content = [\"all\"]",
            ),
            (
                "allow_active_content = false",
                "slots.a.allow_active_content: is the older form of active_content = []",
            ),
        ] {
            let found = warnings(slot);
            assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{slot}: {found:?}"
            );
        }
        let both = refused("[slots.a]\nallow_active_content = true\nactive_content = [\"xml\"]");
        assert!(both.contains("exclude each other"), "{both}");
        assert!(refused("[slots.a]\nactive_content = [\"svg\"]").contains("svg"));
    }
}
