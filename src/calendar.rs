//! Days and dates.

/// Year, month and day of a day since 1970, reckoned from March so that the leap day comes last.
pub(crate) fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day)
}

/// The last millisecond of the year 9999: what comes later has no date of four digits.
const LAST: u64 = 253_402_300_799_999;

/// A moment of the years 1970 to 9999, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(u64);

impl Moment {
    /// From milliseconds since 1970. Zero is what a camera without a clock says, and no time.
    pub(crate) fn new(milliseconds: i64) -> Option<Self> {
        u64::try_from(milliseconds).ok().filter(|time| (1..=LAST).contains(time)).map(Self)
    }

    /// Milliseconds since 1970.
    pub(crate) fn milliseconds(self) -> u64 {
        self.0
    }

    /// Year, month and day.
    pub(crate) fn date(self) -> (u64, u64, u64) {
        date(self.0 / 86_400_000)
    }

    /// Hours, minutes, and milliseconds of the minute.
    pub(crate) fn time(self) -> (u64, u64, u64) {
        let minutes = self.0 / 60_000;
        (minutes / 60 % 24, minutes % 60, self.0 % 60_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_dates_and_times_and_what_has_none_is_no_moment() {
        let moment = Moment::new(1_709_251_199_987).expect("a moment");
        assert_eq!((moment.date(), moment.time()), ((2024, 2, 29), (23, 59, 59_987)));
        assert_eq!(Moment::new(253_402_300_799_999).map(Moment::date), Some((9999, 12, 31)));
        for absurd in [i64::MIN, -1, 0, 253_402_300_800_000, 10_000_000_000_000_000, i64::MAX] {
            assert_eq!(Moment::new(absurd), None, "{absurd}");
        }
    }
}
