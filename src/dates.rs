//! A stretch of time.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::record::time::{DAY, NotATime, day, milliseconds};

const HINT: &str =
    "write a day, such as `2024-06-01`, or a time, such as `2024-06-01T08:00:00Z`; both count in UTC";

/// When an image may have been captured: from one time to another, both included.
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
    /// From one time to another, in milliseconds since 1970; none is open. The wrong way round is a usage error.
    pub fn new(from: Option<i64>, to: Option<i64>) -> Result<Self> {
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            return Err(Error::new(ErrorKind::Usage, "use the dates")
                .with_source("the first is after the last")
                .with_hint("give the earlier one first"));
        }
        Ok(Self { from, to })
    }

    /// Reads days or RFC 3339 times; a day that is the last counts to its end. Without an offset it is UTC.
    pub fn parse(from: Option<&str>, to: Option<&str>) -> Result<Self> {
        Self::new(from.map(Self::first).transpose()?, to.map(Self::last).transpose()?)
    }

    /// The first millisecond of what a text says.
    pub fn first(text: &str) -> Result<i64> {
        Self::read(text, 0)
    }

    /// The last millisecond of what a text says.
    pub fn last(text: &str) -> Result<i64> {
        Self::read(text, DAY - 1)
    }

    /// A time, or so many milliseconds after the beginning of a day.
    fn read(text: &str, of_day: i64) -> Result<i64> {
        let time = match day(text) {
            Err(NotATime::Form) => milliseconds(text),
            day => day.map(|day| day + of_day),
        };
        time.map_err(|why| refuse(text, why))
    }

    /// Whether a time, in milliseconds since 1970, lies between the two.
    pub fn contains(&self, at: i64) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at <= to)
    }

    /// The first time that counts, in milliseconds since 1970.
    pub fn from(&self) -> Option<i64> {
        self.from
    }

    /// The last time that counts, in milliseconds since 1970.
    pub fn to(&self) -> Option<i64> {
        self.to
    }

    /// The same with so many milliseconds more at either end.
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

fn refuse(text: &str, why: NotATime) -> Error {
    let why = match why {
        NotATime::Form => "it is neither a day nor a time",
        NotATime::Impossible => "there is no such day or time of day",
    };
    Error::new(ErrorKind::Usage, "read the date").with_subject(text).with_source(why).with_hint(HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_count_and_an_open_one_has_no_bound() {
        let day = Dates::parse(Some("1970-01-02"), Some("1970-01-02")).expect("a day");
        assert_eq!((day.from(), day.to()), (Some(DAY), Some(2 * DAY - 1)));
        let hour =
            Dates::parse(Some("1970-01-01T01:00:00+01:00"), Some("1970-01-01T01:00:00Z")).expect("an hour");
        assert_eq!((hour.from(), hour.to()), (Some(0), Some(3_600_000)));
        assert!(hour.contains(0) && hour.contains(3_600_000) && !hour.contains(-1));
        let open = Dates::parse(None, None).expect("always");
        assert!(open.contains(i64::MIN) && open.contains(i64::MAX));
        assert_eq!(open.wider(DAY), open);
    }

    #[test]
    fn what_is_no_date_is_refused_by_name() {
        for text in ["yesterday", "2024-02-30", "2024", "", "2024-06-01T25:00:00Z", "01.06.2024"] {
            let error = Dates::parse(Some(text), None).expect_err(text);
            assert!(error.chain().contains(&format!("`{text}`")), "{}", error.chain());
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn a_day_or_an_hour_that_does_not_exist_is_refused_at_both_ends() {
        for text in ["2023-02-31", "2023-02-29", "2024-13-01", "2023-02-31T00:00:00Z", "2023-06-01T23:59:60Z"]
        {
            for dates in [Dates::parse(Some(text), None), Dates::parse(None, Some(text))] {
                let said = dates.expect_err(text).chain();
                assert!(said.contains(text) && said.contains("no such day"), "{said}");
            }
        }
    }
}
