//! What an application decides about uploads by HTTP requests.

use super::{builder::UploadsBuilder, slot_options::SlotOptions};
use crate::http::doors::{DoorOptions, refusal::Door};

/// What the builder collects about the doors.
#[derive(Debug, Default)]
pub(super) struct DoorsBuilder {
    capabilities: Option<bool>,
    public_url: Option<String>,
    form_redirect: Option<String>,
}

impl DoorsBuilder {
    /// Decides what was not said: addresses are capabilities unless the application names owners.
    pub(super) fn build(self, is_anonymous: bool) -> DoorOptions {
        let public_url = self.public_url;
        DoorOptions {
            capabilities: self.capabilities.unwrap_or(is_anonymous),
            public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
            form_redirect: self.form_redirect,
            drains: Default::default(),
        }
    }
}

impl<S> UploadsBuilder<S> {
    /// Tells clients this address of the routes, such as `https://example.org/uploads`.
    ///
    /// The `Location` of an upload begins with it. By default it is a path, which every current client
    /// understands; rclone and some older ones need a whole address.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().public_url("https://example.org/uploads");
    /// ```
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.settings.doors.public_url = Some(url.into());
        self
    }

    /// Sends browsers to this address once their form is stored, such as `/thanks`; clients that do not
    /// ask for a page receive JSON.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().form_redirect("/thanks");
    /// ```
    pub fn form_redirect(mut self, address: impl Into<String>) -> Self {
        self.settings.doors.form_redirect = Some(address.into());
        self
    }

    /// Sets whether an upload that is created over HTTP without a cookie belongs to all who know its
    /// address, which then ends with 128 random bits.
    ///
    /// Programs such as curl and tus clients outside of browsers keep no cookies. On by default, unless
    /// there is an [`owner`](Self::owner) or [`owner_from`](Self::owner_from).
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().capability_urls(false);
    /// ```
    pub fn capability_urls(mut self, on: bool) -> Self {
        self.settings.doors.capabilities = Some(on);
        self
    }
}

impl SlotOptions {
    /// Takes uploads by these HTTP protocols only; by all of them by default.
    ///
    /// WebSockets are not concerned.
    ///
    /// ```
    /// use upload_server::{Door, SlotOptions};
    /// let slot = SlotOptions::new().doors([Door::Tus, Door::Plain]);
    /// ```
    pub fn doors(mut self, doors: impl IntoIterator<Item = Door>) -> Self {
        self.doors = Some(doors.into_iter().collect());
        self
    }
}
