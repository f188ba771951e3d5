//! Opens a bucket from its URL, the environment and options.

use std::str::FromStr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path as Key;
use object_store::{BackoffConfig, RetryConfig};
use url::Url;

use super::scheme::{Scheme, scheme};
use super::{Bucket, Inner, Store, error};
use crate::error::{Error, ErrorKind, Result};

/// Words in the names of options that are not secret. All others count as secret.
const PUBLIC_WORDS: [&str; 19] = [
    "region",
    "endpoint",
    "base_url",
    "part_size",
    "bucket",
    "container",
    "account_name",
    "allow_http",
    "virtual_hosted",
    "timeout",
    "proxy_excludes",
    "checksum",
    "conditional",
    "unsigned",
    "skip_signature",
    "use_emulator",
    "express",
    "payer",
    "http1",
];

/// Whether the value of an option of [`Bucket::open`] must not be shown.
///
/// ```
/// use streetflow::storage::is_secret_option;
///
/// assert!(is_secret_option("aws_secret_access_key") && !is_secret_option("aws_region"));
/// ```
pub fn is_secret_option(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !PUBLIC_WORDS.iter().any(|word| name.contains(word))
}

/// The option of uploads that is ours.
const PART_SIZE: &str = "part_size";

/// Length of a part in bytes. S3 allows 10,000 parts of at least 5 MiB, so a table may have 160 GB.
pub(super) const PART_LEN: usize = 16 << 20;

/// Bounds of the option.
const PART_LENGTHS: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 30;

/// The prefixes of variables that stores read.
const VARIABLES: [&str; 4] = ["AWS_", "AZURE_", "GOOGLE_", "SERVICE_ACCOUNT"];

/// The shortest value that counts as a secret: shorter ones would mask ordinary words.
const MIN_SECRET_LEN: usize = 6;

impl Bucket {
    /// Opens a bucket, or a folder in it. Sends no request.
    ///
    /// Credentials, region and endpoint come from the environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`) and from `options`,
    /// which have the same names and win. The option `part_size` is the length of a part of a large object in bytes. An
    /// unknown option is a usage error.
    pub fn open(url: &str, options: &[(String, String)]) -> Result<Self> {
        let reject = |why: String| {
            Error::new(ErrorKind::Usage, "open the bucket")
                .with_subject(crate::text::without_credentials(url))
                .with_source(why)
        };
        let scheme = scheme(url).ok_or_else(|| reject("it is not `s3://`, `gs://` or `az://`".to_owned()))?;
        let parsed = Url::parse(url).map_err(|error| reject(error.to_string()))?;
        if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() {
            return Err(reject("a URL of a bucket has no user, password or query".to_owned())
                .with_hint("set credentials in the environment or with `--storage-option`"));
        }
        let name = parsed.host_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| reject("it names no bucket".to_owned()))?;
        let folder = Key::from_url_path(parsed.path()).map_err(|error| reject(error.to_string()))?;
        // Its TLS has no provider of its own.
        rustls::crypto::ring::default_provider().install_default().ok();
        let secrets = secrets(options);
        let (part_len, options) = &split_part_size(options).map_err(reject)?;
        let built: Result<Box<dyn Store>> = match scheme {
            Scheme::S3 => {
                let builder = AmazonS3Builder::from_env().with_retry(retry()).with_bucket_name(name);
                let with = |builder: AmazonS3Builder, key: AmazonS3ConfigKey, value: &str| {
                    builder.with_config(key, value)
                };
                let builder = configure(builder, options, "aws_", with).map_err(reject)?;
                builder
                    .build()
                    .map(|store| Box::new(store) as _)
                    .map_err(|error| unusable(url, &secrets, &error))
            }
            Scheme::Google => {
                let builder =
                    GoogleCloudStorageBuilder::from_env().with_retry(retry()).with_bucket_name(name);
                let with = |builder: GoogleCloudStorageBuilder, key: GoogleConfigKey, value: &str| {
                    builder.with_config(key, value)
                };
                let builder = configure(builder, options, "google_", with).map_err(reject)?;
                builder
                    .build()
                    .map(|store| Box::new(store) as _)
                    .map_err(|error| unusable(url, &secrets, &error))
            }
            Scheme::Azure => {
                let builder = MicrosoftAzureBuilder::from_env().with_retry(retry()).with_container_name(name);
                let with = |builder: MicrosoftAzureBuilder, key: AzureConfigKey, value: &str| {
                    builder.with_config(key, value)
                };
                let builder = configure(builder, options, "azure_", with).map_err(reject)?;
                builder
                    .build()
                    .map(|store| Box::new(store) as _)
                    .map_err(|error| unusable(url, &secrets, &error))
            }
        };
        let root = format!("{}://{name}", parsed.scheme());
        let inner = Inner {
            store: built?,
            root,
            secrets,
            part_len: *part_len,
            uploaded: AtomicU64::new(0),
            revoked: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner), folder })
    }
}

