//! What a slot takes, and how much of it.

use std::sync::Arc;

use upload_validate::{ActiveContent, Validator};

use super::SlotOptions;

impl SlotOptions {
    /// Takes only these extensions and types, separated by commas, such as `.jpg,image/*`; empty
    /// for all.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().accept(".jpg,.jpeg,.png,application/pdf");
    /// ```
    pub fn accept(mut self, accept: impl Into<String>) -> Self {
        self.rules.accept = accept.into();
        self
    }

    /// Takes this many files at a time per connection (PROTOCOL CTRL-3); 1 by default.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().max_entries(20);
    /// ```
    pub fn max_entries(mut self, files: u32) -> Self {
        self.rules.max_entries = files;
        self
    }

    /// Takes files of at most this many bytes; 10,000,000 by default.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().max_file_size(50_000_000);
    /// ```
    pub fn max_file_size(mut self, bytes: u64) -> Self {
        self.rules.max_file_size = bytes;
        self
    }

    /// Asks for chunks of this many bytes; 65,536 by default, at most
    /// [`CHUNK_BYTES_MAX`](crate::CHUNK_BYTES_MAX).
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().chunk_size(1024 * 1024);
    /// ```
    pub fn chunk_size(mut self, bytes: u32) -> Self {
        self.rules.chunk_size = bytes;
        self
    }

    /// Sets whether pages send a file as soon as it is picked; on by default.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().auto_upload(false);
    /// ```
    pub fn auto_upload(mut self, auto: bool) -> Self {
        self.rules.auto_upload = auto;
        self
    }

    /// Sets whether uploads outlive their connection (PROTOCOL section 8); off by default.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().resumable(true);
    /// ```
    pub fn resumable(mut self, resumable: bool) -> Self {
        self.rules.resumable = resumable;
        self
    }

    /// Sets whether a resumable upload outlives a closed tab (PROTOCOL RESUME-7); off by default.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().resumable(true).keep_on_leave(true);
    /// ```
    pub fn keep_on_leave(mut self, keep: bool) -> Self {
        self.rules.keep_on_leave = keep;
        self
    }

    /// Sets which files that a browser would run are taken; none by default.
    ///
    /// Serve such files from another origin than your pages. Clients learn only whether there are any, and
    /// leave the rest to the server.
    ///
    /// ```
    /// use upload_server::{SlotOptions, validate::ActiveContent};
    /// let slot = SlotOptions::new().active_content(ActiveContent::All);
    /// ```
    pub fn active_content(mut self, choice: ActiveContent) -> Self {
        self.active_content = choice;
        self
    }

    /// Sets whether all files that a browser would run are taken, or none.
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().allow_active_content(true);
    /// ```
    pub fn allow_active_content(self, allow: bool) -> Self {
        self.active_content(match allow {
            true => ActiveContent::All,
            false => ActiveContent::None,
        })
    }

    /// Sets whether a picture is taken under the name of another kind, if what it is is on the accept list; off by
    /// default.
    ///
    /// It is stored under the extension of what it is, which [`UploadedEntry::safe_client_name`] has as well.
    ///
    /// [`UploadedEntry::safe_client_name`]: crate::UploadedEntry::safe_client_name
    ///
    /// ```
    /// # use upload_server::SlotOptions;
    /// let slot = SlotOptions::new().accept("image/*").any_picture(true);
    /// ```
    pub fn any_picture(mut self, any: bool) -> Self {
        self.any_picture = any;
        self
    }

    /// Adds a check of the first bytes; checks run in the order they were added.
    ///
    /// ```
    /// use upload_server::SlotOptions;
    /// use upload_server::validate::{FileFacts, Head, OwnRefusal, Verdict};
    ///
    /// let slot = SlotOptions::new().validator(|file: &FileFacts<'_>, _: &Head<'_>| match file.size {
    ///     0 => OwnRefusal::new("The file is empty").into(),
    ///     _ => Verdict::Accept,
    /// });
    /// ```
    pub fn validator(mut self, validator: impl Validator + 'static) -> Self {
        self.validators.push(Arc::new(validator));
        self
    }
}
