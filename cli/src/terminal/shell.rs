//! Command lines as a shell reads them, without credentials.

use std::ffi::OsString;
use std::sync::OnceLock;

use streetflow::client::without_credentials;

/// The flags that take a URL.
const URL_FLAGS: [&str; 2] = ["--graph-url", "--tiles-url"];

/// The flag that takes an option of a bucket.
const OPTION_FLAG: &str = "--storage-option";

/// An option of a bucket without its value, if that may be a secret.
fn without_secret(option: &str) -> String {
    #[cfg(feature = "object-store")]
    let is_secret = streetflow::storage::is_secret_option;
    #[cfg(not(feature = "object-store"))]
    let is_secret = |_: &str| true;
    match option.split_once('=') {
        Some((name, _)) if !is_secret(name) => option.to_owned(),
        Some((name, _)) => format!("{name}=…"),
        None => "…".to_owned(),
    }
}

/// Quotes a word for a POSIX shell, if it needs quotes.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./,:=@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Removes user name and password from a URL in a command-line word, such as `URL` or `--flag=URL`.
pub(crate) fn strip_credentials(word: &str) -> String {
    let (flag, value) = match word.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => (Some(flag), value),
        _ => (None, word),
    };
    // Only in URLs: an `@` is legitimate in other words.
    if !value.contains("://") {
        return word.to_owned();
    }
    let value = without_credentials(value);
    flag.map_or_else(|| value.clone(), |flag| format!("{flag}={value}"))
}

/// The command line that runs. In a package for another language it differs from that of the process.
static ARGS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Stores the command line for [`this_command`].
pub(crate) fn remember(args: Vec<OsString>) -> Vec<OsString> {
    ARGS.get_or_init(|| args.clone());
    args
}

/// The command line that runs as a shell reads it, without `--restart` and without credentials.
pub(crate) fn this_command() -> String {
    let args = ARGS.get().map_or(&[][..], Vec::as_slice);
    command(args.iter().skip(1).map(|word| word.to_string_lossy().into_owned()))
}

fn command(words: impl Iterator<Item = String>) -> String {
    let (mut is_url, mut is_option) = (false, false);
    let words = words.filter(|word| word != "--restart").map(|word| {
        if std::mem::replace(&mut is_option, word == OPTION_FLAG) {
            return quoted(&without_secret(&word));
        }
        if let Some(option) = word.strip_prefix(OPTION_FLAG).and_then(|rest| rest.strip_prefix('=')) {
            return quoted(&format!("{OPTION_FLAG}={}", without_secret(option)));
        }
        let (flag, value) = word.split_once('=').unwrap_or((&word, ""));
        let shown = match (std::mem::replace(&mut is_url, URL_FLAGS.contains(&&*word)), flag) {
            // The value of a URL flag may lack the scheme and still hold credentials.
            (true, _) => without_credentials(&word),
            (_, flag) if URL_FLAGS.contains(&flag) && !value.is_empty() => {
                format!("{flag}={}", without_credentials(value))
            }
            _ => strip_credentials(&word),
        };
        quoted(&shown)
    });
    std::iter::once("streetflow".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_quoted_for_a_shell_and_has_no_credentials() {
        let words =
            ["crawl", "--bbox", "33.3,35.1,33.4,35.2", "--restart", "-o", "it's mine", "--token-file=t"];
        assert_eq!(
            command(words.into_iter().map(str::to_owned)),
            r"streetflow crawl --bbox 33.3,35.1,33.4,35.2 -o 'it'\''s mine' --token-file=t"
        );
        for (word, expected) in [
            ("https://me:secret@mirror.test/x", "https://mirror.test/x"),
            ("--graph-url=http://me:secret@mirror.test/x", "--graph-url=http://mirror.test/x"),
            ("http://me:sec/ret@mirror.test", "http://mirror.test"),
            ("--user=me@home", "--user=me@home"),
            ("http://mirror.test", "http://mirror.test"),
            ("a=b", "a=b"),
        ] {
            assert_eq!(strip_credentials(word), expected);
        }
        let words = ["crawl", "--graph-url", "me:secret@mirror.test", "--tiles-url=me:secret@mirror.test"];
        assert_eq!(
            command(words.into_iter().map(str::to_owned)),
            "streetflow crawl --graph-url mirror.test --tiles-url=mirror.test"
        );
    }
}
