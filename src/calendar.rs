//! Dates and times of day.

use chrono::{DateTime, Datelike, Timelike, Utc};

/// Year, month and day, from days since 1970.
pub fn date(days: u64) -> (u64, u64, u64) {
    let second = i64::try_from(days).ok().and_then(|days| days.checked_mul(86_400));
    parts(second.and_then(|second| DateTime::from_timestamp(second, 0)).unwrap_or_default())
}

fn parts(at: DateTime<Utc>) -> (u64, u64, u64) {
    (u64::try_from(at.year()).unwrap_or(0), u64::from(at.month()), u64::from(at.day()))
}

/// A point in time from 1970 to 9999, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(DateTime<Utc>);

impl Moment {
    /// From milliseconds since 1970. Zero is `None`, because cameras without a clock record it.
    pub fn new(milliseconds: i64) -> Option<Self> {
        let at = DateTime::from_timestamp_millis(milliseconds)?;
        (milliseconds > 0 && at.year() <= 9999).then_some(Self(at))
    }

    /// Milliseconds since 1970.
    pub fn milliseconds(self) -> u64 {
        u64::try_from(self.0.timestamp_millis()).unwrap_or(0)
    }

    /// Year, month and day.
    pub fn date(self) -> (u64, u64, u64) {
        parts(self.0)
    }

    /// Hour, minute, and milliseconds of the minute.
    pub fn time(self) -> (u64, u64, u64) {
        (u64::from(self.0.hour()), u64::from(self.0.minute()), self.milliseconds() % 60_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_dates_and_times_and_invalid_ones_are_none() {
        let moment = Moment::new(1_709_251_199_987).expect("a moment");
        assert_eq!((moment.date(), moment.time()), ((2024, 2, 29), (23, 59, 59_987)));
        assert_eq!(Moment::new(253_402_300_799_999).map(Moment::date), Some((9999, 12, 31)));
        for absurd in [i64::MIN, -1, 0, 253_402_300_800_000, 10_000_000_000_000_000, i64::MAX] {
            assert_eq!(Moment::new(absurd), None, "{absurd}");
        }
    }
}
