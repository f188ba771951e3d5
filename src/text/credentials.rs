//! Removes user names and passwords from URLs.

use url::Url;

/// Removes the user name and password from a URL.
///
/// If the text is not a valid URL, everything before its last `@` is removed, because a password may be the reason that
/// it is not valid.
pub fn without_credentials(text: &str) -> String {
    let Some(at) = text.rfind('@') else { return text.to_owned() };
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let cut = || {
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        if scheme.is_empty() || at < scheme.len() { rest.to_owned() } else { format!("{scheme}://{rest}") }
    };
    match Url::parse(text) {
        Ok(mut url) if url.has_host() => {
            if url.username().is_empty() && url.password().is_none() {
                return text.to_owned();
            }
            if url.set_username("").and(url.set_password(None)).is_err() { cut() } else { url.to_string() }
        }
        _ => cut(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_removed_from_valid_and_invalid_urls() {
        for (text, expected) in [
            ("https://me:secret@mirror.test/x", "https://mirror.test/x"),
            ("https://me:secret@mirror.test", "https://mirror.test/"),
            ("https://secret@mirror.test/x", "https://mirror.test/x"),
            ("https://me:sec%40ret@mirror.test/x", "https://mirror.test/x"),
            ("https://me:sec@ret@mirror.test/x", "https://mirror.test/x"),
            ("https://me:sec/ret@mirror.test", "https://mirror.test"),
            ("https://me:sec#ret@mirror.test", "https://mirror.test"),
            ("https://me:secret@mirror.test:port/x", "https://mirror.test:port/x"),
            ("me:secret@mirror.test", "mirror.test"),
            ("ftp://me:secret@", "ftp://"),
            ("https://mirror.test/a@b", "https://mirror.test/a@b"),
            ("https://mirror.test", "https://mirror.test"),
            ("", ""),
        ] {
            let bare = without_credentials(text);
            assert!(!bare.contains("secret") && !bare.contains("sec"), "{text}: {bare}");
            assert_eq!(bare, expected, "{text}");
        }
    }
}
