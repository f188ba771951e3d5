//! The kinds of stores.

/// The kind of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    S3,
    Google,
    Azure,
}

/// The kind of store that a URL names, if it is that of a bucket.
pub(super) fn scheme(url: &str) -> Option<Scheme> {
    let (scheme, _) = url.split_once("://")?;
    Some(match scheme.to_ascii_lowercase().as_str() {
        "s3" | "s3a" => Scheme::S3,
        "gs" => Scheme::Google,
        "az" | "azure" | "abfs" | "abfss" => Scheme::Azure,
        _ => return None,
    })
}
