//! Makes text from the network and from files safe to print: no control characters, no secrets, bounded length.

mod credentials;
mod folder_name;
mod redact;

pub use self::credentials::without_credentials;
pub use self::folder_name::folder_name;
pub(crate) use self::redact::MASK;
pub use self::redact::redact;

/// Returns the first `max_chars` characters of a text, with `?` for each control or invisible character.
///
/// A text that is cut ends in `…`.
pub fn printable(text: &str, max_chars: usize) -> String {
    let mut shown: String = text.chars().take(max_chars).map(|c| if is_shown(c) { c } else { '?' }).collect();
    if text.chars().nth(max_chars).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a character is visible and harmless on a terminal.
///
/// False for control characters, line breaks, changes of the writing direction and invisible characters.
pub fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The longest cause or name in a message, in characters.
const MAX_SHOWN_LEN: usize = 2000;

/// Makes a text from the network or from a file safe to print, as [`printable`] with a limit of 2,000 characters.
pub fn shown(text: String) -> String {
    if text.len() <= MAX_SHOWN_LEN && text.chars().all(is_shown) {
        text
    } else {
        printable(&text, MAX_SHOWN_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_has_no_control_characters_and_a_bounded_length() {
        assert_eq!(printable("a\u{1b}[2J\r\nb\u{9b}31m\0", 60), "a?[2J??b?31m?");
        assert_eq!(printable("gpj\u{202e}exe\u{200b}\u{2066}\u{feff}\u{e0041}", 60), "gpj?exe????");
        assert_eq!(printable("Ünï 日本 🚲 é", 60), "Ünï 日本 🚲 é");
        assert_eq!(printable(&"x".repeat(10_000), 10), "xxxxxxxxxx…");
    }
}
