//! URLs from answers and tables, and texts that repeat the token.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streetflow::client::fuzzing::{has_fresh_urls, next_page, redact};
use streetflow::{Client, Metadata, Token};

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let token = Token::new("MLY|1234567890123456|0123456789abcdef0123456789abcdef").expect("a token");
    Client::builder().token(token).graph_url("https://graph.mapillary.com").build().expect("a client")
});

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fuzz_target!(|input: (u8, &str)| {
    let (how, text) = input;

    // The header with the token goes along with it.
    if let Some(next) = next_page(&CLIENT, text) {
        assert!(next.starts_with("https://graph.mapillary.com/"), "{next}");
    }

    let image = Metadata { thumb_256_url: Some(text.to_owned()), ..Metadata::default() };
    if !has_fresh_urls(&image) {
        assert!(text.contains("oe="), "{text}");
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
