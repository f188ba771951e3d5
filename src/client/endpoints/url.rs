//! URLs of endpoints.

use url::Url;

use crate::client::transport::request::ApiRequest;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Class;
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

/// The request for several objects by id. In messages, the first id stands for all.
pub(super) fn batch_request(
    base: &Url,
    ids: &[&str],
    fields: &str,
    doing: &'static str,
) -> Result<ApiRequest> {
    let url = endpoint_url(base, &format!("/?ids={}&fields={fields}", ids.join(",")))?;
    let subject = match ids {
        [first, others @ ..] if !others.is_empty() => format!("{first} and {} more", others.len()),
        ids => ids.concat(),
    };
    Ok(ApiRequest { class: Class::Entity, url, doing, subject })
}
