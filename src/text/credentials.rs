//! URLs without the user name and password in them.

use url::Url;

/// A text that is meant to be a URL, without the name and the password in it.
///
/// What can't be read as a URL loses everything before its last `@`: the password may be why it can't be read.
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
    fn no_name_and_no_password_stays_however_the_url_is_spoilt() {
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