/// The length of a part, and the options of the store.
fn split_part_size(
    options: &[(String, String)],
) -> std::result::Result<(usize, Vec<(String, String)>), String> {
    let is_ours = |(name, _): &&(String, String)| name.trim().eq_ignore_ascii_case(PART_SIZE);
    let len = match options.iter().rfind(is_ours) {
        Some((_, value)) => value.trim().parse().ok().filter(|len| PART_LENGTHS.contains(len)),
        None => Some(PART_LEN),
    };
    let len = len.ok_or_else(|| {
        format!("`{PART_SIZE}` is a number of bytes from {} to {}", PART_LENGTHS.start(), PART_LENGTHS.end())
    })?;
    Ok((len, options.iter().filter(|option| !is_ours(option)).cloned().collect()))
}

fn retry() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(300), ..BackoffConfig::default() };
    RetryConfig { max_retries: 20, backoff, ..RetryConfig::default() }
}

/// Sets all options on a builder. `prefix` may be left out of their names.
fn configure<B, K: FromStr>(
    builder: B,
    options: &[(String, String)],
    prefix: &str,
    with: impl Fn(B, K, &str) -> B,
) -> std::result::Result<B, String> {
    options.iter().try_fold(builder, |builder, (name, value)| {
        let lower = name.trim().to_ascii_lowercase();
        let key = lower.parse().or_else(|_| format!("{prefix}{lower}").parse());
        match key {
            Ok(key) => Ok(with(builder, key, value)),
            Err(_) => Err(format!("this store has no option `{name}`")),
        }
    })
}

/// The error for a configuration that is incomplete or contradicts itself.
fn unusable(url: &str, secrets: &[String], error: &object_store::Error) -> Error {
    error::to_error("open the bucket", url, secrets, error).with_kind(ErrorKind::Usage)
}

/// The secret values of options and environment.
fn secrets(options: &[(String, String)]) -> Vec<String> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let variables = variables.filter(|(name, _)| VARIABLES.iter().any(|prefix| name.starts_with(prefix)));
    let all = options.iter().cloned().chain(variables);
    let secret = all.filter(|(name, value)| value.len() >= MIN_SECRET_LEN && is_secret_option(name));
    let mut secrets: Vec<_> = secret.map(|(_, value)| value).collect();
    // A longer one may contain a shorter one.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(options: &[(&str, &str)]) -> Vec<(String, String)> {
        options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn urls_without_a_bucket_and_unknown_options_are_usage_errors() {
        for url in [
            "outputs",
            "s3://",
            "s3:///x",
            "http://bucket/x",
            "s3://me:secret@bucket/x",
            "s3://bucket/x?sig=secret",
        ] {
            let error = Bucket::open(url, &[]).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::Usage, "{url}");
            assert!(!format!("{error:?} {}", error.chain()).contains("secret@"), "{url}");
        }
        for size in ["", "0", "16MiB", "99999999999"] {
            let error = Bucket::open("s3://b", &options(&[("part_size", size)])).expect_err(size);
            assert!(error.chain().contains("number of bytes"), "{}", error.chain());
        }
        let error =
            Bucket::open("s3://b", &options(&[("aws_secret", "hunter2hunter2")])).expect_err("unknown");
        assert!(
            error.chain().contains("no option `aws_secret`") && !error.chain().contains("hunter2"),
            "{}",
            error.chain()
        );
    }

    #[test]
    fn options_may_omit_the_name_of_the_store() {
        for url in ["s3://b/x", "s3a://b/x"] {
            let bucket = Bucket::open(
                url,
                &options(&[
                    ("region", "eu-west-1"),
                    ("AWS_ACCESS_KEY_ID", "abcdefgh"),
                    ("secret_access_key", "ijklmnop"),
                ]),
            );
            let bucket = bucket.expect("opened");
            assert_eq!(bucket.url(), url);
            assert!(!format!("{bucket:?}").contains("ijklmnop"));
        }
    }

    #[test]
    fn unknown_names_count_as_secret() {
        for name in [
            "aws_secret_access_key",
            "AWS_SESSION_TOKEN",
            "azure_storage_sas_key",
            "account_key",
            "google_service_account_key",
            "aws_access_key_id",
            "new",
        ] {
            assert!(is_secret_option(name), "{name}");
        }
        assert!(!is_secret_option("AWS_ENDPOINT_URL") && !is_secret_option("azure_storage_account_name"));
    }
}
