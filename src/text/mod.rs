//! Text from the network and from files, made safe to show: no control characters, no secrets, bounded length.

mod credentials;
mod redact;

pub use self::credentials::without_credentials;
pub use self::redact::redact;

/// The beginning of a text, without anything that a terminal would obey or that would hide what stands there.
pub fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).map(|c| if is_shown(c) { c } else { '?' }).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a character stands for itself: none that commands a terminal, breaks the line, turns the direction of
/// reading or can't be seen.
pub fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The longest cause or name that is shown, in characters.
const LONGEST: usize = 2000;

/// A text as it is shown: it may come from the network or from a file.
pub fn shown(text: String) -> String {
    if text.len() <= LONGEST && text.chars().all(is_shown) { text } else { printable(&text, LONGEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal_and_nothing_is_endless() {
        assert_eq!(printable("a\u{1b}[2J\r\nb\u{9b}31m\0", 60), "a?[2J??b?31m?");
        assert_eq!(printable("gpj\u{202e}exe\u{200b}\u{2066}\u{feff}\u{e0041}", 60), "gpj?exe????");
        assert_eq!(printable("Ünï 日本 🚲 é", 60), "Ünï 日本 🚲 é");
        assert_eq!(printable(&"x".repeat(10_000), 10), "xxxxxxxxxx…");
    }
}
