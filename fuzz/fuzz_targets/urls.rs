//! URLs of responses and tables, and texts that contain the token.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streetflow::client::fuzzing::{image_url, next_page, redact, url_has_ended};
use streetflow::{Client, Token};
use url::Url;

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let token =
        Token::new(&format!("MLY|1234567890123456|{}", "0123456789abcdef".repeat(2))).expect("a token");
    Client::builder().token(token).graph_url("https://graph.mapillary.com").build().expect("a client")
});

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fuzz_target!(|input: (u8, &str)| {
    let (selector, text) = input;

    // The request for the next page has the token in its header.
    if let Some(next) = next_page(&CLIENT, text) {
        assert!(next.starts_with("https://graph.mapillary.com/"), "{next}");
    }

    if url_has_ended(text) {
        assert!(text.contains("oe="), "{text}");
    }

    // Tables and responses lead to no other host.
    if let Some(allowed) = image_url(text) {
        let allowed = Url::parse(&allowed).expect("it was one");
        let host = allowed.host_str().unwrap_or_default();
        let known = [".fbcdn.net", ".fbsbx.com"].iter().any(|end| host.ends_with(end));
        assert!(allowed.scheme() == "https" && (known || host == "graph.mapillary.com"), "{allowed}");
        assert!(allowed.username().is_empty() && allowed.password().is_none(), "{allowed}");
    }

    // A token anywhere in the text, in clear or percent-encoded once or twice, in upper or lower case.
    let token = format!("MLY|1234567890123456|{SECRET}");
    let token = match selector & 3 {
        0 => token,
        1 => token.replace('|', "%7C"),
        2 => token.replace('|', "%257C"),
        _ => token.replace('|', "%257c"),
    };
    let end = (0..=text.len())
        .rev()
        .find(|end| text.is_char_boundary(*end) && *end <= usize::from(selector >> 2) * 4);
    let (before, after) = text.split_at(end.unwrap_or(0));
    let with_token = format!("{before}{token}{after}");
    if !text.contains(SECRET) {
        let clean = redact(&with_token);
        assert!(!clean.contains(SECRET), "{with_token:?} became {clean:?}");
        assert_eq!(redact(&clean), clean, "redaction is idempotent");
    }
    // A token in an unknown format is only recognizable by the parameter name.
    let named = format!("{before}access_token={SECRET}{after}");
    if !text.contains(SECRET) {
        let clean = redact(&named);
        assert!(!clean.contains(SECRET), "{named:?} became {clean:?}");
    }
});
