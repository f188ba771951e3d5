//! Ids, checked: they come from the network and from files, and go into paths and queries.

use std::fmt;

use smol_str::SmolStr;

use super::Reason;
use crate::error::{Error, ErrorKind, Result};

/// The longest id that is taken; real ones have 22 characters at the most.
const MAX_ID_LEN: usize = 64;

/// Which bytes an id has.
const LETTERS: [bool; 256] = {
    let mut letters = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        letters[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        byte += 1;
    }
    letters
};

/// Letters, digits, `-` and `_`: safe in a path and in a query, whoever wrote it.
fn check_id(text: &str) -> std::result::Result<SmolStr, Reason> {
    if text.is_empty() {
        return Err("the id is empty");
    }
    if text.len() > MAX_ID_LEN {
        return Err("the id is longer than 64 characters");
    }
    if !text.bytes().all(|b| LETTERS[usize::from(b)]) {
        return Err("an id has only letters, digits, `-` and `_`");
    }
    Ok(SmolStr::new(text))
}

/// The longest decimal id that is taken; real ones have 17 digits at the most.
const MAX_DIGITS: usize = 32;

/// Image and owner ids are decimal, so no two differ by case alone, and none is a name that a system keeps for itself.
/// A table that a spreadsheet or pandas wrote as floats has lost digits.
fn check_number(text: &str) -> std::result::Result<SmolStr, Reason> {
    if text.is_empty() {
        return Err("the id is empty");
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(if is_float(text) { FLOAT_ID } else { "such an id has only decimal digits" });
    }
    if text.len() > MAX_DIGITS {
        return Err("the id is longer than 32 digits");
    }
    Ok(SmolStr::new(text))
}

/// Why an id written as a floating-point number is rejected.
pub const FLOAT_ID: Reason =
    "the id was written as a floating-point number, which loses digits; write ids as text";

/// Whether a text is a number with more to it than digits; `NaN` and `inf` come the same way.
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
                $check(text).map(Self)
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
    /// The id of a sequence: 22 characters, case-sensitive, perhaps beginning with `-`.
    SequenceId, "sequence id", check_id, "1 to 64 letters, digits, `-` or `_`"
}
id! {
    /// The id of an image: decimal digits, today up to 17, kept as text for they exceed 2^53.
    ImageId, "image id", check_number, "1 to 32 decimal digits"
}
id! {
    /// The id of an organisation or a user: decimal digits, kept as text.
    OwnerId, "owner id", check_number, "1 to 32 decimal digits"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_the_folder_or_the_query_are_refused() {
        for bad in ["", "a/b", "..", "a b", "a&b", "a\n", "é", &"x".repeat(65)] {
            assert!(SequenceId::new(bad).is_err(), "{bad:?}");
            assert!(ImageId::new(bad).is_err(), "{bad:?}");
        }
        assert!(SequenceId::new("-abcDEF_0123456789xyz").is_ok());
        assert!(SequenceId::new("1e5").is_ok(), "a sequence id may look like a number");
    }

    #[test]
    fn image_and_owner_ids_are_decimal_digits_and_nothing_else() {
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
                let said = error.expect_err(bad).chain();
                assert!(said.contains("digits") && !said.contains("loses"), "{said}");
                assert!(said.len() < 200, "{said}");
            }
        }
        for good in ["0", "007", "26774514888887982", &"1".repeat(32)] {
            assert!(ImageId::new(good).is_ok() && OwnerId::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_refused_id_is_shown_without_what_a_terminal_would_obey() {
        let error = SequenceId::new("...\u{1e}/\u{1b}[2J").expect_err("no id");
        assert!(error.to_string().contains("`...?/?[2J`"), "{error}");
    }

    #[test]
    fn an_image_id_that_went_through_a_float_is_refused_with_the_reason() {
        for bad in ["1.463e15", "1463097064038568.0", "1463e12", "1.2e+16", "NaN", "inf", "-7"] {
            let error = ImageId::new(bad).expect_err(bad);
            assert!(error.chain().contains("loses digits"), "{}", error.chain());
        }
        assert!(ImageId::new("26774514888887982").is_ok());
    }
}
