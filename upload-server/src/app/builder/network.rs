//! Settings of who may connect, and of what is believed about a request.

use std::path::PathBuf;

use super::UploadsBuilder;

impl<S> UploadsBuilder<S> {
    /// Remembers in this directory which of S3's events were taken, so that repetitions after a
    /// restart fire nothing; in memory by default. One process at a time has it.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().state_dir("/var/lib/app/uploads");
    /// ```
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.settings.state_dir = Some(dir.into());
        self
    }

    /// Signs cookies with this secret, at least 32 bytes of it.
    ///
    /// Without one, it is made once and kept in `data_dir`, readable by its owner only.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().secret([7; 32]);
    /// ```
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.settings.secret = Some(secret.into());
        self
    }

    /// Reads cookies that were signed with one of these secrets too, and issues them anew with
    /// [`secret`](Self::secret): so a secret is changed without making every visitor somebody else.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().secret([8; 32]).previous_secrets([[7; 32]]);
    /// ```
    pub fn previous_secrets<B: Into<Vec<u8>>>(
        mut self,
        secrets: impl IntoIterator<Item = B>,
    ) -> Self {
        self.settings.previous_secrets = secrets.into_iter().map(Into::into).collect();
        self
    }

    /// Answers 421 to requests whose `Host` is none of these names, an IP address, `localhost` or a
    /// name below it: against DNS rebinding (PROTOCOL CONN-1). Without this call, any host is
    /// answered.
    ///
    /// The routers of [`Uploads`](crate::Uploads) are guarded by themselves, others by
    /// [`Uploads::guard_hosts`](crate::Uploads::guard_hosts).
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().allowed_hosts(["uploads.example.org"]);
    /// ```
    pub fn allowed_hosts<B: Into<String>>(mut self, hosts: impl IntoIterator<Item = B>) -> Self {
        self.settings.allowed_hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// Believes the `X-Forwarded-*` of proxies at these addresses and networks, such as
    /// `10.0.0.0/8`; replaces [`trust_proxy`](Self::trust_proxy).
    ///
    /// Where several stand in a row, the word of the outermost one counts. The server has to say
    /// who connects, with axum's `ConnectInfo<SocketAddr>`; [`serve`](crate::serve) does.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().trusted_proxies(["10.0.0.0/8"]);
    /// ```
    pub fn trusted_proxies<B: Into<String>>(
        mut self,
        proxies: impl IntoIterator<Item = B>,
    ) -> Self {
        self.settings.trusted_proxies = proxies.into_iter().map(Into::into).collect();
        self
    }

    /// Believes `X-Forwarded-Proto`; only behind a single proxy that sets it. Off by default.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().trust_proxy(true);
    /// ```
    pub fn trust_proxy(mut self, trust: bool) -> Self {
        self.settings.trust_proxy = trust;
        self
    }

    /// Takes every request for one that came by HTTPS, for servers that speak TLS themselves: cookies
    /// are `Secure`, and pages that came by HTTP are not of the same host.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().secure_cookie(true);
    /// ```
    pub fn secure_cookie(mut self, secure: bool) -> Self {
        self.settings.secure_cookie = secure;
        self
    }

    /// Lets pages of these origins connect; none for the same host, `"*"` for any (PROTOCOL CONN-1).
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().allowed_origins(["https://app.example.org"]);
    /// ```
    pub fn allowed_origins<B: Into<String>>(
        mut self,
        origins: impl IntoIterator<Item = B>,
    ) -> Self {
        self.settings.allowed_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether requests without `Origin`, which are no browser's, are refused; off by default.
    ///
    /// ```
    /// # use upload_server::Uploads;
    /// let builder = Uploads::builder().require_origin(true);
    /// ```
    pub fn require_origin(mut self, require: bool) -> Self {
        self.settings.require_origin = require;
        self
    }
}
