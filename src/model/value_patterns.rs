//! Patterns that choose classes of detections and map features.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// Maximum number of patterns.
const MAX_PATTERNS: usize = 10_000;

/// Maximum length of a pattern in bytes; the longest known class has 80.
const MAX_PATTERN_LEN: usize = 1_000;

/// Patterns on the text of classes: `*` stands for any text, everything else for itself.
///
/// A class matches if any pattern does. There is no list of known classes, because Mapillary adds new ones.
///
/// ```
/// use streetflow::model::ValuePatterns;
///
/// let patterns: ValuePatterns = "object--vehicle--*,regulatory--stop--g1".parse()?;
/// assert!(patterns.matches("object--vehicle--car") && patterns.matches("regulatory--stop--g1"));
/// assert!(!patterns.matches("object--vehicle") && !patterns.matches("regulatory--stop--g10"));
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuePatterns(Vec<String>);

impl ValuePatterns {
    /// Whether a class matches.
    pub fn matches(&self, value: &str) -> bool {
        self.0.iter().any(|pattern| matches_pattern(pattern, value))
    }
}

impl FromStr for ValuePatterns {
    type Err = Error;

    /// Reads patterns separated by commas. An empty or an overlong list is an error of kind `Usage`.
    fn from_str(text: &str) -> Result<Self> {
        let reject = |why: String| Err(Error::new(ErrorKind::Usage, "read the classes").with_source(why));
        let patterns: Vec<_> =
            text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect();
        if patterns.is_empty() {
            return reject("the list is empty".to_owned()).map_err(|error| {
                error.with_hint(
                    "name classes, such as `regulatory--stop--g1`, or patterns, such as `object--vehicle--*`",
                )
            });
        }
        if patterns.len() > MAX_PATTERNS || patterns.iter().any(|one| one.len() > MAX_PATTERN_LEN) {
            return reject(format!(
                "it has more than {MAX_PATTERNS} patterns, or one of more than {MAX_PATTERN_LEN} bytes"
            ));
        }
        Ok(Self(patterns))
    }
}

impl fmt::Display for ValuePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Whether a text matches a pattern. Takes at most the product of their lengths in steps.
pub(crate) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut in_text) = (0, 0);
    // Behind the last star, and the text that it stands for ends here.
    let mut retry = None;
    while in_text < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, in_text));
            }
            Some(byte) if *byte == text[in_text] => (at, in_text) = (at + 1, in_text + 1),
            _ => match retry {
                Some((behind_star, end)) => {
                    retry = Some((behind_star, end + 1));
                    (at, in_text) = (behind_star, end + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("a--*--g1", "a--b--c--g1", true),
            ("a--*--g1", "a--g1", false),
            ("*--g1", "a--g11--g1", true),
            ("a*b*c", "aXbbYc", true),
            ("a*b*c", "aXbbY", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("abc**", "abc", true),
            ("", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn empty_and_overlong_lists_are_rejected() {
        for bad in ["", " , ", &"x".repeat(1_001), &"x,".repeat(10_001)] {
            assert!(bad.parse::<ValuePatterns>().is_err());
        }
        let patterns: ValuePatterns = " a* ,,b".parse().expect("patterns");
        assert_eq!(patterns.to_string(), "a*,b");
    }
}
