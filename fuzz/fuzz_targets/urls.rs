//! URLs from answers and tables, and texts that repeat the token.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streetflow::client::fuzzing::{image_url, next_page, redact, is_url_expired};
use streetflow::{Client, Token};
use url::Url;

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let token = Token::new(&format!("MLY|1234567890123456|{}", "0123456789abcdef".repeat(2))).expect("a token");
    Client::builder().token(token).graph_url("https://graph.mapillary.com").build().expect("a client")
});

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fuzz_target!(|input: (u8, &str)| {
    let (how, text) = input;

    // The header with the token goes along with it.
    if let Some(next) = next_page(&CLIENT, text) {
        assert!(next.starts_with("https://graph.mapillary.com/"), "{next}");
    }

    if is_url_expired(text) {
        assert!(text.contains("oe="), "{text}");
    }

    // A table or an answer leads to no other host.
    if let Some(asked) = image_url(text) {
        let asked = Url::parse(&asked).expect("it was one");
        let host = asked.host_str().unwrap_or_default();
        let known = [".fbcdn.net", ".fbsbx.com"].iter().any(|end| host.ends_with(end));
        assert!(asked.scheme() == "https" && (known || host == "graph.mapillary.com"), "{asked}");
        assert!(asked.username().is_empty() && asked.password().is_none(), "{asked}");
    }

    // A token anywhere in it, in clear or percent-encoded once or twice, in capitals or not.
    let token = format!("MLY|1234567890123456|{SECRET}");
    let token = match how & 3 {
        0 => token,
        1 => token.replace('|', "%7C"),
        2 => token.replace('|', "%257C"),
        _ => token.replace('|', "%257c"),
    };
    let end =
        (0..=text.len()).rev().find(|end| text.is_char_boundary(*end) && *end <= usize::from(how >> 2) * 4);
    let (before, after) = text.split_at(end.unwrap_or(0));
    let with = format!("{before}{token}{after}");
    if !text.contains(SECRET) {
        let clean = redact(&with);
        assert!(!clean.contains(SECRET), "{with:?} became {clean:?}");
        assert_eq!(redact(&clean), clean, "nothing is left to cut");
    }
    // A token of another make shows itself only by the name before it.
    let named = format!("{before}access_token={SECRET}{after}");
    if !text.contains(SECRET) {
        let clean = redact(&named);
        assert!(!clean.contains(SECRET), "{named:?} became {clean:?}");
    }
});
