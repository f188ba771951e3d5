//! The cursors of pages.

/// Returns the cursor of the page that starts at an offset.
pub(super) fn cursor(offset: usize) -> String {
    format!("QVFI{offset:012x}")
}

/// Returns the offset of a cursor.
pub(super) fn parse_cursor(cursor: &str) -> Option<usize> {
    usize::from_str_radix(cursor.strip_prefix("QVFI")?, 16).ok()
}
