//! Finds the error in a response. The body counts more than the status, because the API's statuses are misleading.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};

use super::retry::DEFAULT_LIMIT_WAIT;
use crate::client::wire::graph_error::GraphError;
use crate::error::{Error, ErrorKind};
use crate::observe::Class;
use crate::text::{is_shown, redact};

/// The longest message of a server in an error, in characters.
const MAX_MESSAGE_LEN: usize = 300;

/// The status and the headers of a response that matter here.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<Duration>,
}

impl ResponseHead {
    pub(crate) fn from_response(response: &reqwest::Response) -> Self {
        let headers = response.headers();
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Self {
            status: response.status().as_u16(),
            content_type: content_type.unwrap_or_default().to_ascii_lowercase(),
            retry_after: retry_after(headers),
        }
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Parses the header `Retry-After`: seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()
}

/// Returns the error in a response, if there is one. `body` may be cut only if the status is not 2xx.
pub(crate) fn classify(class: Class, head: &ResponseHead, body: &[u8]) -> Option<Error> {
    let graph_error = GraphError::find(body);
    let (kind, why) = match &graph_error {
        Some(error) => (kind_by_code(head.status, error), sanitize(error.message())),
        None => kind_by_status(class, head, body)?,
    };
    let retry_after = head.retry_after.or_else(|| {
        let is_limit = graph_error.is_some_and(|error| is_rate_limit(error.code()));
        is_limit.then_some(DEFAULT_LIMIT_WAIT)
    });
    let why = if why.is_empty() { format!("status {}", head.status) } else { why };
    let error = Error::new(kind, "").with_source(why).with_status(head.status);
    Some(match kind {
        ErrorKind::RateLimited | ErrorKind::Unavailable => error.with_retry_after(retry_after),
        ErrorKind::Auth => error.with_hint(
            "the token was refused: set a valid one in MAPILLARY_TOKEN (https://www.mapillary.com/dashboard/developers)",
        ),
        ErrorKind::Blocked if class == Class::Tile => error.with_hint(
            "Mapillary's tile host has blocked this IP address, usually for about a day, and each request extends the block: run the same command again tomorrow",
        ),
        ErrorKind::Blocked => {
            error.with_hint("Mapillary has blocked this IP address or token temporarily; try again tomorrow")
        }
        _ => error,
    })
}

/// Whether a code of the Graph API means that a rate limit was exceeded.
fn is_rate_limit(code: i64) -> bool {
    matches!(code, 4 | 17 | 32 | 613)
}

fn kind_by_code(status: u16, error: &GraphError) -> ErrorKind {
    match (error.code(), error.subcode()) {
        (190, _) => ErrorKind::Auth,
        (368, _) => ErrorKind::Blocked,
        (100, 33) => ErrorKind::Gone,
        (100, _) => ErrorKind::Rejected,
        (code, _) if is_rate_limit(code) => ErrorKind::RateLimited,
        (1, _) if error.message().contains("reduce") => ErrorKind::TooLarge,
        (-2 | 2, _) => ErrorKind::Unavailable,
        _ if status == 429 => ErrorKind::RateLimited,
        _ if error.is_transient() || status >= 500 || status == 408 => ErrorKind::Unavailable,
        _ => ErrorKind::Rejected,
    }
}

fn kind_by_status(class: Class, head: &ResponseHead, body: &[u8]) -> Option<(ErrorKind, String)> {
    let status = head.status;
    let is_page = is_page(class, head, body);
    let why = |text: &str| format!("status {status}: {text}");
    Some(match (class, status) {
        (_, 429) => (ErrorKind::RateLimited, why("too many requests")),
        (_, 408 | 500..=u16::MAX) => (ErrorKind::Unavailable, why("server error")),
        (Class::Tile | Class::Entity | Class::Search, 300..=399) => {
            (ErrorKind::Blocked, why("redirected to the login page"))
        }
        (Class::Tile, 400 | 401 | 403) => (ErrorKind::Auth, why("the token was refused")),
        // Seen on a tile that later had two million features, so it counts as temporary.
        (Class::Tile, 404) => (ErrorKind::Unavailable, why("tile not found, possibly temporarily")),
        (Class::Tile, _) if is_page => (ErrorKind::Blocked, why("a web page instead of a tile")),
        (Class::Entity | Class::Search, 401) => (ErrorKind::Auth, why("the token was refused")),
        // An error object that can't be parsed may mean anything.
        (Class::Entity | Class::Search, 400..=499) if body.trim_ascii_start().starts_with(b"{") => {
            (ErrorKind::Malformed, why("the response is cut off"))
        }
        (Class::Entity | Class::Search, 200) if is_page => {
            (ErrorKind::Malformed, "a web page instead of JSON".into())
        }
        (_, 200..=299) => return None,
        _ => (ErrorKind::Rejected, why(&excerpt(body))),
    })
}

/// Whether a body is HTML or XML, or JSON instead of a tile. An empty body is not a page.
fn is_page(class: Class, head: &ResponseHead, body: &[u8]) -> bool {
    let is_tile = class == Class::Tile;
    let is_page_type =
        ["text/html", "text/xml", "application/xml"].iter().any(|kind| head.content_type.starts_with(kind))
            || is_tile && head.content_type.starts_with("application/json");
    match body.trim_ascii_start().first() {
        Some(b'<') => true,
        Some(b'{') if is_tile => true,
        first => is_page_type && first.is_some(),
    }
}

/// Makes a server's message safe to print: one line without tokens, of bounded length.
fn sanitize(text: &str) -> String {
    let line: String =
        text.chars().take(MAX_MESSAGE_LEN).map(|c| if is_shown(c) { c } else { ' ' }).collect();
    redact(line.trim())
}

fn excerpt(body: &[u8]) -> String {
    match body.trim_ascii_start().first() {
        None => "refused".to_owned(),
        Some(b'<') => "refused with a web page".to_owned(),
        Some(_) => sanitize(&String::from_utf8_lossy(&body[..body.len().min(MAX_MESSAGE_LEN)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(class: Class, status: u16, body: &str) -> Option<ErrorKind> {
        let head = ResponseHead { status, ..ResponseHead::default() };
        classify(class, &head, body.as_bytes()).map(|error| error.kind())
    }

    fn envelope(code: i64, subcode: i64, message: &str) -> String {
        format!(
            r#"{{"error":{{"message":"{message}","type":"MLYApiException","code":{code},"error_subcode":{subcode},"fbtrace_id":"A"}}}}"#
        )
    }

    #[test]
    fn the_body_counts_more_than_the_status() {
        use ErrorKind::{Auth, Blocked, Gone, RateLimited, Rejected, TooLarge, Unavailable};
        for (status, code, subcode, message, expected) in [
            (500, 190, 0, "Invalid OAuth 2.0 Access Token", Auth),
            (401, 190, 0, "Failed to decode", Auth),
            (400, 190, 0, "Error validating application", Auth),
            (200, 190, 0, "hidden in a success", Auth),
            (400, 100, 33, "Unsupported get request", Gone),
            (500, 100, 0, "Tried accessing nonexisting field (x)", Rejected),
            (500, 1, 0, "Please reduce the amount of data", TooLarge),
            (500, 1, 0, "An unknown error occurred", Unavailable),
            (500, 2, 0, "Service temporarily unavailable", Unavailable),
            (400, -2, 3_404_014, "Timeout", Unavailable),
            (403, 4, 0, "Application request limit reached", RateLimited),
            (400, 368, 1_348_007, "log in to see this page", Blocked),
            (400, 613, 0, "rate", RateLimited),
            (400, 99, 0, "never seen", Rejected),
            (200, 0, 0, "hidden and without a code", Rejected),
        ] {
            let body = envelope(code, subcode, message);
            assert_eq!(kind(Class::Entity, status, &body), Some(expected), "{status} {body}");
        }
    }

    #[test]
    fn statuses_of_the_tile_host() {
        use ErrorKind::{Auth, Blocked, RateLimited, Unavailable};
        for (status, body, expected) in [
            (200, "", None),
            (204, "", None),
            (200, "\u{1a}\u{5}", None),
            (302, "", Some(Blocked)),
            (200, "<!doctype html>", Some(Blocked)),
            (200, "{\"a\":1}", Some(Blocked)),
            (401, "", Some(Auth)),
            (403, "no", Some(Auth)),
            (404, "", Some(Unavailable)),
            (404, "<html>", Some(Unavailable)),
            (429, "<?xml", Some(RateLimited)),
            (503, "<html>", Some(Unavailable)),
        ] {
            assert_eq!(kind(Class::Tile, status, body), expected, "{status} {body:?}");
        }
    }

    #[test]
    fn pages_and_refusals_of_other_hosts() {
        assert_eq!(kind(Class::Entity, 200, "<html>"), Some(ErrorKind::Malformed));
        assert_eq!(kind(Class::Search, 302, ""), Some(ErrorKind::Blocked));
        assert_eq!(kind(Class::Picture, 403, "URL signature expired"), Some(ErrorKind::Rejected));
        assert_eq!(kind(Class::Picture, 502, "<html>"), Some(ErrorKind::Unavailable));
        assert_eq!(kind(Class::Search, 200, r#"{"data":[{"make":"\"error\""}]}"#), None);
    }

    #[test]
    fn an_error_object_of_another_shape_is_still_an_error() {
        assert_eq!(
            kind(Class::Entity, 500, r#"{"error":{"code":"190","message":null}}"#),
            Some(ErrorKind::Auth)
        );
        assert_eq!(kind(Class::Entity, 200, r#"{"error":"something"}"#), Some(ErrorKind::Rejected));
        let gone = r#"{"error":{"code":100,"error_subcode":33,"is_transient":"no"}}"#;
        assert_eq!(kind(Class::Entity, 400, gone), Some(ErrorKind::Gone));
        assert_eq!(kind(Class::Entity, 200, r#"{"error":null,"id":"1"}"#), None);
    }

    #[test]
    fn a_rate_limit_without_retry_after_waits_a_minute() {
        let head = ResponseHead { status: 403, ..ResponseHead::default() };
        let limit = classify(Class::Entity, &head, envelope(4, 0, "limit").as_bytes()).expect("an error");
        assert_eq!(limit.retry_after(), Some(Duration::from_mins(1)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let headers = |text: &str| HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a header"))]);
        assert_eq!(retry_after(&headers(" 7 ")), Some(Duration::from_secs(7)));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        let wait = retry_after(&headers(&soon)).expect("a date");
        assert!((80..=90).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:49:37 GMT")), None, "a date in the past");
        assert_eq!(retry_after(&headers("soon")), None);
    }
}
