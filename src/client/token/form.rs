//! The form of a token: what is certainly no token, however plausible it looks, and what to do about it.
//!
//! Only forms that are known to be damaged are refused. Tokens that come from a login of a user look otherwise than
//! those of the dashboard, and Mapillary may give out others tomorrow.

/// What is wrong with a text that should be a token. No part of it is repeated: some of it may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) why: &'static str,
    fix: &'static str,
}

impl Flaw {
    /// What the user may do about it.
    pub(crate) fn hint(self) -> String {
        format!("{}; a token looks like `MLY|<digits>|<letters and digits>`", self.fix)
    }
}

const MAKE_ONE: &str = "make one at https://www.mapillary.com/dashboard/developers";
const COPY_AGAIN: &str =
    "copy the client token anew from https://www.mapillary.com/dashboard/developers, whole and once";
const QUOTE_IT: &str =
    "a shell takes a bare `|` for a pipe: write export MAPILLARY_TOKEN='MLY|…|…', in single quotes";
const TOKEN_ALONE: &str = "give the token alone";

/// What is certainly wrong with a text, without white space around it, as a token.
pub(crate) fn flaw(text: &str) -> Option<Flaw> {
    let flaw = |why, fix| Some(Flaw { why, fix });
    let begins = |head: &str| text.get(..head.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(head));
    if text.is_empty() {
        return flaw("it is empty", MAKE_ONE);
    }
    if ["bearer", "oauth", "authorization"].iter().any(|word| {
        begins(word) && text[word.len()..].starts_with(|c: char| c.is_whitespace() || c == ':' || c == '%')
    }) {
        return flaw(
            "it begins with the name of a header or of its scheme, such as `Bearer` or `OAuth`",
            TOKEN_ALONE,
        );
    }
    if is_assignment(text) {
        return flaw("it has the name of a variable or a parameter in front of it", TOKEN_ALONE);
    }
    if text.starts_with(is_quote) || text.ends_with(is_quote) {
        return flaw(
            "the quotes around it have become part of it",
            "take them away: a file, an `.env` of Docker and `set` of Windows keep quotes as they are",
        );
    }
    if text.starts_with(['$', '<', '{']) {
        return flaw("it is the name of a variable or a placeholder", "put the token itself in its place");
    }
    if text.contains("://") {
        return flaw("it is a URL", TOKEN_ALONE);
    }
    if text.contains(['\n', '\r']) {
        return flaw("there is a line break inside it", COPY_AGAIN);
    }
    if text.contains(char::is_whitespace) {
        return flaw("there is white space inside it", COPY_AGAIN);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return flaw("it has characters that no token has", COPY_AGAIN);
    }
    if text.contains("\\|") {
        return flaw(
            "there are backslashes before its `|`",
            "take them away; in a shell write single quotes around the token instead",
        );
    }
    if begins("MLY%7C") || begins("MLY%257C") {
        return flaw("it is percent-encoded", "write `|` for each `%7C` in it");
    }
    let mut parts = text.split('|');
    if parts.next() != Some("MLY") {
        return None;
    }
    match (parts.next(), parts.next(), parts.next()) {
        (None | Some(""), ..) | (_, None | Some(""), _) => flaw("it is cut off at a `|`", QUOTE_IT),
        (_, _, Some(_)) => flaw("it has more than two `|`: two tokens, or one twice", COPY_AGAIN),
        (Some(app), ..) if !app.bytes().all(|byte| byte.is_ascii_digit()) => {
            flaw("between its two `|` is something else than digits", COPY_AGAIN)
        }
        _ => None,
    }
}

/// Whether a token is of the form that the dashboard shows: `MLY`, the number of the application, 32 hexadecimal digits.
pub(crate) fn is_usual(token: &str) -> bool {
    let mut parts = token.split('|');
    let (head, app, secret) = (parts.next(), parts.next(), parts.next());
    head == Some("MLY")
        && app.is_some_and(|app| {
            (13..=19).contains(&app.len()) && app.bytes().all(|byte| byte.is_ascii_digit())
        })
        && secret
            .is_some_and(|secret| secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()))
        && parts.next().is_none()
}

/// A line such as `export MAPILLARY_TOKEN=…` or `access_token=…`.
fn is_assignment(text: &str) -> bool {
    let Some((name, _)) = text.split_once(['=', ':']) else { return false };
    let name = name.trim().trim_start_matches("export ").trim_matches(is_quote).to_ascii_lowercase();
    // A secret may have a `=` in it, so only what is known to be a name counts as one.
    name.ends_with("token") && name.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_-?&".contains(&byte))
}

fn is_quote(c: char) -> bool {
    matches!(c, '\'' | '"' | '`' | '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn each_damaged_form_is_named_without_a_part_of_the_token() {
        let good = format!("MLY|1234567890123456|{SECRET}");
        for (text, why) in [
            (String::new(), "empty"),
            (format!("'{good}'"), "quotes"),
            (format!("\"{good}\""), "quotes"),
            (format!("“{good}”"), "quotes"),
            (format!("{good}'"), "quotes"),
            (good.replace('|', "%7C"), "percent-encoded"),
            (good.replace('|', "%7c"), "percent-encoded"),
            (good.replace('|', "%257C"), "percent-encoded"),
            (good.replace('|', "\\|"), "backslashes"),
            ("MLY".to_owned(), "cut off"),
            ("MLY|".to_owned(), "cut off"),
            ("MLY|1234567890123456".to_owned(), "cut off"),
            ("MLY|1234567890123456|".to_owned(), "cut off"),
            (format!("MLY||{SECRET}"), "cut off"),
            (format!("{good}{good}"), "more than two"),
            (format!("MLY|my-app|{SECRET}"), "digits"),
            (format!("Bearer {good}"), "header"),
            (format!("oauth {good}"), "header"),
            (format!("Authorization: OAuth {good}"), "header"),
            (format!("access_token={good}"), "name of a variable"),
            (format!("export MAPILLARY_TOKEN='{good}'"), "name of a variable"),
            (format!("MAPILLARY_TOKEN={good}"), "name of a variable"),
            ("$MAPILLARY_TOKEN".to_owned(), "placeholder"),
            ("<your token>".to_owned(), "placeholder"),
            (format!("https://graph.mapillary.com/?access_token={good}"), "URL"),
            (format!("MLY|1234567890123456|\n{SECRET}"), "line break"),
            (format!("MLY|1234567890123456| {SECRET}"), "white space"),
            ("MLY|…|…".to_owned(), "characters"),
        ] {
            let flaw = flaw(&text).unwrap_or_else(|| panic!("accepted: {text}"));
            assert!(flaw.why.contains(why), "{text}: {}", flaw.why);
            let said = format!("{}{}", flaw.why, flaw.hint());
            assert!(!said.contains("0123456789") && !said.contains("1234567890123456"), "{said}");
        }
    }

    #[test]
    fn forms_that_may_be_tokens_are_sent() {
        let usual = format!("MLY|1234567890123456|{SECRET}");
        for text in [
            usual.as_str(),
            "MLY|1234|abcd",
            "MLY|1|wrong",
            "MLYARBd0ZAZAbcdefgh",
            "MLY|1234|ab\"c=d",
            "EAAG9token=1",
            "oauthlike",
            "a%7Cb",
            "c2VjcmV0==",
        ] {
            assert_eq!(flaw(text), None, "{text}");
            assert_eq!(is_usual(text), text == usual, "{text}");
        }
    }
}
