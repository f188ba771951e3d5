//! Time ranges.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::timestamp::{DAY_MS, TimeError, parse_day, parse_timestamp};

const HINT: &str =
    "write a day, such as `2024-06-01`, or a time, such as `2024-06-01T08:00:00Z`; both are in UTC";

/// A range of capture times, from one time to another, both included.
///
/// ```
/// use streetflow::stages::Dates;
///
/// let june = Dates::parse(Some("2024-06-01"), Some("2024-06-30"))?;
/// assert!(june.contains(1_719_791_999_999), "the last day counts to its end");
/// assert!(!june.contains(1_719_792_000_000));
/// assert!(Dates::parse(Some("2024-06-30"), Some("2024-06-01")).is_err());
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dates {
    from: Option<i64>,
    to: Option<i64>,
}

impl Dates {
    /// Creates a range in milliseconds since 1970; `None` is unbounded. If `from` is after `to`, the error is of kind
    /// `Usage`.
    pub fn new(from: Option<i64>, to: Option<i64>) -> Result<Self> {
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            return Err(Error::new(ErrorKind::Usage, "use the dates")
                .with_source("the start is after the end")
                .with_hint("give the earlier time first"));
        }
        Ok(Self { from, to })
    }

    /// Parses days or RFC 3339 times. A day as the end includes the whole day. Times without an offset are UTC.
    pub fn parse(from: Option<&str>, to: Option<&str>) -> Result<Self> {
        Self::new(from.map(Self::first).transpose()?, to.map(Self::last).transpose()?)
    }

    /// The first millisecond of a day or time.
    pub fn first(text: &str) -> Result<i64> {
        Self::read(text, 0)
    }

    /// The last millisecond of a day or time.
    pub fn last(text: &str) -> Result<i64> {
        Self::read(text, DAY_MS - 1)
    }

    /// Parses a time, or a day plus `of_day` milliseconds.
    fn read(text: &str, of_day: i64) -> Result<i64> {
        let time = match parse_day(text) {
            Err(TimeError::Syntax) => parse_timestamp(text),
            day => day.map(|day| day + of_day),
        };
        time.map_err(|why| invalid(text, why))
    }

    /// Whether a time in milliseconds since 1970 is in the range.
    pub fn contains(&self, at: i64) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at <= to)
    }

    /// Start of the range in milliseconds since 1970.
    pub fn from(&self) -> Option<i64> {
        self.from
    }

    /// End of the range in milliseconds since 1970.
    pub fn to(&self) -> Option<i64> {
        self.to
    }

    /// Extends both ends by milliseconds.
    pub(crate) fn wider(&self, by: i64) -> Self {
        Self {
            from: self.from.map(|from| from.saturating_sub(by)),
            to: self.to.map(|to| to.saturating_add(by)),
        }
    }
}

impl fmt::Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: Option<i64>| end.map_or_else(String::new, |end| end.to_string());
        write!(f, "{}..{}", end(self.from), end(self.to))
    }
}

fn invalid(text: &str, why: TimeError) -> Error {
    let why = match why {
        TimeError::Syntax => "it is neither a day nor a time",
        TimeError::OutOfRange => "there is no such day or time of day",
    };
    Error::new(ErrorKind::Usage, "read the date").with_subject(text).with_source(why).with_hint(HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_included_and_a_missing_one_is_unbounded() {
        let day = Dates::parse(Some("1970-01-02"), Some("1970-01-02")).expect("a day");
        assert_eq!((day.from(), day.to()), (Some(DAY_MS), Some(2 * DAY_MS - 1)));
        let hour =
            Dates::parse(Some("1970-01-01T01:00:00+01:00"), Some("1970-01-01T01:00:00Z")).expect("an hour");
        assert_eq!((hour.from(), hour.to()), (Some(0), Some(3_600_000)));
        assert!(hour.contains(0) && hour.contains(3_600_000) && !hour.contains(-1));
        let open = Dates::parse(None, None).expect("always");
        assert!(open.contains(i64::MIN) && open.contains(i64::MAX));
        assert_eq!(open.wider(DAY_MS), open);
    }

    #[test]
    fn invalid_dates_are_rejected_by_name() {
        for text in ["yesterday", "2024-02-30", "2024", "", "2024-06-01T25:00:00Z", "01.06.2024"] {
            let error = Dates::parse(Some(text), None).expect_err(text);
            assert!(error.chain().contains(&format!("`{text}`")), "{}", error.chain());
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn a_day_or_an_hour_that_does_not_exist_is_rejected_at_both_ends() {
        for text in ["2023-02-31", "2023-02-29", "2024-13-01", "2023-02-31T00:00:00Z", "2023-06-01T23:59:60Z"]
        {
            for dates in [Dates::parse(Some(text), None), Dates::parse(None, Some(text))] {
                let message = dates.expect_err(text).chain();
                assert!(message.contains(text) && message.contains("no such day"), "{message}");
            }
        }
    }
}
