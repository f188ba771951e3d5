//! Errors of stores: what happened and what to do, without credentials.

use std::error::Error as StdError;

use super::scheme::{Scheme, scheme};
use crate::error::{Error, ErrorKind};
use crate::text::redact;

/// Replaces a secret in a message.
const MASK: &str = "[secret]";

/// Whether an object does not exist. A missing bucket is another error.
pub(super) fn is_missing_object(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
        && !has_code(&full_text(error), &["NoSuchBucket", "ContainerNotFound"])
}

/// Whether an upload in parts does not exist, or no longer.
pub(super) fn is_missing_upload(error: &object_store::Error) -> bool {
    has_code(&full_text(error), &["NoSuchUpload"])
}

/// Whether the store received damaged or too little content. Sending it again helps.
pub(super) fn is_damaged(error: &object_store::Error) -> bool {
    let codes = [
        "BadDigest",
        "XAmzContentSHA256Mismatch",
        "InvalidDigest",
        "Md5Mismatch",
        "RequestTimeout",
        "IncompleteBody",
    ];
    has_code(&full_text(error), &codes)
}

/// Creates the error for an object or a folder.
pub(super) fn to_error(
    doing: &'static str,
    url: &str,
    secrets: &[String],
    error: &object_store::Error,
) -> Error {
    let text = full_text(error);
    let result =
        Error::new(ErrorKind::Io, doing).with_subject(url).with_source(clean(&summary(&text), secrets));
    match hint(url, error, &text) {
        Some(hint) => result.with_hint(hint),
        None => result,
    }
}

/// The error and its causes. May contain credentials.
fn full_text(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text
}

fn has_code(text: &str, codes: &[&str]) -> bool {
    codes.iter().any(|code| text.contains(code))
}

/// The status, code and message of the store's response. The rest of a response may repeat parts of the request.
fn summary(text: &str) -> String {
    let element = |name: &str| {
        let (_, after) = text.split_once(&format!("<{name}>"))?;
        Some(after.split_once('<')?.0.trim()).filter(|value| !value.is_empty())
    };
    let status = text
        .split_once("status code: ")
        .map(|(_, after)| after.split([':', '<', '\n']).next().unwrap_or_default().trim());
    let parts: Vec<_> = [status, element("Code"), element("Message")].into_iter().flatten().collect();
    if parts.len() > 1 || (parts.len() == 1 && text.contains('<')) {
        return parts.join(": ");
    }
    text.split(['<', '\n']).next().unwrap_or_default().trim().to_owned()
}

/// Removes secrets, and the queries of URLs, which may hold a signature.
fn clean(text: &str, secrets: &[String]) -> String {
    let mut clean = redact(text);
    for secret in secrets {
        clean = clean.replace(secret.as_str(), MASK);
    }
    let mut out = String::with_capacity(clean.len());
    let mut rest = clean.as_str();
    while let Some(at) = rest.find("://") {
        let end = rest[at..]
            .find(|c: char| c.is_whitespace() || "()\"'`<>".contains(c))
            .map_or(rest.len(), |end| at + end);
        let (url, after) = rest.split_at(end);
        out.push_str(url.split('?').next().unwrap_or_default());
        rest = after;
    }
    out.push_str(rest);
    out
}

