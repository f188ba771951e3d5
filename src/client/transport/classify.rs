//! What an answer means: by its body first, for the API's statuses mislead.

use std::time::Duration;

use serde::Deserialize;

use crate::client::class::Class;
use crate::client::transport::retry::LIMIT_WAIT;
use crate::client::wire::lenient::Soft;
use crate::error::{Error, ErrorKind};
use crate::text::is_shown;
use crate::text::redact;

/// The API's error envelope; its other keys come and go.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    error: Soft<Said>,
}

/// What is there, in whatever type: an error of a new shape is still an error.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Said {
    message: Soft<String>,
    code: Soft<Number>,
    error_subcode: Soft<Number>,
    is_transient: Soft<bool>,
}

impl Said {
    pub(crate) fn with(message: Option<String>) -> Self {
        Self { message: Soft(message), ..Self::default() }
    }

    fn message(&self) -> &str {
        self.message.0.as_deref().unwrap_or_default()
    }
}

/// A code, perhaps in text.
#[derive(Clone, Copy)]
pub(crate) struct Number(pub(crate) i64);

/// The outside of an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outside {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<Duration>,
}

/// What is wrong with an answer, if something is. `body` may be the beginning only where the status is bad.
pub(crate) fn classify(class: Class, outside: &Outside, body: &[u8]) -> Option<Error> {
    let said = envelope(body);
    let (kind, why) = match &said {
        Some(said) => (by_code(outside.status, said), tidy(said.message())),
        None => by_status(class, outside, body)?,
    };
    let waits = outside.retry_after.or_else(|| {
        let limited = said.is_some_and(|said| matches!(code(&said.code), 4 | 17 | 32 | 613));
        limited.then_some(LIMIT_WAIT)
    });
    let why = if why.is_empty() { format!("status {}", outside.status) } else { why };
    let error = Error::new(kind, "").with_source(why).with_status(outside.status);
    Some(match kind {
        ErrorKind::RateLimited | ErrorKind::Unavailable => error.with_retry_after(waits),
        ErrorKind::Auth => error.with_hint(
            "the token was refused: set a working one in MAPILLARY_TOKEN (https://www.mapillary.com/dashboard/developers)",
        ),
        ErrorKind::Blocked if class == Class::Tile => error.with_hint(
            "Mapillary has blocked this address on its tile host; that lasts about a day, and every request prolongs it: run the same command again tomorrow",
        ),
        ErrorKind::Blocked => error.with_hint("Mapillary blocks this address or token for now; try again tomorrow"),
        _ => error,
    })
}

/// An error can hide in a 200, so every JSON body is looked into; one that never says "error" needs no parsing.
fn envelope(body: &[u8]) -> Option<Said> {
    let json = body.trim_ascii_start();
    let may_be = json.first() == Some(&b'{') && memchr::memmem::find(json, b"\"error\"").is_some();
    may_be.then(|| serde_json::from_slice::<Envelope>(json).ok()?.error.0).flatten()
}

fn code(number: &Soft<Number>) -> i64 {
    number.0.map_or(0, |number| number.0)
}

fn by_code(status: u16, said: &Said) -> ErrorKind {
    match (code(&said.code), code(&said.error_subcode)) {
        (190, _) => ErrorKind::Auth,
        (368, _) => ErrorKind::Blocked,
        (100, 33) => ErrorKind::Gone,
        (100, _) => ErrorKind::Rejected,
        (4 | 17 | 32 | 613, _) => ErrorKind::RateLimited,
        (1, _) if said.message().contains("reduce") => ErrorKind::TooLarge,
        (-2 | 2, _) => ErrorKind::Unavailable,
        _ if status == 429 => ErrorKind::RateLimited,
        _ if said.is_transient.0 == Some(true) || status >= 500 || status == 408 => ErrorKind::Unavailable,
        _ => ErrorKind::Rejected,
    }
}

