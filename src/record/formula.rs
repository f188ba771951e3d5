//! Protects CSV cells from being run as formulas.
//!
//! Spreadsheets take a cell that begins with `=` for a formula, and user names may begin with it. Such a text is written
//! with a leading apostrophe, which the reader removes. A text that already has apostrophes before a formula gets one
//! more, so that every text reads back unchanged.

use std::borrow::Cow;

/// Adds an apostrophe if a spreadsheet would run the text.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if is_risky(text) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// Removes the apostrophe that [`escape`] has added.
pub(crate) fn unescape(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| is_risky(text)).unwrap_or(cell)
}

/// Whether a text is a formula after any leading apostrophes. Most texts are decided by the first byte.
fn is_risky(text: &str) -> bool {
    matches!(
        text.as_bytes().first(),
        Some(b'\'' | b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n' | 0 | 0xef)
    ) && begins_formula(text.trim_start_matches('\''))
}

fn begins_formula(text: &str) -> bool {
    match text.chars().next() {
        // Some spreadsheets also accept the fullwidth forms.
        Some('=' | '+' | '@' | '\t' | '\r' | '\n' | '\0' | '＝' | '＋' | '－' | '＠') => true,
        // Sequence ids may begin with `-`. Without other punctuation it is no formula.
        Some('-') => !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formulas_get_an_apostrophe_and_ids_and_names_get_none() {
        for text in [
            "=1+1",
            "+1",
            "@SUM(A1)",
            "-1+cmd|' /C calc'!A0",
            "\t=1",
            "\r=1",
            "\n=1",
            "\0=1",
            "＝1",
            "-2.5",
            "'=1",
            "''-(1)",
        ] {
            assert_eq!(escape(text), format!("'{text}"));
        }
        for text in [
            "",
            "'",
            "''",
            "-qe-JIXxphhaeodoDQNWvM",
            "-7",
            "a=1",
            "'n Beetje",
            " =1",
            "https://x/?a=-1",
            "\u{feff}",
            "ﬁn",
        ] {
            assert_eq!(escape(text), text);
        }
        assert_eq!(unescape("'Tis"), "'Tis", "an apostrophe of another tool stays");
        assert_eq!(unescape("=1"), "=1", "a formula of another tool is read as it stands");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_text_reads_back_and_none_is_a_formula(
            text in prop_oneof![".*", "'{0,3}[-=+@\t\r\n\0＝＋－＠'a ]{0,3}.{0,3}", "'{0,2}-[A-Za-z0-9_-]{0,4}.?"],
        ) {
            let cell = escape(&text);
            prop_assert_eq!(unescape(&cell), &text);
            prop_assert!(!begins_formula(&cell));
        }
    }
}