fn hint(url: &str, error: &object_store::Error, text: &str) -> Option<String> {
    let store = scheme(url);
    let variables = match store {
        Some(Scheme::Google) => "GOOGLE_SERVICE_ACCOUNT (a file) or GOOGLE_APPLICATION_CREDENTIALS",
        Some(Scheme::Azure) => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        _ => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    };
    let expired = [
        "ExpiredToken",
        "TokenRefreshRequired",
        "RequestExpired",
        "Signature not valid in the specified time frame",
    ];
    let wrong = [
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidToken",
        "AuthenticationFailed",
        "InvalidAuthenticationInfo",
    ];
    let region = [
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
        "incorrectly configured region",
        "IllegalLocationConstraint",
    ];
    let missing = ["Missing", "CredentialsNotFound", "account must be specified"];
    let metadata = ["metadata.google.internal", "169.254.169.254"];
    Some(if has_code(text, &metadata) {
        // The stores of cloud machines have a service for them, which is asked last.
        format!("no credentials were found: set {variables}, or `--storage-option`")
    } else if has_code(text, &expired) {
        format!(
            "the credentials have expired: renew them ({variables}) and run the same command again to resume"
        )
    } else if has_code(text, &wrong) {
        format!("check the credentials: {variables} in the environment, or `--storage-option`")
    } else if has_code(text, &region) {
        "set the region of the bucket: AWS_REGION, or `--storage-option aws_region=…`".to_owned()
    } else if has_code(text, &["NoSuchBucket", "ContainerNotFound"]) {
        "check the name of the bucket, its region and the endpoint (AWS_REGION, AWS_ENDPOINT_URL); streetflow does not create buckets".to_owned()
    } else if has_code(text, &missing) {
        format!("no credentials were found: set {variables}, or `--storage-option`")
    } else if matches!(error, object_store::Error::PermissionDenied { .. }) {
        "the credentials need permission to list the bucket, and to read, write and delete objects below this name".to_owned()
    } else if matches!(error, object_store::Error::Unauthenticated { .. }) {
        format!("check the credentials: {variables} in the environment, or `--storage-option`")
    } else if has_code(text, &["SlowDown", "ServerBusy", "503 ", "429 "]) {
        "the store is overloaded: wait, then run the same command again to resume, with a lower `--concurrency`".to_owned()
    } else if text.contains("URL scheme is not allowed") || text.contains("BadScheme") {
        "an `http://` endpoint needs AWS_ALLOW_HTTP=true, or `--storage-option allow_http=true`".to_owned()
    } else if has_code(text, &["HTTP error", "error sending request", "timed out"]) {
        "check the network and the endpoint (AWS_ENDPOINT_URL), then run the same command again to resume"
            .to_owned()
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn responses_are_shortened_to_code_and_message_and_secrets_are_masked() {
        let body = "Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><Message>The signature of hunter2hunter2 does not match</Message><AWSAccessKeyId>AKIA123456</AWSAccessKeyId><StringToSign>AWS4 x</StringToSign></Error>";
        let found = to_error("write", "s3://b/k", &["hunter2hunter2".to_owned()], &error(body));
        let text = found.chain();
        assert!(
            text.contains("403 Forbidden: SignatureDoesNotMatch: The signature of [secret] does not match"),
            "{text}"
        );
        assert!(!text.contains("AKIA") && !text.contains("AWS4") && text.contains("s3://b/k"), "{text}");
        assert!(found.hint().is_some_and(|hint| hint.contains("AWS_ACCESS_KEY_ID")));
    }

    #[test]
    fn queries_of_urls_are_removed() {
        let text = clean(
            "error sending request for url (https://a.blob.test/c/k?sv=1&sig=abc%3D) to http://b?x, and more?",
            &[],
        );
        assert_eq!(text, "error sending request for url (https://a.blob.test/c/k) to http://b and more?");
    }

    #[test]
    fn each_cause_has_its_hint() {
        for (text, expected) in [
            ("status code: 400 Bad Request: <Code>ExpiredToken</Code>", "expired"),
            ("status code: 404 Not Found: <Code>NoSuchBucket</Code>", "name of the bucket"),
            (
                "Received redirect without LOCATION, this normally indicates an incorrectly configured region",
                "AWS_REGION",
            ),
            ("status code: 503 Service Unavailable: <Code>SlowDown</Code>", "overloaded"),
            ("HTTP error: error sending request", "network"),
            ("Error performing PUT http://169.254.169.254/latest/api/token", "no credentials"),
        ] {
            let hint = hint("s3://b", &error(text), text).unwrap_or_default();
            assert!(hint.contains(expected), "{text}: {hint}");
        }
    }
}