fn by_status(class: Class, outside: &Outside, body: &[u8]) -> Option<(ErrorKind, String)> {
    let status = outside.status;
    let page = is_page(class, outside, body);
    let says = |text: &str| format!("status {status}: {text}");
    Some(match (class, status) {
        (_, 429) => (ErrorKind::RateLimited, says("too many requests")),
        (_, 408 | 500..=u16::MAX) => (ErrorKind::Unavailable, says("the server is in trouble")),
        (Class::Tile | Class::Entity | Class::Search, 300..=399) => {
            (ErrorKind::Blocked, says("a redirect to a login page"))
        }
        (Class::Tile, 400 | 401 | 403) => (ErrorKind::Auth, says("the token was refused")),
        // Seen on a tile that later had two million features: transient until proven otherwise.
        (Class::Tile, 404) => (ErrorKind::Unavailable, says("no such tile, for now")),
        (Class::Tile, _) if page => (ErrorKind::Blocked, says("a page instead of a tile")),
        (Class::Entity | Class::Search, 401) => (ErrorKind::Auth, says("the token was refused")),
        // An envelope that can't be read: it may say anything.
        (Class::Entity | Class::Search, 400..=499) if body.trim_ascii_start().starts_with(b"{") => {
            (ErrorKind::Malformed, says("an answer that breaks off"))
        }
        (Class::Entity | Class::Search, 200) if page => {
            (ErrorKind::Malformed, "a page instead of JSON".into())
        }
        (_, 200..=299) => return None,
        _ => (ErrorKind::Rejected, says(&excerpt(body))),
    })
}

/// HTML or XML, or JSON where a tile is expected; nothing at all is no page.
fn is_page(class: Class, outside: &Outside, body: &[u8]) -> bool {
    let tile = class == Class::Tile;
    let named = ["text/html", "text/xml", "application/xml"]
        .iter()
        .any(|kind| outside.content_type.starts_with(kind))
        || tile && outside.content_type.starts_with("application/json");
    match body.trim_ascii_start().first() {
        Some(b'<') => true,
        Some(b'{') if tile => true,
        first => named && first.is_some(),
    }
}

/// A server's words, made fit to be shown: one line, no tokens, not endless.
fn tidy(text: &str) -> String {
    let line: String = text.chars().take(300).map(|c| if is_shown(c) { c } else { ' ' }).collect();
    redact(line.trim())
}

fn excerpt(body: &[u8]) -> String {
    match body.trim_ascii_start().first() {
        None => "refused".to_owned(),
        Some(b'<') => "a page that says no".to_owned(),
        Some(_) => tidy(&String::from_utf8_lossy(&body[..body.len().min(300)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(class: Class, status: u16, body: &str) -> Option<ErrorKind> {
        let outside = Outside { status, ..Outside::default() };
        classify(class, &outside, body.as_bytes()).map(|error| error.kind())
    }

    fn envelope(code: i64, subcode: i64, message: &str) -> String {
        format!(
            r#"{{"error":{{"message":"{message}","type":"MLYApiException","code":{code},"error_subcode":{subcode},"fbtrace_id":"A"}}}}"#
        )
    }

    #[test]
    fn the_body_rules_over_the_status() {
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
    fn the_tile_host_is_judged_harder() {
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
    fn pages_and_refusals_elsewhere() {
        assert_eq!(kind(Class::Entity, 200, "<html>"), Some(ErrorKind::Malformed));
        assert_eq!(kind(Class::Search, 302, ""), Some(ErrorKind::Blocked));
        assert_eq!(kind(Class::Bytes, 403, "URL signature expired"), Some(ErrorKind::Rejected));
        assert_eq!(kind(Class::Bytes, 502, "<html>"), Some(ErrorKind::Unavailable));
        assert_eq!(kind(Class::Search, 200, r#"{"data":[{"make":"\"error\""}]}"#), None);
    }

    #[test]
    fn an_envelope_of_another_shape_is_still_an_error() {
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
    fn a_limit_without_a_wait_gets_a_minute() {
        let outside = Outside { status: 403, ..Outside::default() };
        let limit = classify(Class::Entity, &outside, envelope(4, 0, "limit").as_bytes()).expect("an error");
        assert_eq!(limit.retry_after(), Some(Duration::from_mins(1)));
    }
}
