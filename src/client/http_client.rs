//! HTTP clients: TLS, user agent, proxy.

use std::time::Duration;

use reqwest::redirect::Policy;
use url::{Host, Url};

use crate::client::transport::proxy;
use crate::client::transport::tls::Tls;
use crate::error::{Error, ErrorKind, Result};

/// Whether a URL belongs to Mapillary, where requests are limited.
pub fn is_mapillary(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host == "mapillary.com" || host.ends_with(".mapillary.com"))
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Creates an HTTP client for a host other than Mapillary's: without a token and without redirects.
pub(crate) fn web_client(url: &Url, connect_timeout: Duration) -> Result<reqwest::Client> {
    let builder = http_client(&Tls::new(), &["h2", "http/1.1"])?;
    let builder = if is_loopback(url) {
        builder.no_proxy()
    } else {
        proxy::check_environment()?;
        builder
    };
    finish(builder.redirect(Policy::none()).connect_timeout(connect_timeout))
}

pub(super) fn http_client(tls: &Tls, protocols: &[&str]) -> Result<reqwest::ClientBuilder> {
    let config = tls.config(protocols).map_err(|error| setup_error(error.into()))?;
    let builder = reqwest::Client::builder().tls_backend_preconfigured(config);
    Ok(builder.user_agent(concat!("streetflow/", env!("CARGO_PKG_VERSION"))))
}

pub(super) fn finish(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    builder.build().map_err(|error| setup_error(error.without_url().into()))
}

fn setup_error(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::new(ErrorKind::Usage, "set up the HTTP client").with_source(error)
}
