//! URLs of endpoints.

use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::text::without_credentials;

/// Appends a path to a base URL, which may have a path of its own.
pub(crate) fn endpoint_url(base: &Url, path: &str) -> Result<Url> {
    let whole = format!("{}{path}", base.as_str().trim_end_matches('/'));
    Url::parse(&whole).map_err(|error| {
        Error::new(ErrorKind::Usage, "use the URL")
            .with_subject(without_credentials(&whole))
            .with_source(error)
    })
}
