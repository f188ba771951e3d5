//! Validated ids. They come from the network and from files, and become parts of paths and queries.

use std::fmt;

use smol_str::SmolStr;

use super::Reason;
use crate::error::{Error, ErrorKind, Result};

/// Maximum length of a sequence id; real ones have up to 22 characters.
const MAX_ID_LEN: usize = 64;

/// The bytes allowed in a sequence id.
const LETTERS: [bool; 256] = {
    let mut letters = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        letters[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        byte += 1;
    }
    letters
};

/// Checks for letters, digits, `-` and `_`, which are safe in paths and queries.
fn check_id(text: &str) -> std::result::Result<(), Reason> {
    if text.is_empty() {
        return Err("the id is empty");
    }
    if text.len() > MAX_ID_LEN {
        return Err("the id is longer than 64 characters");
    }
    if !text.bytes().all(|b| LETTERS[usize::from(b)]) {
        return Err("an id has only letters, digits, `-` and `_`");
    }
    Ok(())
}

/// Maximum length of a decimal id; real ones have up to 17 digits.
const MAX_DIGITS: usize = 32;

/// Checks for decimal digits. So no two ids differ by case alone, and none is a reserved file name. Ids that a spreadsheet
/// or pandas wrote as floats are rejected, because they have lost digits.
fn check_number(text: &str) -> std::result::Result<(), Reason> {
    if text.is_empty() {
        return Err("the id is empty");
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(if is_float(text) { FLOAT_ID } else { "such an id has only decimal digits" });
    }
    if text.len() > MAX_DIGITS {
        return Err("the id is longer than 32 digits");
    }
    Ok(())
}

/// Reason for rejecting an id written as a floating-point number.
pub const FLOAT_ID: Reason =
    "the id was written as a floating-point number, which loses digits; write ids as text";

/// Whether a text is a number, but not only digits; includes `NaN` and `inf`.
pub(super) fn is_float(text: &str) -> bool {
    !text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<f64>().is_ok()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $form:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(SmolStr);

        impl $name {
            #[doc = concat!("Checks a text and makes it an id: ", $form, ".")]
            pub fn new(text: &str) -> Result<Self> {
                Self::check(text).map_err(|why| {
                    let shown: String =
                        text.chars().take(MAX_ID_LEN).map(|c| if c.is_control() { '?' } else { c }).collect();
                    Error::new(ErrorKind::Usage, concat!("read the ", $what)).with_subject(shown).with_source(why)
                })
            }

            pub(crate) fn check(text: &str) -> std::result::Result<Self, Reason> {
                Self::check_text(text).map(|()| Self::checked(text))
            }

            pub(super) fn check_text(text: &str) -> std::result::Result<(), Reason> {
                $check(text)
            }

            /// The id of a text that was checked.
            pub(super) fn checked(text: &str) -> Self {
                Self(SmolStr::new(text))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

id! {
    /// The id of a sequence: 22 characters, case-sensitive; it may begin with `-`.
    SequenceId, "sequence id", check_id, "1 to 64 letters, digits, `-` or `_`"
}
id! {
    /// The id of an image: decimal digits, up to 17 today. It is text, because it exceeds 2^53.
    ImageId, "image id", check_number, "1 to 32 decimal digits"
}
id! {
    /// The id of an organization or a user: decimal digits as text.
    OwnerId, "owner id", check_number, "1 to 32 decimal digits"
}
id! {
    /// The id of a map feature: decimal digits as text, because it exceeds 2^53.
    FeatureId, "map feature id", check_number, "1 to 32 decimal digits"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_unsafe_in_paths_or_queries_are_rejected() {
        for bad in ["", "a/b", "..", "a b", "a&b", "a\n", "é", &"x".repeat(65)] {
            assert!(SequenceId::new(bad).is_err(), "{bad:?}");
            assert!(ImageId::new(bad).is_err(), "{bad:?}");
        }
        assert!(SequenceId::new("-abcDEF_0123456789xyz").is_ok());
        assert!(SequenceId::new("1e5").is_ok(), "a sequence id may look like a number");
    }

    #[test]
    fn image_and_owner_ids_are_decimal_digits_only() {
        for bad in [
            "abc",
            "CON",
            "aux",
            "1a",
            "-",
            "1_2",
            "１２",
            "+12x",
            "0x10",
            &"1".repeat(33),
            &"9".repeat(10_000),
        ] {
            for error in [ImageId::new(bad).map(drop), OwnerId::new(bad).map(drop)] {
                let message = error.expect_err(bad).chain();
                assert!(message.contains("digits") && !message.contains("loses"), "{message}");
                assert!(message.len() < 200, "{message}");
            }
        }
        for good in ["0", "007", "26774514888887982", &"1".repeat(32)] {
            assert!(ImageId::new(good).is_ok() && OwnerId::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_rejected_id_is_shown_without_control_characters() {
        let error = SequenceId::new("...\u{1e}/\u{1b}[2J").expect_err("no id");
        assert!(error.to_string().contains("`...?/?[2J`"), "{error}");
    }

    #[test]
    fn an_image_id_that_was_a_float_is_rejected_with_the_reason() {
        for bad in ["1.463e15", "1463097064038568.0", "1463e12", "1.2e+16", "NaN", "inf", "-7"] {
            let error = ImageId::new(bad).expect_err(bad);
            assert!(error.chain().contains("loses digits"), "{}", error.chain());
        }
        assert!(ImageId::new("26774514888887982").is_ok());
    }
}
