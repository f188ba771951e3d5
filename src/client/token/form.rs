//! Detects texts that are certainly not access tokens, and says how to fix them.
//!
//! Only known mistakes are rejected. Tokens of a user login differ from those of the dashboard, and Mapillary may
//! introduce other forms.

/// A mistake in a token. Its texts do not repeat the token, because parts of it may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) why: &'static str,
    fix: &'static str,
}

impl Flaw {
    /// Returns what the user can do about it.
    pub(crate) fn hint(self) -> String {
        format!("{}; a token looks like `MLY|<digits>|<letters and digits>`", self.fix)
    }
}

const MAKE_ONE: &str = "create one at https://www.mapillary.com/dashboard/developers";
const COPY_AGAIN: &str =
    "copy the complete client token again from https://www.mapillary.com/dashboard/developers";
const QUOTE_IT: &str = "a shell reads an unquoted `|` as a pipe: put the token in single quotes, as in `export MAPILLARY_TOKEN='MLY|…|…'`";
const TOKEN_ALONE: &str = "pass only the token";

/// Returns the mistake in a text without surrounding white space, if there is a known one.
pub(crate) fn flaw(text: &str) -> Option<Flaw> {
    let flaw = |why, fix| Some(Flaw { why, fix });
    let starts_with =
        |head: &str| text.get(..head.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(head));
    if text.is_empty() {
        return flaw("it is empty", MAKE_ONE);
    }
    if ["bearer", "oauth", "authorization"].iter().any(|word| {
        starts_with(word)
            && text[word.len()..].starts_with(|c: char| c.is_whitespace() || c == ':' || c == '%')
    }) {
        return flaw(
            "it starts with a header name or an authentication scheme, such as `Bearer` or `OAuth`",
            TOKEN_ALONE,
        );
    }
    if is_assignment(text) {
        return flaw("it starts with the name of a variable or a parameter", TOKEN_ALONE);
    }
    if text.starts_with(is_quote) || text.ends_with(is_quote) {
        return flaw(
            "it includes the quotes around it",
            "remove the quotes: text files, Docker `.env` files and `set` on Windows do not remove them",
        );
    }
    if text.starts_with(['$', '<', '{']) {
        return flaw("it is the name of a variable or a placeholder", "replace it with the token");
    }
    if text.contains("://") {
        return flaw("it is a URL", TOKEN_ALONE);
    }
    if text.contains(['\n', '\r']) {
        return flaw("it contains a line break", COPY_AGAIN);
    }
    if text.contains(char::is_whitespace) {
        return flaw("it contains white space", COPY_AGAIN);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return flaw("it contains characters that are not allowed in a token", COPY_AGAIN);
    }
    if text.contains("\\|") {
        return flaw(
            "it contains backslashes before `|`",
            "remove the backslashes; in a shell, put the token in single quotes instead",
        );
    }
    if starts_with("MLY%7C") || starts_with("MLY%257C") {
        return flaw("it is percent-encoded", "replace each `%7C` in it with `|`");
    }
    let mut parts = text.split('|');
    if parts.next() != Some("MLY") {
        return None;
    }
    match (parts.next(), parts.next(), parts.next()) {
        (None | Some(""), ..) | (_, None | Some(""), _) => flaw("it is cut off at a `|`", QUOTE_IT),
        (_, _, Some(_)) => {
            flaw("it contains more than two `|`; it may be two tokens, or one token pasted twice", COPY_AGAIN)
        }
        (Some(app), ..) if !app.bytes().all(|byte| byte.is_ascii_digit()) => {
            flaw("the part between its two `|` is not a number", COPY_AGAIN)
        }
        _ => None,
    }
}

/// Whether a token has the form that the dashboard shows: `MLY`, the number of the application, 32 hexadecimal digits.
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

/// Whether a text is an assignment such as `export MAPILLARY_TOKEN=…` or `access_token=…`.
fn is_assignment(text: &str) -> bool {
    let Some((name, _)) = text.split_once(['=', ':']) else { return false };
    let name = name.trim().trim_start_matches("export ").trim_matches(is_quote).to_ascii_lowercase();
    // A secret may contain `=`, so only the known names count.
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
    fn each_mistake_is_described_without_any_part_of_the_token() {
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
            (format!("MLY|my-app|{SECRET}"), "not a number"),
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
            let message = format!("{}{}", flaw.why, flaw.hint());
            assert!(!message.contains("0123456789") && !message.contains("1234567890123456"), "{message}");
        }
    }

    #[test]
    fn texts_that_may_be_tokens_are_accepted() {
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
